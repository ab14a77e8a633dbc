"""Who holds a run's lock: noted in the lock's file, and checked before anybody is told to stop.

Local tasks inherit the lock's descriptor, so it can be held by tasks whose parent is dead, and
process ids are used again. A note therefore counts on its own machine only if that very process
lives and has the file open; where it does not, the tasks that have it open are the holders.
"""

import contextlib
import os
import signal
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PROCESSES = Path("/proc")
TASK = "pipeline.worker"
UNKNOWN = "-"


@dataclass(frozen=True, slots=True)
class LockOwner:
    """A process. `started` in clock ticks since the machine's start: with the pid it is one process
    and no later one."""

    pid: int
    host: str
    started: str

    def __str__(self) -> str:
        return f"pid {self.pid} on {self.host}"

    @property
    def is_here(self) -> bool:
        return self.host == socket.gethostname()

    @property
    def command(self) -> str:
        return " ".join(_words(self.pid))


def write_owner(descriptor: int) -> None:
    """Says in a lock's file that this process holds it. Synced, for readers on other machines; only
    a note, so that a full disk is no reason not to go on."""
    me = _process(os.getpid())
    with contextlib.suppress(OSError):
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{me.pid} {me.host} {me.started}\n".encode(), 0)
        os.fsync(descriptor)


def read_owner(lock: Path) -> LockOwner | None:
    """Who holds a lock that is held: as noted, where that is not disproved. None: nobody knows."""
    noted = _noted(lock)
    return noted if noted and (not noted.is_here or still_owns(noted, lock)) else None


def still_owns(one: LockOwner, lock: Path) -> bool:
    """Whether this process of this machine lives and has the file open."""
    return one == _process(one.pid) and _has_open(one.pid, lock)


def tasks_holding(lock: Path) -> list[LockOwner]:
    """The tasks of this machine that hold a lock, whatever became of the one that began them."""
    return [
        _process(pid)
        for path in PROCESSES.glob("[0-9]*")
        if TASK in _words(pid := int(path.name)) and _has_open(pid, lock)
    ]


def send_sigterm(one: LockOwner, lock: Path) -> bool:
    """SIGTERM; False where it holds the lock no longer, and then nothing is sent to anybody."""
    with _kept(one.pid) as descriptor:
        if not still_owns(one, lock):
            return False
        with contextlib.suppress(ProcessLookupError):
            if descriptor is None:
                os.kill(one.pid, signal.SIGTERM)
            else:
                signal.pidfd_send_signal(descriptor, signal.SIGTERM)
    return True


@contextlib.contextmanager
def _kept(pid: int) -> Iterator[int | None]:
    """A descriptor that means this process and none that gets its pid later; None where there are
    none: before Linux 5.3, as on RHEL 8."""
    try:
        descriptor = os.pidfd_open(pid)
    except (OSError, AttributeError):
        yield None
        return
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _noted(lock: Path) -> LockOwner | None:
    try:
        pid, host, started = lock.read_text(encoding="utf-8").split()
        return LockOwner(int(pid), host, started)
    except (OSError, ValueError):
        return None


def _process(pid: int) -> LockOwner:
    try:
        # After the command, which may hold blanks and brackets: field 22 of proc(5).
        fields = (PROCESSES / str(pid) / "stat").read_text(errors="replace").rpartition(")")[2]
        started = fields.split()[19]
    except (OSError, IndexError):
        started = UNKNOWN
    return LockOwner(pid, socket.gethostname(), started)


def _words(pid: int) -> list[str]:
    try:
        line = (PROCESSES / str(pid) / "cmdline").read_bytes()
    except OSError:
        return []
    return line.decode(errors="replace").rstrip("\0").split("\0")


def _has_open(pid: int, lock: Path) -> bool:
    """False also for another user's process: /proc shows its files to nobody else."""
    try:
        wanted = lock.stat()
        opened = list((PROCESSES / str(pid) / "fd").iterdir())
    except OSError:
        return False
    for path in opened:
        with contextlib.suppress(OSError):
            if os.path.samestat(path.stat(), wanted):
                return True
    return False
