"""The end of a cluster, also when its owner gets no chance to end it (kill -9, a lost terminal).

`SlurmCluster.stop` calls `sweep` itself. As a program this file waits for the other case: the
owner tells it the pid of each daemon on stdin, and the kernel closes that pipe whenever the owner
dies. Standard library only, and no imports from here, so that it runs as a plain file.

    python watchdog.py CLUSTER_NAME FOLDER_TO_REMOVE...
"""

import contextlib
import os
import pathlib
import shutil
import signal
import sys
import time
from collections.abc import Iterator, Sequence

QUIET_S = 0.3  # a slurmstepd just forked by a dead slurmd has joined its cgroup by then


def cgroups(nodes: str) -> Iterator[pathlib.Path]:
    """The topmost cgroups of the nodes that match a pattern, in each mounted hierarchy.

    cgroup v1: `slurm_<node>` in each controller. v2: `system.slice/<node>_slurmstepd.scope`.
    """
    for line in pathlib.Path("/proc/mounts").read_text().splitlines():
        _, mountpoint, kind, *_ = line.split()
        if kind in ("cgroup", "cgroup2"):
            yield from pathlib.Path(mountpoint).glob(f"slurm_{nodes}")
            yield from pathlib.Path(mountpoint).glob(f"system.slice/{nodes}_slurmstepd.scope")


def processes(cgroup: pathlib.Path) -> list[int]:
    """The pids in a cgroup and below: slurmstepds, jobs, and whatever those left behind."""
    pids: list[int] = []
    for procs in _files(cgroup, "cgroup.procs"):
        with contextlib.suppress(OSError):  # the cgroup went away, or is threaded (v2)
            pids += [int(pid) for pid in procs.read_text().split()]
    return pids


def _files(cgroup: pathlib.Path, name: str) -> Iterator[pathlib.Path]:
    """Of this name, below a cgroup. Unlike rglob, os.walk passes over what Slurm removes meanwhile,
    as it does with the cgroup of a job that ends."""
    for folder, _, names in os.walk(cgroup):
        if name in names:
            yield pathlib.Path(folder, name)


def end_processes(cgroup: pathlib.Path) -> int:
    """Kill all processes of a cgroup; returns how many there were."""
    for state in _files(cgroup, "freezer.state"):  # a suspended job is frozen, and can't die so
        with contextlib.suppress(OSError):
            state.write_text("THAWED")
    pids = processes(cgroup)
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return len(pids)


def end_jobs(nodes: str) -> int:
    """Kill all processes in the cgroups of some nodes; returns how many there were."""
    return sum(end_processes(cgroup) for cgroup in cgroups(nodes))


def remove(cgroup: pathlib.Path) -> None:
    """Remove an empty cgroup, leaves first; a busy one stays for the next round."""
    for folder in sorted((folder for folder, _, _ in os.walk(cgroup)), reverse=True):
        with contextlib.suppress(OSError):
            pathlib.Path(folder).rmdir()


def sweep(cluster_name: str, folders: Sequence[pathlib.Path], timeout: float = 60) -> None:
    """End the cluster's jobs, remove its cgroups and folders; its daemons are dead already.

    Raises:
        RuntimeError: processes still hold a cgroup after `timeout` seconds.
    """
    nodes = f"{cluster_name}n*"
    deadline = time.monotonic() + timeout
    quiet_since = time.monotonic()
    while time.monotonic() - quiet_since < QUIET_S:
        if end_jobs(nodes):
            quiet_since = time.monotonic()
        for cgroup in cgroups(nodes):
            remove(cgroup)
        left = list(cgroups(nodes))
        if left:
            quiet_since = time.monotonic()
        if left and time.monotonic() > deadline:
            holders = {str(cgroup): processes(cgroup) for cgroup in left}
            raise RuntimeError(f"cluster {cluster_name}: cgroups not removed: {holders}")
        time.sleep(0.02)
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)


def watch(cluster_name: str, folders: Sequence[pathlib.Path]) -> None:
    """Wait for the owner's end, then end what it started.

    A pidfd names one process for good: a number used again later is not mistaken for a daemon.
    """
    pidfds: list[int] = []
    for line in sys.stdin:
        with contextlib.suppress(ProcessLookupError):
            pidfds.append(os.pidfd_open(int(line)))
    for pidfd in pidfds:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    sweep(cluster_name, folders)


if __name__ == "__main__":
    watch(sys.argv[1], [pathlib.Path(folder) for folder in sys.argv[2:]])
