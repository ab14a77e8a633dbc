"""Find a run's folder, lock it, and remove it."""

import contextlib
import errno
import fcntl
import os
import re
import shutil
import stat
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from hpc.run import lock_owner
from hpc.run.model import Run
from hpc.run.resources import Cluster
from hpc.run.retry_policy import RetryPolicy
from hpc.run.unusable_runs import SET_ASIDE, UnusableRun, find_unusable, list_folders
from pipeline import limits
from pipeline.config.check import Problems, check_record
from pipeline.errors import BusyError, InputError, RunError
from pipeline.file_system import describe_file_system
from pipeline.run_files import amendments, manifest
from pipeline.run_files.amendments import Amendment
from pipeline.run_files.manifest import Manifest

LOCK = ".lock"
PLANNING = ".planning-"
# `status` takes the lock for an instant, to see whether it is free.
LOCK_WAIT_S = 0.5
# The id is the second key of a manifest.
# A link, a folder, a socket.
_NO_FILE = frozenset({errno.ELOOP, errno.EISDIR, errno.ENXIO})
_NO_LOCKS = frozenset({errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP})


class LockLostError(RunError):
    """The file of a lock that this process holds was removed or replaced.

    Another process may hold the new file's lock, so this one must stop before it acts again.
    """


def find(run_root: Path, wanted: str | None) -> Run:
    """Return the run of a folder or an id; without one, the newest under `run_root`.

    Human codings are imported while classification runs are under way, and nothing can be done
    about them. So they are the newest run only where there is no other.

    Raises:
        InputError: there is no such run, or another version made it.
        RunError: it is unknown which run is the newest.
    """
    if wanted is None:
        return _newest(run_root)
    for folder in (Path(wanted).expanduser().absolute(), run_root / wanted):
        if (folder / manifest.FILE_NAME).is_file():
            return load(folder)
    for unusable in find_unusable(run_root):
        if unusable.folder.name == Path(wanted).name:
            raise RunError(str(unusable))
    raise InputError(f"there is no run {wanted}, neither as a folder nor under {run_root}")


def _newest(run_root: Path) -> Run:
    newest_codings: Run | None = None
    unusable = find_unusable(run_root)
    for folder in reversed(_folders(run_root)):
        if _copied_run(folder) is not None:
            continue
        _reject_newer(unusable, folder.name)
        run = load(folder)
        if not run.manifest.is_coded_by_people:
            return run
        newest_codings = newest_codings or run
    _reject_newer(unusable, "")
    if newest_codings is None:
        raise InputError(
            f"there is no run under {run_root}: create one with hpc submit --config FILE, or "
            "name another place with --run-root or --config"
        )
    return newest_codings


def _reject_newer(unusable: Sequence[UnusableRun], name: str) -> None:
    """Raise an error if a run that cannot be read is newer than the folder of this name."""
    for each in reversed(unusable):
        if each.folder.name > name:
            raise RunError(f"{each}. Or name a run in the command")


def all_runs(run_root: Path) -> list[Path]:
    """Return the folders of all runs, oldest first: a run's id begins with its time.

    Copies of runs beside their originals are left out; `find_copies` names them.
    """
    return [folder for folder in _folders(run_root) if _copied_run(folder) is None]


def find_copies(run_root: Path) -> list[str]:
    """Return a sentence for each folder that is a copy of a run beside it."""
    return [
        f"{folder} is a copy of run {run_id} next to it and is left out: move it out of {run_root}"
        for folder in _folders(run_root)
        if (run_id := _copied_run(folder)) is not None
    ]


def _copied_run(folder: Path) -> str | None:
    """Return the id of the run next to this folder that it is a copy of; None if it is no copy.

    If no folder next to it has that id as its name, this folder is the run itself, renamed.
    """
    run_id = _read_run_id(folder)
    if run_id in (None, folder.name):
        return None
    return run_id if (folder.with_name(run_id) / manifest.FILE_NAME).is_file() else None


def _read_run_id(folder: Path) -> str | None:
    """Return the run id in a folder's manifest; None where it does not begin with one."""
    try:
        beginning = manifest.read_beginning(folder / manifest.FILE_NAME)
    except OSError:
        return None
    found = re.search(rb'"run_id"\s*:\s*"([^"\\]+)"', beginning)
    return found[1].decode(errors="replace") if found else None


def _folders(run_root: Path) -> list[Path]:
    """Return the folders under the run root that have a manifest, oldest first."""
    age: dict[Path, tuple[str, int]] = {}
    for folder in list_folders(run_root):
        with contextlib.suppress(OSError):  # `find_unusable` names it
            changed_at = (folder / manifest.FILE_NAME).stat().st_mtime_ns
            # The id has the second; within it, the time of the manifest decides.
            age[folder] = folder.name.split("-")[0], changed_at
    return sorted(age, key=lambda folder: age[folder])


def named(run_root: Path, name: str) -> list[Run]:
    """Return the runs of a name, oldest first.

    Raises:
        InputError: another version made a run that may be of that name, or it was renamed.
        RunError: a run that may be of that name cannot be read.
    """
    runs, unusable = find_named(run_root, name)
    for each in unusable:
        raise each.error or RunError(str(each))
    return runs


def find_named(run_root: Path, name: str) -> tuple[list[Run], list[UnusableRun]]:
    """Return the runs of a name, oldest first, and those that may be and cannot be read.

    Raises:
        UnreadableError: the run root cannot be read now.
    """
    runs: list[Run] = []
    unusable = find_unusable(run_root)
    for folder in all_runs(run_root):
        try:
            run = load(folder)
        except (InputError, RunError, OSError) as error:
            unusable.append(UnusableRun(folder, str(error), error, _read_run_id(folder)))
        else:
            runs += [run] if run.manifest.name == name else []
    return runs, [each for each in unusable if each.may_be_of(name)]


def load(folder: Path) -> Run:
    """Return the run of a folder.

    Raises:
        InputError: the folder holds no run, or a copy of one under another name, because two
            folders of one run would be two truths. Or another version amended it.
    """
    made, amended = manifest.read(folder), amendments.read(folder)
    if folder.name != made.run_id:
        if _copied_run(folder):
            raise InputError(
                f"{folder} is a copy of run {made.run_id} next to it: use the original, or move "
                f"the copy to another run root, under the name {made.run_id}"
            )
        raise InputError(
            f"{folder} holds run {made.run_id} under another name: name it {made.run_id} again, "
            "or move it out of the run root"
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
        RunError: the file system has no locks, or something else lies where the lock should be.
    """
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = _take_lock(folder / LOCK, busy)
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


def _take_lock(path: Path, busy: str) -> int:
    """Take the lock of a file, and return its file descriptor.

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
                who = lock_owner.read_owner(path)
                raise BusyError(f"{busy} ({who})" if who else busy)
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
