"""Find the process that holds a run's lock, and ask it to stop.

The holder writes a note into the lock's file. Local tasks inherit the lock's file descriptor, so
tasks whose parent is dead can hold it too, and the system reuses process ids. A note about this
machine therefore counts only while that very process runs and has the file open. Otherwise the
tasks that have the file open are the holders.
"""

import contextlib
import os
import socket
from collections.abc import Sequence
from pathlib import Path, PurePath

import msgspec

from pipeline import limits
from pipeline.late_imports import psutil
from pipeline.system.ownership import user_name

TASK = "pipeline.worker"
UNKNOWN = "-"


class LockOwner(msgspec.Struct, frozen=True):
    """A process, on this machine or on another one."""

    pid: int
    host: str
    started: str
    """When it started, in clock ticks since the machine's boot. Together with the pid, this tells
    the process from a later one with the same pid, whatever happens to the clock."""

    def __str__(self) -> str:
        of_user = f" of {self.other_user}" if self.other_user else ""
        return f"pid {self.pid}{of_user} on {self.host}"

    @property
    def other_user(self) -> str:
        """Return whose process it is if it is not this user's; empty where that is unknown."""
        if not self.is_here:
            return ""
        try:
            uid = psutil.Process(self.pid).uids().real
        except psutil.Error:
            return ""
        return "" if uid == os.getuid() else user_name(uid)

    @property
    def is_here(self) -> bool:
        """Tell whether the process is on this machine."""
        return self.host == socket.gethostname()

    @property
    def command(self) -> str:
        """Return the command line; empty where the process has ended."""
        try:
            return " ".join(psutil.Process(self.pid).cmdline())
        except psutil.Error:
            return ""

    @property
    def verb(self) -> str:
        """Return the verb of the process, such as `supervise`; empty if it is no `hpc VERB`.

        Empty also for a process on another machine, and for one that has ended.
        """
        if not self.is_here:
            return ""
        try:
            return verb_of(psutil.Process(self.pid).cmdline())
        except psutil.Error:
            return ""


def verb_of(arguments: Sequence[str]) -> str:
    """Return the verb in a command line, `hpc VERB` or `python -m hpc.VERB`; empty without one."""
    for at, word in enumerate(arguments):
        if word.startswith("hpc.") and arguments[at - 1] == "-m":
            return word.removeprefix("hpc.")
        if PurePath(word).name == "hpc":
            return next((each for each in arguments[at + 1 :] if not each.startswith("-")), "")
    return ""


def write_owner(descriptor: int) -> None:
    """Note in a lock's file that this process holds it.

    The note is synced for readers on other machines. It is only a note: a full disk does not stop
    the holder.
    """
    this = _identify(psutil.Process())
    with contextlib.suppress(OSError):
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{this.pid} {this.host} {this.started}\n".encode(), 0)
        os.fsync(descriptor)


def read_owner(lock: Path) -> LockOwner | None:
    """Return the noted holder of a lock that is held, or None where the note is missing or wrong.

    A note about another machine cannot be checked, and is believed.
    """
    noted = _read_note(lock)
    return noted if noted and (not noted.is_here or still_owns(noted, lock)) else None


def still_owns(owner: LockOwner, lock: Path) -> bool:
    """Tell whether this process of this machine still runs and has the file open.

    The kernel does not show the files of another user's process. Such a process is believed.
    """
    process = _find_process(owner)
    return process is not None and (_has_open(process, lock) or bool(owner.other_user))


def tasks_holding(lock: Path) -> list[LockOwner]:
    """Return the tasks of this machine that hold a lock, even where their parent is dead."""
    owners = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if TASK in process.cmdline() and _has_open(process, lock):
                owners.append(_identify(process))
    return owners


def send_sigterm(owner: LockOwner, lock: Path) -> bool:
    """Ask the owner to stop. Where it no longer holds the lock, return False and signal nobody.

    Raises:
        PermissionError: it is another user's process.
    """
    process = _find_process(owner)
    if process is None or not still_owns(owner, lock):
        return False
    # psutil compares the start time once more: a later process with this pid gets no signal.
    with contextlib.suppress(psutil.NoSuchProcess):
        _terminate(process, owner)
    return True


def _terminate(process: "psutil.Process", owner: LockOwner) -> None:
    try:
        process.terminate()
    except psutil.AccessDenied:
        raise PermissionError(f"{owner} is not yours to stop") from None


def _find_process(owner: LockOwner) -> "psutil.Process | None":
    try:
        process = psutil.Process(owner.pid)
        return process if _identify(process) == owner else None
    except psutil.Error:
        return None


def _read_note(lock: Path) -> LockOwner | None:
    try:
        pid, host, started = limits.read_file(lock, limits.NOTE_BYTES).decode().split()
        return LockOwner(int(pid), host, started)
    except (OSError, ValueError):
        return None


def _identify(process: "psutil.Process") -> LockOwner:
    try:
        seconds = process.create_time() - psutil.boot_time()
        started = str(round(seconds * os.sysconf("SC_CLK_TCK")))
    except psutil.Error:
        started = UNKNOWN
    return LockOwner(process.pid, socket.gethostname(), started)


def _has_open(process: "psutil.Process", lock: Path) -> bool:
    """Tell whether a process has this very file open.

    False also for another user's process, whose files the kernel does not show.
    """
    try:
        wanted = lock.stat()
        paths = [Path(file.path) for file in process.open_files()]
    except (OSError, psutil.Error):
        return False
    for path in paths:
        with contextlib.suppress(OSError):
            if os.path.samestat(path.stat(), wanted):
                return True
    return False
