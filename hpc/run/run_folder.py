"""Find a run's folder, lock it, and remove it."""

import contextlib
import errno
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
from pipeline.errors import BusyError, InputError, RunError
from pipeline.file_system import describe_file_system
from pipeline.run_files import amendments, manifest
from pipeline.run_files.amendments import Amendment
from pipeline.run_files.manifest import Manifest

LOCK = ".lock"
PLANNING = ".planning-"
SET_ASIDE = "set-aside"
# `status` takes the lock for an instant, to see whether it is free.
LOCK_WAIT_S = 0.5
_NO_LOCKS = frozenset({errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP})


def find(run_root: Path, wanted: str | None) -> Run:
    """Return the run of a folder or an id; without one, the newest under `run_root`.

    Raises:
        InputError: there is no such run, or another version made it.
    """
    if wanted is None:
        folders = all_runs(run_root)
        if not folders:
            raise InputError(
                f"there is no run under {run_root}: create one with hpc submit --config FILE, or "
                "name another place with --run-root or --config"
            )
        return load(folders[-1])
    for folder in (Path(wanted).expanduser().absolute(), run_root / wanted):
        if (folder / manifest.FILE_NAME).is_file():
            return load(folder)
    raise InputError(f"there is no run {wanted}, neither as a folder nor under {run_root}")


def all_runs(run_root: Path) -> list[Path]:
    """Return the folders of all runs, oldest first: a run's id begins with its time."""
    if not run_root.is_dir():
        return []
    found = run_root.glob(f"[0-9]*/{manifest.FILE_NAME}")
    # The id has the second; within it, the time of the manifest decides.
    age = {path.parent: (path.parent.name.split("-")[0], path.stat().st_mtime_ns) for path in found}
    return sorted(age, key=lambda folder: age[folder])


def named(run_root: Path, name: str) -> list[Run]:
    """Return the runs of a name, oldest first."""
    return [run for run in map(load, all_runs(run_root)) if run.manifest.name == name]


def load(folder: Path) -> Run:
    """Return the run of a folder.

    Raises:
        InputError: the folder holds no run, or a copy of one under another name, because two
            folders of one run would be two truths. Or another version amended it.
    """
    made, amended = manifest.read(folder), amendments.read(folder)
    if folder.name != made.run_id:
        raise InputError(
            f"{folder} holds run {made.run_id}: it is a copy or was renamed; name it "
            f"{made.run_id} again, or move it out of the run root"
        )
    return typed_run(folder, amendments.apply(made, amended, folder), amended)


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
    problems.raise_any()
    assert cluster and retry
    original = _find_original(folder, made)
    return Run(folder, made, cluster, retry, original, amended)


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


@contextlib.contextmanager
def locked(folder: Path, busy: str, *, noted: bool = True) -> Iterator[int]:
    """Hold the folder's lock; yield its file descriptor. The lock of a dead process is free.

    Args:
        folder: the folder to lock; it is created if it does not exist.
        busy: the message if another process holds the lock.
        noted: whether to note in the lock's file who holds it.

    Raises:
        BusyError: another process holds the lock; the message ends with which.
        RunError: the file system has no locks.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = folder / LOCK
    # Whoever shares the folder takes the lock too, so its mode is left to the umask.
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        deadline = time.monotonic() + LOCK_WAIT_S
        while not _taken(descriptor, fcntl.LOCK_EX, lock):
            if time.monotonic() > deadline:
                who = lock_owner.read_owner(lock)
                raise BusyError(f"{busy} ({who})" if who else busy)
            time.sleep(0.05)
        if noted:
            lock_owner.write_owner(descriptor)
        yield descriptor
    finally:
        os.close(descriptor)


def _taken(descriptor: int, kind: int, lock: Path) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        raise describe_lock_failure(error, lock) from None
    return True


def describe_lock_failure(error: OSError, lock: Path) -> OSError | RunError:
    """Return what to raise where a file cannot be locked.

    Some file systems have no locks: Lustre without `-o flock`, NFS without its lock service.
    """
    if error.errno not in _NO_LOCKS:
        return OSError(error.errno, error.strerror, str(lock))
    return RunError(
        f"{lock}: {describe_file_system(lock)} cannot lock files ({error.strerror}). Put the runs "
        "on another file system that all nodes see (storage.run_root)"
    )


def lock_run(run: Run) -> contextlib.AbstractContextManager[int]:
    """Hold a run's lock; yield its file descriptor.

    Raises:
        BusyError: another process holds it.
    """
    return locked(
        run.folder,
        f"run {run.run_id} is locked by another process (submit, resubmit, supervise or local "
        "tasks): wait for it or stop it",
    )


def is_locked(run: Run) -> bool:
    """Tell whether any process holds a run's lock.

    This takes a shared lock for an instant, which needs no permission to write and which no other
    reader is kept from. It is not noted, so that nobody asks this process to stop.
    """
    lock = run.folder / LOCK
    try:
        descriptor = os.open(lock, os.O_RDONLY)
    except FileNotFoundError:  # nobody has ever taken it
        return False
    try:
        deadline = time.monotonic() + LOCK_WAIT_S
        while not _taken(descriptor, fcntl.LOCK_SH, lock):
            if time.monotonic() > deadline:
                return True
            time.sleep(0.05)
        return False
    finally:
        os.close(descriptor)


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

    The manifest is removed first, because half a run must not look like one. The next planning
    removes what cannot be removed now, such as an open lock on NFS.
    """
    (folder / manifest.FILE_NAME).unlink(missing_ok=True)
    abandoned = folder.rename(folder.with_name(f"{PLANNING}{folder.name}"))
    shutil.rmtree(abandoned, ignore_errors=True)
