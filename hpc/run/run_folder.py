"""A run's folder: where it is, and its lock."""

import contextlib
import fcntl
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from hpc.run import lock_owner
from hpc.run.model import Run
from hpc.run.resources import Cluster
from hpc.run.retry_policy import RetryPolicy
from pipeline.config.check import Problems, check_record
from pipeline.errors import BusyError, InputError
from pipeline.run_files import manifest
from pipeline.run_files.manifest import Manifest

LOCK = ".lock"
PLANNING = ".planning-"
SET_ASIDE = "set-aside"
# A `status` takes the lock for an instant, to see whether it is free.
LOCK_WAIT_S = 0.5


def find(run_root: Path, wanted: str | None) -> Run:
    """The run of a folder or an id; without one the newest under `run_root`.

    Raises InputError where there is none, or one of another version.
    """
    if wanted is None:
        folders = all_runs(run_root)
        if not folders:
            raise InputError(
                f"there is no run under {run_root}: python -m hpc.submit --config FILE makes one "
                "(--run-root or --config names another place)"
            )
        return load(folders[-1])
    for folder in (Path(wanted).expanduser().absolute(), run_root / wanted):
        if (folder / manifest.FILE_NAME).is_file():
            return load(folder)
    raise InputError(f"there is no run {wanted}, neither as a folder nor under {run_root}")


def all_runs(run_root: Path) -> list[Path]:
    """Oldest first: a run's id begins with the time at which it was made."""
    if not run_root.is_dir():
        return []
    found = run_root.glob(f"[0-9]*/{manifest.FILE_NAME}")
    # The id says the second; within one, what was written later.
    age = {path.parent: (path.parent.name.split("-")[0], path.stat().st_mtime_ns) for path in found}
    return sorted(age, key=lambda folder: age[folder])


def named(run_root: Path, name: str) -> list[Run]:
    """The runs of a name, oldest first."""
    return [run for run in map(load, all_runs(run_root)) if run.manifest.name == name]


def load(folder: Path) -> Run:
    """Raises InputError for what is no run, and for a copy under another name: two folders of one
    run would be two truths."""
    made = manifest.read(folder)
    if folder.name != made.run_id:
        raise InputError(
            f"{folder} holds run {made.run_id}: it is a copy, or was renamed; call it "
            f"{made.run_id} again, or move it out of the run root"
        )
    return typed_run(folder, made)


def typed_run(folder: Path, made: Manifest) -> Run:
    """Return the run of a folder, with the sections of its manifest that this program uses typed.

    Raises:
        InputError: another version wrote them; the message names the manifest and each key.
    """
    source, problems = str(folder / manifest.FILE_NAME), Problems()
    cluster = check_record(Cluster, made.cluster, source=source, path="cluster", problems=problems)
    retry = check_record(RetryPolicy, made.retry, source=source, path="retry", problems=problems)
    problems.raise_any()
    assert cluster and retry
    return Run(folder, made, cluster, retry)


@contextlib.contextmanager
def locked(folder: Path, busy: str, *, noted: bool = True) -> Iterator[int]:
    """Holds the folder's lock, and notes in its file who does; yields its file descriptor. A dead
    holder's lock is free.

    Raises BusyError with the message `busy`, and who it is, where another process holds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = folder / LOCK
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        deadline = time.monotonic() + LOCK_WAIT_S
        while not _taken(descriptor):
            if time.monotonic() > deadline:
                who = lock_owner.read_owner(lock)
                raise BusyError(f"{busy} ({who})" if who else busy)
            time.sleep(0.05)
        if noted:
            lock_owner.write_owner(descriptor)
        yield descriptor
    finally:
        os.close(descriptor)


def _taken(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def lock_run(run: Run) -> contextlib.AbstractContextManager[int]:
    return locked(
        run.folder,
        f"run {run.run_id} is in the hands of another process (submit, resubmit or supervise, or "
        "tasks of the local executor): wait for it, or end it",
    )


def is_locked(run: Run) -> bool:
    """Takes the lock for an instant, unnoted: who only looks must not be told to stop for it."""
    try:
        with locked(run.folder, "", noted=False):
            return False
    except BusyError:
        return True


def move_to_set_aside(folder: Path) -> Path:
    """Of a run in which nothing was paid for: where it is now, with its logs, and no run any more,
    so that nobody goes on with it. The manifest goes first, as in `remove`."""
    (folder / manifest.FILE_NAME).rename(folder / f"{manifest.FILE_NAME}.{SET_ASIDE}")
    aside = folder.parent / SET_ASIDE / folder.name
    aside.parent.mkdir(exist_ok=True)
    return folder.rename(aside)


def remove(folder: Path) -> None:
    """Of a run in which nothing was paid for. The manifest goes first: half a run is none. What
    cannot be removed, as on NFS a lock that is open, the next planning clears away."""
    (folder / manifest.FILE_NAME).unlink(missing_ok=True)
    abandoned = folder.rename(folder.with_name(f"{PLANNING}{folder.name}"))
    shutil.rmtree(abandoned, ignore_errors=True)
