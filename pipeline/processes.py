"""What the kernel tells of processes: who descends from whom, who listens, whom memory killed.

Linux only, as Slurm's nodes are. A process that ends while it is looked at is simply not there.
"""

from collections.abc import Iterable
from pathlib import Path

PROC = Path("/proc")
CGROUPS = Path("/sys/fs/cgroup")
_LISTENS = "0A"


def descendants(ancestor: int) -> set[int]:
    """The processes below `ancestor` that have not ended; those that left its group too."""
    children: dict[int, list[int]] = {}
    ended: set[int] = set()
    for path in PROC.glob("[0-9]*/stat"):
        try:
            # The name, in parentheses, may hold anything, blanks and parentheses too.
            state, parent, *_ = path.read_text(errors="replace").rpartition(")")[2].split()
        except (OSError, ValueError):
            continue
        pid = int(path.parent.name)
        children.setdefault(int(parent), []).append(pid)
        if state in "ZX":
            ended.add(pid)
    found: set[int] = set()
    below = children.get(ancestor, [])
    while below:
        found.update(below)
        below = [child for pid in below for child in children.get(pid, [])]
    return found - ended


def foreign_listener(port: int, ours: Iterable[int]) -> bool:
    """Whether something listens on this TCP port that is certainly none of our processes.

    Servers may share a port unawares: vLLM sets SO_REUSEPORT, and the kernel then deals out the
    connections. False where a process of ours may not be looked into, as one of a container.
    """
    listening = {
        fields[9]
        for table in ("tcp", "tcp6")
        for fields in _sockets(PROC / "net" / table)
        if fields[3] == _LISTENS and int(fields[1].rpartition(":")[2], 16) == port
    }
    held: set[str] = set()
    for pid in ours:
        try:
            held |= _held_sockets(pid)
        except PermissionError:
            return False
    return bool(listening - held)


def _sockets(table: Path) -> list[list[str]]:
    try:
        return [line.split() for line in table.read_text().splitlines()[1:]]
    except OSError:  # without IPv6
        return []


def _held_sockets(pid: int) -> set[str]:
    held = set()
    try:
        for link in (PROC / str(pid) / "fd").iterdir():
            name = _target(link)
            if name.startswith("socket:["):
                held.add(name[len("socket:[") : -1])
    except (FileNotFoundError, ProcessLookupError):
        pass
    return held


def _target(link: Path) -> str:
    try:
        return str(link.readlink())
    except FileNotFoundError:
        return ""


def out_of_memory_kills() -> int:
    """How many processes of this one's control group the kernel has killed for want of memory.

    Slurm's limit kills one process, such as the server, and lets its task live.
    """
    try:
        lines = (PROC / "self" / "cgroup").read_text().splitlines()
    except OSError:
        return 0
    kills = 0
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "memory":
            kills += _count(CGROUPS / f"memory{path}" / "memory.oom_control")
        elif not controllers:
            kills += _count(CGROUPS / path.lstrip("/") / "memory.events")
    return kills


def _count(path: Path) -> int:
    try:
        words = path.read_text().split()
    except OSError:
        return 0
    return int(words[words.index("oom_kill") + 1]) if "oom_kill" in words else 0
