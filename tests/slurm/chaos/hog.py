"""Takes memory in the cgroup of a process until the kernel has killed somebody there.

    python chaos_hog.py PID

That process is the one to be chosen; the hog lets go of everything at the first kill. Memory
cgroups v1 and v2.
"""

import pathlib
import re
import sys

CHUNK = 2 << 20
MOST = 6 << 30


def memory_cgroup(pid: int) -> pathlib.Path:
    mounts = [line.split() for line in pathlib.Path("/proc/mounts").read_text().splitlines()]
    for line in pathlib.Path(f"/proc/{pid}/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        for _, mountpoint, kind, options, *_ in mounts:
            v1 = kind == "cgroup" and "memory" in controllers.split(",")
            v2 = kind == "cgroup2" and not controllers
            if (v1 and "memory" in options.split(",")) or v2:
                folder = pathlib.Path(mountpoint + path)
                if (folder / "memory.limit_in_bytes").exists() or (folder / "memory.max").exists():
                    return folder
    raise SystemExit(f"no memory cgroup of {pid}")


def kills(cgroup: pathlib.Path) -> int:
    """Whom the kernel has killed in it or, as far as they can be seen, below its limit above."""
    total = 0
    for folder in (cgroup, *cgroup.parents[:3]):
        for name in ("memory.oom_control", "memory.events.local"):
            if (folder / name).exists():
                match = re.search(r"^oom_kill (\d+)", (folder / name).read_text(), re.MULTILINE)
                total += int(match[1]) if match else 0
    return total


def main(pid: int) -> None:
    cgroup = memory_cgroup(pid)
    (cgroup / "cgroup.procs").write_text("0")
    # Not our own down to -1000: that takes CAP_SYS_RESOURCE, which root in a container has not.
    (pathlib.Path("/proc") / str(pid) / "oom_score_adj").write_text("1000")
    before = kills(cgroup)
    taken: list[bytearray] = []
    alive = pathlib.Path(f"/proc/{pid}")
    while len(taken) * CHUNK < MOST and alive.exists():
        try:
            if kills(cgroup) > before:
                break
        except OSError:  # it is gone, and the task with it
            break
        taken.append(bytearray(b"\1") * CHUNK)
    print(f"the kernel killed it after {len(taken) * CHUNK >> 20} MB")


if __name__ == "__main__":
    main(int(sys.argv[1]))
