"""Ask the system about processes: who descends from whom, who listens, who ran out of memory.

A process that ends during the look is left out. The count of out-of-memory kills needs Linux.
"""

import contextlib
from collections.abc import Iterable
from pathlib import Path

import psutil

PROC = Path("/proc")
CGROUPS = Path("/sys/fs/cgroup")

# What asking about a process raises once it has ended.
ProcessError = psutil.Error


def descendants(ancestor: int) -> list[psutil.Process]:
    """Return the running processes below `ancestor`, also those that left its process group."""
    try:
        children = psutil.Process(ancestor).children(recursive=True)
    except psutil.NoSuchProcess:
        return []
    return [child for child in children if _has_not_ended(child)]


def _has_not_ended(process: psutil.Process) -> bool:
    try:
        return process.status() not in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)
    except psutil.NoSuchProcess:
        return False


def has_foreign_listener(port: int, ours: Iterable[int]) -> bool:
    """Tell whether a process that is certainly not one of `ours` listens on this TCP port.

    Servers can share a port without noticing: vLLM sets SO_REUSEPORT, and the kernel then spreads
    the connections. Return False where one of `ours` cannot be inspected, such as a container's.
    """
    pids = set(ours)
    for pid in pids:
        try:
            with contextlib.suppress(psutil.NoSuchProcess):
                psutil.Process(pid).num_fds()
        except psutil.AccessDenied:
            return False
    return any(
        connection.status == psutil.CONN_LISTEN
        and connection.laddr
        and connection.laddr.port == port
        and connection.pid not in pids
        for connection in psutil.net_connections("tcp")
    )


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
