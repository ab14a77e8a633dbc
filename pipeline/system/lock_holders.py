"""Find the processes that hold a lock on a file, as DuckDB places it: by fcntl, on the whole file.

The kernel names the process of a lock, but only of this machine. On a shared file system, the
holder may be on another machine. The file server may then give no process id, or one that means
nothing here.
"""

import contextlib
import fcntl
import os
import struct
from collections.abc import Sequence
from pathlib import Path

import msgspec

from pipeline.late_imports import psutil
from pipeline.terminal import one_line

LOCKS = Path("/proc/locks")
# struct flock: type, whence, start, length, process.
_FLOCK = struct.Struct("hhqqi")
_MOST_NAMED = 3


class LockHolder(msgspec.Struct, frozen=True, kw_only=True):
    """A process that holds a lock on a file."""

    pid: int
    program: str
    """What it runs, such as `python -m ipykernel_launcher`; empty if the kernel does not say."""
    user: str
    """Whose process it is; empty if the kernel does not say."""
    is_here: bool
    """Whether it is a process of this machine."""

    def __str__(self) -> str:
        """Return what is known, such as `python analysis.py (pid 4711 of ana)`."""
        if not self.is_here:
            return f"a process of another machine (pid {self.pid} there)"
        of_user = f" of {self.user}" if self.user else ""
        return f"{self.program or 'a process'} (pid {self.pid}{of_user})"


def find_lock_holders(path: Path) -> tuple[LockHolder, ...]:
    """Return the other processes that hold a lock on a file, as far as the kernel names them.

    This process must hold no lock on the file: the system drops it when the file is closed here.
    """
    try:
        stat = path.stat()
        pids = [*_ask_kernel(path), *_list_processes(stat)]
    except OSError:
        return ()
    return tuple(_describe(pid) for pid in dict.fromkeys(pids) if pid != os.getpid())


def describe_holders(holders: Sequence[LockHolder]) -> str:
    """Return who holds a lock, in words that follow `is open in`."""
    if not holders:
        return "another process, maybe on another machine"
    named = [str(holder) for holder in holders[:_MOST_NAMED]]
    more = len(holders) - len(named)
    return ", ".join(named) + (f" and {more} more" if more else "")


def _ask_kernel(path: Path) -> list[int]:
    """Return the process whose lock is in the way of a writer, if there is one.

    The number of a process on another machine is negative.
    """
    question = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        kind, _, _, _, pid = _FLOCK.unpack(fcntl.fcntl(descriptor, fcntl.F_GETLK, question))
    finally:
        os.close(descriptor)
    return [pid] if kind != fcntl.F_UNLCK and pid else []


def _list_processes(stat: os.stat_result) -> list[int]:
    """Return all processes of this machine that the kernel lists for a file: there may be many."""
    device = f"{os.major(stat.st_dev):02x}:{os.minor(stat.st_dev):02x}:{stat.st_ino}"
    try:
        lines = LOCKS.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return []
    # 1: POSIX  ADVISORY  READ  4711 08:01:131 0 EOF; a lock that waits has an arrow in between.
    rows = (line.split() for line in lines)
    return [int(row[4]) for row in rows if len(row) > 5 and row[5] == device and int(row[4]) > 0]


def _describe(pid: int) -> LockHolder:
    try:
        process = psutil.Process(pid)
    except (psutil.Error, ValueError):  # psutil takes no negative number
        return LockHolder(pid=abs(pid), program="", user="", is_here=False)
    program = user = ""
    with contextlib.suppress(psutil.Error):
        user = process.username()
    with contextlib.suppress(psutil.Error):
        program = name_program(process.cmdline()) or process.name()
    return LockHolder(pid=pid, program=one_line(program, 60), user=user, is_here=True)


def name_program(words: Sequence[str]) -> str:
    """Return a program and the script or module that it runs, from a command line.

    Other arguments are left out: they may hold a password.
    """
    if not words:
        return ""
    program = Path(words[0]).name
    for number, word in enumerate(words[1:], start=1):
        if word == "-m" and number + 1 < len(words):
            return f"{program} -m {words[number + 1]}"
        if not word.startswith("-"):
            return f"{program} {Path(word).name}"
        if word in ("-c", "-e"):
            break
    return program
