"""Ask the system about processes: who descends from whom, who listens, who ran out of memory.

A process that ends during the look is left out. The count of out-of-memory kills needs Linux.
"""

import contextlib
import ctypes
import os
import resource
import time
from collections.abc import Iterable
from pathlib import Path

from pipeline.late_imports import psutil

PROC = Path("/proc")
_LISTENS = "0A"  # the kernel's TCP_LISTEN
_SOCKET = "socket:["
# Field 22 of /proc/PID/stat (proc(5)), the 20th after the command.
_START_TICKS = 19
PR_SET_DUMPABLE = 4
CGROUPS = Path("/sys/fs/cgroup")


def descendants(ancestor: int) -> list["psutil.Process"]:
    """Return the running processes below `ancestor`, also those that left its process group."""
    try:
        children = psutil.Process(ancestor).children(recursive=True)
    except psutil.NoSuchProcess:
        return []
    return [child for child in children if _has_not_ended(child)]


def send_signal(process: "psutil.Process", number: int) -> None:
    """Send a signal to a process that may have ended meanwhile."""
    with contextlib.suppress(psutil.Error):
        process.send_signal(number)


def _has_not_ended(process: "psutil.Process") -> bool:
    try:
        return process.status() not in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)
    except psutil.NoSuchProcess:
        return False


def resident_mb(process: int | None = None) -> float | None:
    """Return the resident memory of a process and all below it, in MiB; None if it is not shown.

    Pages that several of them share count for each. Linux names the children of a process, so
    this need not look at every process of the machine.

    Args:
        process: its id; by default, this process.
    """
    total = 0
    waiting = [process or os.getpid()]
    for pid in waiting:
        folder = PROC / str(pid)
        try:
            total += int((folder / "statm").read_text().split()[1]) * resource.getpagesize()
            for thread in (folder / "task").iterdir():
                waiting += map(int, (thread / "children").read_text().split())
        except (OSError, ValueError):  # it has ended, or the kernel does not name children
            continue
    return round(total / 2**20, 1) if total else None


def seconds_since_start() -> float:
    """Return for how many seconds this process has been running."""
    try:
        fields = (PROC / "self" / "stat").read_text().rpartition(")")[2].split()
    except OSError:  # this is not Linux
        created_at: float = psutil.Process().create_time()
        return time.time() - created_at
    # psutil takes 20 ms to import, and is wrong by up to a second: it adds the time of the boot in
    # whole seconds.
    ticks = int(fields[_START_TICKS])
    return time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")


class ForeignListener(ConnectionError):
    """A process that may be a stranger's listens on a port of this task."""


def listening_sockets(port: int) -> dict[int, int]:
    """Return the sockets that listen on a TCP port of this machine: the user of each, by inode.

    psutil needs a look at every process of the machine for that.

    Raises:
        OSError: the kernel does not show them.
    """
    sockets = {}
    for name in ("tcp", "tcp6"):
        path = PROC / "net" / name
        if name == "tcp6" and not path.exists():  # the machine has no IPv6
            continue
        for line in path.read_text().splitlines()[1:]:
            _, local, _, state, _, _, _, user, _, inode, *_ = line.split()
            if state == _LISTENS and int(local.rpartition(":")[2], 16) == port:
                sockets[int(inode)] = int(user)
    return sockets


def prove_listeners(port: int, ours: Iterable[int]) -> frozenset[int]:
    """Return the inodes of the sockets that listen on a port, if they are certainly ours.

    Servers can share a port without noticing: vLLM sets SO_REUSEPORT, and the kernel then spreads
    the connections. So each of them has to be held by one of `ours`. If one of `ours` cannot be
    inspected, such as a container's, it is enough that this user holds the socket.

    Raises:
        ForeignListener: one of them is not.
        OSError: nobody listens, or the kernel does not show who.
    """
    sockets = listening_sockets(port)
    if not sockets:
        raise ConnectionRefusedError("nobody listens on the port")
    held, all_seen = _sockets_held(ours)
    own_user = os.getuid()
    for inode, user in sockets.items():
        if inode not in held and (all_seen or user != own_user):
            raise ForeignListener(f"a process that is not of this task listens on port {port}")
    return frozenset(sockets)


def _sockets_held(pids: Iterable[int]) -> tuple[set[int], bool]:
    """Return the inodes of the sockets that processes hold, and whether all could be inspected."""
    inodes: set[int] = set()
    all_seen = True
    for pid in pids:
        try:
            entries = list(os.scandir(PROC / str(pid) / "fd"))
        except PermissionError:
            all_seen = False
            continue
        except OSError:  # it has ended
            continue
        for entry in entries:
            with contextlib.suppress(OSError):  # closed meanwhile
                link = os.readlink(entry.path)  # noqa: PTH115 - the entry has its path as text
                if link.startswith(_SOCKET):
                    inodes.add(int(link[len(_SOCKET) : -1]))
    return inodes, all_seen


def forbid_core_dumps() -> None:
    """Keep the memory of this process out of core dumps, and from other processes of the user.

    What this process starts writes no core file either, unless the machine hands cores to a
    program, which no limit can forbid.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)


def out_of_memory_kills() -> int:
    """Return how many processes of this control group the kernel has killed for lack of memory.

    Slurm's memory limit kills a single process, such as the server, and lets its task live. psutil
    does not know control groups, so this reads the kernel's files.
    """
    try:
        lines = (PROC / "self" / "cgroup").read_text().splitlines()
    except OSError:
        return 0
    kills = 0
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "memory":
            kills += _read_kills(CGROUPS / f"memory{path}" / "memory.oom_control")
        elif not controllers:
            kills += _read_kills(CGROUPS / path.lstrip("/") / "memory.events")
    return kills


def _read_kills(path: Path) -> int:
    try:
        words = path.read_text().split()
    except OSError:
        return 0
    return int(words[words.index("oom_kill") + 1]) if "oom_kill" in words else 0
