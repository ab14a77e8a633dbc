"""Read a run's folder, and remove it."""

import contextlib
import re
import shutil
from dataclasses import replace
from pathlib import Path

import msgspec

from hpc.run.cluster.resources import Cluster
from hpc.run.model.run import Run
from hpc.run.retry_policy import RetryPolicy
from pipeline.config.check import Problems, check_record
from pipeline.config.notify_settings import NotifySettings
from pipeline.config.session_limits import SessionLimits
from pipeline.errors import InputError
from pipeline.run_files import amendments, manifest
from pipeline.run_files.amendments import Amendment
from pipeline.run_files.manifest import Manifest
from pipeline.run_files.recorded_values import check_folder_name

PLANNING = ".planning-"
# The suffix of the manifest of a run that is about to be moved to the folder of this name.
SET_ASIDE = "set-aside"


def copied_run(folder: Path) -> str | None:
    """Return the id of the run next to this folder that it is a copy of; None if it is no copy.

    If no folder next to it has that id as its name, this folder is the run itself, renamed.
    """
    run_id = read_run_id(folder)
    if run_id in (None, folder.name):
        return None
    return run_id if (folder.with_name(run_id) / manifest.FILE_NAME).is_file() else None


def read_run_id(folder: Path) -> str | None:
    """Return the run id in a folder's manifest; None where it does not begin with one."""
    try:
        beginning = manifest.read_beginning(folder / manifest.FILE_NAME)
    except OSError:
        return None
    found = re.search(rb'"run_id"\s*:\s*"([^"\\]+)"', beginning)
    run_id = found[1].decode(errors="replace") if found else ""
    return None if check_folder_name(run_id) else run_id


def load(folder: Path) -> Run:
    """Return the run of a folder.

    Raises:
        InputError: the folder holds no run, or a copy of one under another name, because two
            folders of one run would be two truths. Or another version amended it.
    """
    made, amended = manifest.read(folder), amendments.read(folder)
    if folder.name != made.run_id:
        if copied_run(folder):
            raise InputError(
                f"{folder} is a copy of run {made.run_id} next to it: use the original, or move "
                f"the copy to another run root, under the name {made.run_id}"
            )
        raise InputError(
            f"{folder} holds run {made.run_id} under another name: name it {made.run_id} again, "
            "or move it out of the run root"
        )
    return typed_run(folder, amendments.apply(made, amended, folder), amended)


def reload(run: Run) -> Run:
    """Return a run as its folder says it now. A database that was chosen for it stays chosen.

    Raises:
        InputError: the folder no longer holds the run, or another version amended it.
    """
    now = load(run.folder)
    if run.chosen_database is None:
        return now
    made = msgspec.structs.replace(now.manifest, database=run.manifest.database)
    return replace(now, manifest=made, chosen_database=run.chosen_database)


def run_at(run: Run, attempt: int) -> Run:
    """Return a run as it was configured when an attempt was submitted.

    Args:
        run: the run as it is now.
        attempt: the number of the attempt's submission.
    """
    later = [each for each in run.amendments if each.after_attempt >= attempt]
    if not later:
        return run
    before = run.amendments[: len(run.amendments) - len(later)]
    return typed_run(run.folder, amendments.undo(run.manifest, later, run.folder), before)


def typed_run(folder: Path, made: Manifest, amended: tuple[Amendment, ...] = ()) -> Run:
    """Return the run of a folder, with the sections of its manifest that this program uses typed.

    Args:
        folder: the run's folder.
        made: its manifest, with the amendments applied.
        amended: the amendments.

    Raises:
        InputError: another version wrote them; the message names the manifest and each key.
    """
    source, problems = str(folder / manifest.FILE_NAME), Problems()
    cluster = check_record(Cluster, made.cluster, source=source, path="cluster", problems=problems)
    retry = check_record(RetryPolicy, made.retry, source=source, path="retry", problems=problems)
    notify = check_record(
        NotifySettings, made.notify, source=source, path="notify", problems=problems
    )
    limits = check_record(
        SessionLimits, made.session, source=source, path="session", problems=problems
    )
    problems.raise_any()
    assert cluster and retry and notify and limits
    original = _find_original(folder, made)
    return Run(folder, made, cluster, retry, original, amended, notify=notify, limits=limits)


def has_moved(run: Run) -> bool:
    """Tell whether the run's folder is elsewhere than where it was created, also as a copy."""
    created = run.manifest.folder
    return bool(created) and Path(created).resolve() != run.folder.resolve()


def _find_original(folder: Path, made: Manifest) -> Path | None:
    """Return where the run was created if it still is there too; None where it has moved."""
    created = Path(made.folder)
    if not made.folder or created == folder:
        return None
    # Where another user's folder cannot be read, this one cannot write to it either.
    with contextlib.suppress(OSError):
        if (created / manifest.FILE_NAME).is_file() and not created.samefile(folder):
            return created
    return None


def move_to_set_aside(folder: Path) -> Path:
    """Move the folder of a run in which nothing was paid for, and return where it is now.

    Its logs stay there, but nobody can resume it. The manifest is renamed first, as in `remove`.
    """
    (folder / manifest.FILE_NAME).rename(folder / f"{manifest.FILE_NAME}.{SET_ASIDE}")
    aside = folder.parent / SET_ASIDE / folder.name
    aside.parent.mkdir(exist_ok=True)
    return folder.rename(aside)


def remove(folder: Path) -> None:
    """Remove a run in which nothing was paid for.

    The folder is renamed first, because half a run must look neither like a run nor like one that
    lost its manifest. The next planning removes what cannot be removed now, such as an open lock
    on NFS.
    """
    abandoned = folder.rename(folder.with_name(f"{PLANNING}{folder.name}"))
    shutil.rmtree(abandoned, ignore_errors=True)
