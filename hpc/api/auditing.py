"""Find where every post of a backlog is."""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path

import duckdb
import msgspec

from hpc.api.call.argument_types import checked
from hpc.api.call.caller_screen import screen_of
from hpc.api.call.overrides import Overrides, override_texts
from hpc.api.call.place import PathText
from hpc.api.call.surroundings import library_call
from hpc.config import run_config
from hpc.config.run_config import Config
from hpc.database.next_start import start_after
from hpc.display.backlog_audit import describe_audit
from hpc.display.blocks import Line
from hpc.display.html.render import to_html
from hpc.display.post import PostFiles, describe_post
from hpc.executors.factory import executor_of
from hpc.reconcile.audit_files import (
    GatheredShards,
    collect_files,
    examine_with,
    find_unchanged,
    list_inputs,
)
from hpc.reconcile.look import look
from hpc.run.exit_codes import FAILED, UNDER_WAY
from hpc.run.model.run import Run, Say
from hpc.run.run_state import RunStatus
from hpc.runs import find_runs
from hpc.runs.unusable_runs import UnusableRun
from pipeline.backlog import select, sources
from pipeline.backlog.scan import Scan
from pipeline.backlog.sources import Source
from pipeline.database import backlog_audit, duckdb_file, history
from pipeline.database.backlog_audit import Audit, Files
from pipeline.database.read_attached import reading
from pipeline.progress import NO_PROGRESS, Progress
from pipeline.sql import share_done
from pipeline.threads.in_background import in_background


@dataclass(frozen=True, kw_only=True, slots=True)
class AuditResult:
    """Where every post of a backlog is. A notebook shows it as `hpc audit` prints it."""

    name: str
    """The name of the labels."""
    audit: Audit = field(repr=False)
    """The posts by place and by day, and what is wrong with the database's rows."""
    runs_gone: Mapping[str, str]
    """Runs that the database has and whose folder is gone, with that folder."""
    is_whole: bool
    """Whether every post has its row, and nothing is wrong."""
    exit_code: int
    """What `hpc audit` exits with: 0 whole, 1 a person is needed, 3 posts are under way or new."""
    source: Source = field(repr=False)
    """The files that were read."""
    files: Files = field(repr=False)
    """The outputs that were read."""

    def _repr_html_(self) -> str:
        """Return the report, for a notebook."""
        return to_html(describe_audit(self.audit, self.name, self.source, self.files))


@dataclass(frozen=True, kw_only=True, slots=True)
class PostResult:
    """What happened to one post. A notebook shows it as `hpc audit --post` prints it."""

    uri: str
    """The post."""
    has_row: bool
    """Whether the database has a row of it, with labels or with a reason."""
    story: tuple[str, ...] = field(repr=False)
    """Where it is in the backlog, its row, and its attempts, a line each."""
    exit_code: int
    """What `hpc audit --post` exits with: 0 there is a row, 1 there is none."""

    def _repr_html_(self) -> str:
        """Return the story, for a notebook."""
        return to_html([Line(line) for line in self.story])


class AuditedBacklog(msgspec.Struct, frozen=True, kw_only=True):
    """A backlog, and the runs of its name."""

    config: Config
    """The configuration."""
    source: Source
    """The files with the posts."""
    runs: list[Run]
    """The runs of the name, oldest first."""
    unusable: list[UnusableRun]
    """Those that may be of the name and cannot be read."""


class DatabaseRecords(msgspec.Struct, frozen=True, kw_only=True):
    """What the database had of the runs of a name, before they were looked at."""

    gathered: GatheredShards = {}
    """The shards that were gathered."""
    watermark: datetime | None = None
    """From when on (UTC) the next run would take posts; None from the beginning."""
    folders: Mapping[str, str] = {}
    """The folder of each run, by run id."""


@checked
def audit(config: PathText, *, overrides: Overrides = (), say: Say | None = None) -> AuditResult:
    """Compare a backlog with the database and all outputs, and find where each post is.

    Args:
        config: the configuration, a YAML file.
        overrides: values by the path of their key.
        say: receives a message for each folder that is a copy of a run.

    Raises:
        InputError: the configuration or the source is wrong.
        BusyError: somebody has the database open for writing, maybe this process.
        RunError: the database is damaged.
        OSError: the folder for temporary files (`TMPDIR`) is full.
    """
    screen = screen_of(say)
    with library_call():
        backlog = find_backlog(config, overrides, screen)
        return audit_backlog(backlog, screen)


@checked
def explain_post(
    config: PathText, uri: str, *, overrides: Overrides = (), say: Say | None = None
) -> PostResult:
    """Return what happened to one post: its row, or why it has none.

    Args:
        config: the configuration, a YAML file.
        uri: the post.
        overrides: values by the path of their key.
        say: receives a message for each folder that is a copy of a run.

    Raises:
        InputError: the configuration or the source is wrong.
        BusyError: somebody has the database open for writing, maybe this process.
        RunError: the database is damaged.
    """
    with library_call():
        backlog = find_backlog(config, overrides, screen_of(say))
        files = PostFiles(
            inputs=list_inputs(backlog.runs),
            examine=examine_with(backlog.runs),
            look=_look_back,
            problems=[str(each) for each in backlog.unusable],
        )
        code, story = describe_post(backlog.config, backlog.source, backlog.runs, uri, files)
    return PostResult(uri=uri, has_row=code == 0, story=tuple(story), exit_code=code)


def _look_back(run: Run) -> RunStatus:
    return look(run, executor_of(run), include_done=True)


def find_backlog(config: PathText, overrides: Overrides, say: Say) -> AuditedBacklog:
    """Return the backlog of a configuration, and the runs of its name.

    Raises:
        InputError: the configuration or the source is wrong.
    """
    path = Path(config)
    checked = run_config.load(path, override_texts(overrides))
    folders = (path.parent.absolute(), Path.cwd())
    source = sources.find_source(checked.backlog, folders, database=checked.storage.database)
    for line in find_runs.find_copies(checked.storage.run_root):
        say(line)
    runs, unusable = find_runs.find_named(checked.storage.run_root, checked.name)
    return AuditedBacklog(config=checked, source=source, runs=runs, unusable=unusable)


def _exit_code(audit: Audit) -> int:
    if audit.needs_a_person:
        return FAILED
    return 0 if audit.is_whole else UNDER_WAY


def audit_backlog(backlog: AuditedBacklog, progress: Progress = NO_PROGRESS) -> AuditResult:
    """Compare a backlog with the database and the files of its runs.

    The database is read before anybody looks at the runs, and its rows and the backlog are copied
    while they are looked at.
    """
    name, storage, runs = backlog.config.name, backlog.config.storage, backlog.runs
    has_labels = duckdb_file.exists(storage.database)
    with (
        tempfile.TemporaryDirectory(prefix="hpc-audit-") as folder,
        select.session(Path(folder), storage.limits) as connection,
    ):
        recorded = _read_records(connection, backlog) if has_labels else DatabaseRecords()
        unchanged = find_unchanged(recorded.gathered, runs)
        if has_labels:
            duckdb_file.attach(connection, storage.database, backlog_audit.LABELED)
        scan = Scan(connection, backlog.source)
        load = partial(backlog_audit.load, connection, scan, name if has_labels else None)
        with in_background(load, connection.interrupt) as wait_for_rows:
            files = collect_files(recorded.gathered, unchanged, runs, backlog.unusable)
            share = partial(share_done, connection)
            with progress.step("reading the backlog and the database", measure=share):
                loaded = wait_for_rows()
        found = backlog_audit.audit(
            connection, loaded, recorded.watermark, files, examine_with(backlog.runs), progress
        )
    return AuditResult(
        name=name,
        audit=found,
        runs_gone=_deleted_runs(backlog, recorded),
        is_whole=found.is_whole,
        exit_code=_exit_code(found),
        source=backlog.source,
        files=files,
    )


def _read_records(
    connection: duckdb.DuckDBPyConnection, backlog: AuditedBacklog
) -> DatabaseRecords:
    """Return what the database has of the runs."""
    name, runs = backlog.config.name, backlog.runs
    with reading(connection, backlog.config.storage.database, backlog_audit.LABELED):
        gathered = {run.run_id: history.gathered_shards(connection, run.run_id) for run in runs}
        return DatabaseRecords(
            gathered=gathered,
            watermark=start_after(connection, name, runs, gathered),
            folders=history.run_folders(connection, name),
        )


def _deleted_runs(backlog: AuditedBacklog, recorded: DatabaseRecords) -> dict[str, str]:
    """Return the runs that the database has and whose folder is gone, with that folder.

    The next submit takes those of their posts that were not gathered.
    """
    present = {run.run_id for run in backlog.runs} | {each.run_id for each in backlog.unusable}
    return {
        run_id: folder
        for run_id, folder in recorded.folders.items()
        if run_id not in present and not Path(folder).is_dir()
    }
