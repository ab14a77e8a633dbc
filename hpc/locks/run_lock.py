"""Lock a run's folder, so that one process at a time changes it."""

import contextlib
import errno
import fcntl
import os
import stat
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from hpc.locks import lock_owner
from hpc.locks.lock_owner import LockOwner
from hpc.run.model.run import Run
from pipeline import limits
from pipeline.errors import BusyError, RunError
from pipeline.system.file_system import describe_file_system

LOCK = ".lock"
SUPERVISE = "supervise"
# `status` takes the lock for an instant, to see whether it is free.
LOCK_WAIT_S = 0.5
# A link, a folder, a socket.
_NO_FILE = frozenset({errno.ELOOP, errno.EISDIR, errno.ENXIO})
_NO_LOCKS = frozenset({errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP})


class LockLostError(RunError):
    """The file of a lock that this process holds was removed or replaced.

    Another process may hold the new file's lock, so this one must stop before it acts again.
    """


@contextlib.contextmanager
def locked(folder: Path, busy: str, *, noted: bool = True) -> Iterator[int]:
    """Hold the folder's lock; yield its file descriptor. The lock of a dead process is free.

    Args:
        folder: the folder to lock; it is created if it does not exist.
        busy: the message if another process holds the lock.
        noted: whether to note in the lock's file who holds it.

    Raises:
        BusyError: another process holds the lock; the message ends with which.
        RunError: the file system has no locks, or something else lies where the lock should be.
    """
    folder.mkdir(parents=True, exist_ok=True)

    def describe(owner: LockOwner | None) -> str:
        return f"{busy} ({owner})" if owner else busy

    with _held(_take_lock(folder / LOCK, describe), noted=noted) as descriptor:
        yield descriptor


@contextlib.contextmanager
def _held(descriptor: int, *, noted: bool) -> Iterator[int]:
    """Note who holds a lock, and give it back in the end."""
    try:
        if noted:
            lock_owner.write_owner(descriptor)
        yield descriptor
    finally:
        os.close(descriptor)


def check_lock(run: Run, lock: int) -> None:
    """Check that this process still holds the run's lock.

    A process that has held it for a while checks before each act: with another file in its place,
    two processes would submit the same shards.

    Args:
        run: the run.
        lock: file descriptor of the lock.

    Raises:
        LockLostError: it does not.
        OSError: the file cannot be inspected now.
    """
    path = run.folder / LOCK
    if not _is_file_at(path, lock):
        raise LockLostError(
            f"run {run.run_id}: {path} was removed or replaced while this process held it, so "
            "another process may be working on the run. This process stops before it does "
            "anything else. Run hpc status, then run the same command again"
        )


def _take_lock(path: Path, describe: Callable[[LockOwner | None], str]) -> int:
    """Take the lock of a file, and return its file descriptor.

    Args:
        path: the file.
        describe: returns the message if another process holds it, who may be unknown.

    Raises:
        BusyError: another process holds it.
        RunError: the file system has no locks.
    """
    deadline = time.monotonic() + LOCK_WAIT_S
    while True:
        descriptor = _open_lock(path)
        try:
            if _taken(descriptor, fcntl.LOCK_EX, path):
                # Somebody may have removed the file after it was opened. A lock on a file that
                # nobody else can open excludes nobody.
                if _is_file_at(path, descriptor):
                    return descriptor
            elif time.monotonic() > deadline:
                raise BusyError(describe(lock_owner.read_owner(path)))
            else:
                time.sleep(0.05)
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _open_lock(path: Path) -> int:
    """Open the file of a lock, which is created if it does not exist, and return its descriptor.

    Who holds it is noted in it, so a link would overwrite the file that it leads to.

    Raises:
        RunError: it is a link, a folder or a pipe.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        # Whoever shares the folder takes the lock too, so its mode is left to the umask.
        descriptor = os.open(path, flags, 0o666)
    except OSError as error:
        if error.errno not in _NO_FILE:
            raise
    else:
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            return descriptor
        os.close(descriptor)
    raise RunError(f"{path} should be a file, to be locked: look at what it is, and move it away")


def _is_file_at(path: Path, descriptor: int) -> bool:
    """Tell whether a path leads to the very file that a descriptor has open."""
    try:
        opened = os.fstat(descriptor)
    except OSError as error:
        if error.errno == errno.ESTALE:  # NFS: the file was removed on another machine
            return False
        raise
    try:
        return os.path.samestat(opened, path.stat())
    except FileNotFoundError:
        return False


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


@contextlib.contextmanager
def lock_run(run: Run) -> Iterator[int]:
    """Hold a run's lock; yield its file descriptor.

    Raises:
        BusyError: another process holds it.
        RunError: the run's folder was moved or removed, or its file system has no locks.
    """
    try:
        descriptor = _take_lock(run.folder / LOCK, partial(_describe_busy, run))
    except FileNotFoundError:
        raise RunError(
            f"{run.folder} is no longer there: another process has moved or removed the run"
        ) from None
    with _held(descriptor, noted=True):
        yield descriptor


def _describe_busy(run: Run, owner: LockOwner | None) -> str:
    """Return which command works on a run, and how this one gets its turn.

    Waiting for a supervisor may take as long as the run, and it can be started again at any time.
    """
    verb = owner.verb if owner else ""
    if not verb:
        who = f" ({owner})" if owner else ""
        return (
            f"run {run.run_id} is locked by another process (submit, resubmit, supervise or local "
            f"tasks): wait for it or stop it{who}"
        )
    wait, then = (
        ("", f", and hpc {verb} after it") if verb == SUPERVISE else ("wait for it, or ", "")
    )
    stop = f"{wait}press Ctrl-C in its terminal (tasks in Slurm keep running)"
    return (
        f"hpc {verb} is working on run {run.run_id} ({owner}): {stop}. Then run this command "
        f"again{then}"
    )


def is_locked(run: Run) -> bool:
    """Tell whether any process holds a run's lock.

    This takes a shared lock for an instant, which needs no permission to write and which no other
    reader is kept from. It is not noted, so that nobody asks this process to stop.
    """
    lock = run.folder / LOCK
    try:
        descriptor = limits.open_regular(lock)
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
