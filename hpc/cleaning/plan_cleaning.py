"""Decide which runs can be archived: those of which every label is in the database.

Nothing is changed here. `archive_run` looks again, with the run's lock, before it acts.
"""

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import duckdb

from hpc.cleaning.write_archive import FolderContent, list_content
from hpc.database.gathered_shards import find_not_gathered
from hpc.display.system_error import describe_briefly
from hpc.executors.base import Executor, ExecutorError
from hpc.locks.run_lock import is_locked
from hpc.run.model.run import Run
from hpc.run.outputs import verify_outputs
from pipeline import files
from pipeline.archive import archive_path, is_archived
from pipeline.database import duckdb_file, history
from pipeline.database.duckdb_file import SHORT_PATIENCE
from pipeline.errors import BusyError, RunError, UnreadableError
from pipeline.run_files.manifest import output_path
from pipeline.system.ownership import user_name

INODES_LEFT = 3
"""The folder of an archived run, its manifest and its archive."""


class Decision(StrEnum):
    """What can become of a run."""

    ARCHIVE = "archive"
    """It is complete and gathered: it can be archived."""
    FINISH = "finish"
    """It is archived, and files are left that the archive holds."""
    ARCHIVED = "archived"
    """It is archived already."""
    KEEP = "keep"
    """It has to stay as it is, for a reason."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RunCleaning:
    """What cleaning one run would do."""

    run: Run
    decision: Decision
    reason: str = ""
    """Why the run stays as it is; empty otherwise."""
    content: FolderContent
    """What lies in its folder now, besides an archive."""
    is_unreadable: bool = False
    """Whether it stays because its folder or its database cannot be read."""

    @property
    def size(self) -> int:
        """How many bytes the run has, its archive included."""
        archive = archive_path(self.run.folder)
        return self.content.size + (archive.stat().st_size if archive.is_file() else 0)

    @property
    def inodes(self) -> int:
        """How many files and folders the run has."""
        return self.content.inodes + is_archived(self.run.folder)

    @property
    def inodes_to_go(self) -> int:
        """How many files and folders would go."""
        if self.decision not in (Decision.ARCHIVE, Decision.FINISH):
            return 0
        return max(0, self.inodes - INODES_LEFT)


def plan_cleaning(runs: Sequence[Run], executor_of: Mapping[str, Executor]) -> list[RunCleaning]:
    """Return what cleaning these runs would do, in their order.

    Args:
        runs: the runs.
        executor_of: by run id, what can tell whether jobs of a run are alive.
    """
    return [_plan(run, executor_of[run.run_id]) for run in runs]


def _plan(run: Run, executor: Executor) -> RunCleaning:
    content = FolderContent()
    try:
        content = list_content(run.folder)
        return _decide(run, executor, content)
    except (RunError, OSError) as error:
        return RunCleaning(
            run=run,
            decision=Decision.KEEP,
            reason=describe_briefly(error),
            content=content,
            is_unreadable=True,
        )


def _decide(run: Run, executor: Executor, content: FolderContent) -> RunCleaning:
    """Return what cleaning a run would do. Raises OSError and RunError if it cannot be read now."""
    if is_archived(run.folder):
        files.names_in(run.folder / "outputs")  # raises an error if the archive cannot be read
        decision = Decision.FINISH if content.leftovers else Decision.ARCHIVED
        return RunCleaning(run=run, decision=decision, content=content)
    reason = (
        _describe_owner(run)
        or _describe_odd(content)
        or describe_ungathered(run)
        or _describe_activity(run, executor)
        or _describe_space(run, content)
    )
    decision = Decision.KEEP if reason else Decision.ARCHIVE
    return RunCleaning(run=run, decision=decision, reason=reason, content=content)


def _describe_owner(run: Run) -> str:
    owner = run.folder.stat().st_uid
    return "" if owner == os.geteuid() else f"it belongs to {user_name(owner)}"


def _describe_odd(content: FolderContent) -> str:
    if not content.odd:
        return ""
    odd = content.odd[0].encode(errors="backslashreplace").decode()
    return (
        f"an archive cannot hold {odd}, which is neither a file nor a folder, lies too deep, "
        "or has a name that is not UTF-8"
    )


def describe_ungathered(run: Run) -> str:
    """Return why labels of a run would be missing from the database; empty if none would.

    Raises:
        RunError: an output or the database cannot be read, so nobody can tell.
        OSError: the same.
    """
    checks = verify_outputs(run)
    for index, check in enumerate(checks):
        if check.unreadable:
            path = output_path(run.folder, index)
            raise RunError(f"{path} cannot be read now: {check.unreadable}")
    missing = sum(not check.verified for check in checks)
    if missing:
        return f"shards not done: {missing:,} of {len(checks):,}"
    database = Path(run.manifest.database)
    if not duckdb_file.exists(database):
        return f"it is not gathered: there is no {database}"
    try:
        with duckdb_file.open_database(database, read_only=True, patience=SHORT_PATIENCE) as labels:
            known = history.gathered_shards(labels, run.run_id)
    except BusyError as error:
        return f"{database} cannot be read now: {error}"
    except OSError as error:
        raise UnreadableError(database, error) from error
    except duckdb.Error as error:
        raise RunError(f"{database} cannot be read: {error}") from error
    missing = len(find_not_gathered(known, checks))
    return f"shards not gathered: {missing:,} of {len(checks):,}" if missing else ""


def _describe_activity(run: Run, executor: Executor) -> str:
    if is_locked(run):
        return "another process is working on it"
    try:
        has_jobs = executor.has_live_jobs(run)
    except ExecutorError as error:
        return f"it is unknown whether jobs of it are alive: {error.words.strip()}"
    return "jobs of it are pending or running" if has_jobs else ""


def _describe_space(run: Run, content: FolderContent) -> str:
    """Return that the archive does not fit beside the files, which stay until it is verified."""
    free = shutil.disk_usage(run.folder).free
    if content.size <= free:
        return ""
    return f"the archive needs {content.size:,} bytes, and {free:,} are free"
