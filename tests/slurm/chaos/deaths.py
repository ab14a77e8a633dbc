"""How tasks die: what is done to them, and to their nodes."""

import hashlib
import os
import pathlib
import random
import signal
import subprocess
import sys
from collections.abc import Callable

from tests.slurm.chaos.site import Done, Later, Site, Task
from tests.slurm.private_cluster.cluster import wait_for

HOG = pathlib.Path(__file__).with_name("hog.py")


def find_victim(site: Site, chance: random.Random) -> tuple[Task, int] | None:
    """A running task at work, and the pid of its Python."""
    tasks = [task for task in site.running() if task.index not in site.stale]
    chance.shuffle(tasks)
    for task in tasks:
        if pid := site.worker(task):
            return task, pid
    return None


def kill_a_task(site: Site, chance: random.Random) -> Done:
    if not (victim := find_victim(site, chance)):
        return None
    task, pid = victim
    site.toll.lives["kill -9 of a task"] += 1
    site.kill([pid])
    return f"kill -9 of {task.name}", []


def kill_a_step(site: Site, chance: random.Random) -> Done:
    """Its slurmstepd too: nobody is left who could tell Slurm how it ended. Of the task's step
    alone, srun waits for ever; of all steps, Slurm notices only when it asks the node again. What
    helps is that a task that stands still is put back into the queue."""
    if not (victim := find_victim(site, chance)):
        return None
    task, _ = victim
    step = chance.choice(["step_*", "step_0"])
    pids = site.processes(task, step)
    site.toll.lives["kill -9 of a whole step"] += 1
    site.kill(pids)
    return f"kill -9 of all {len(pids)} processes in {step} of {task.name}", []


def start_a_copy(site: Site, chance: random.Random) -> Done:
    """What srun does on some clusters despite --ntasks=1: the task's command runs once more, as the
    second process of its step. It must end at once, and ask for nothing."""
    if not (victim := find_victim(site, chance)):
        return None
    task, pid = victim
    process = pathlib.Path(f"/proc/{pid}")
    try:
        command = (process / "cmdline").read_bytes().split(b"\0")[:-1]
        pairs = (process / "environ").read_bytes().split(b"\0")[:-1]
        folder = (process / "cwd").readlink()
    except OSError:
        return None
    env = dict(pair.split(b"=", 1) for pair in pairs)
    env |= {b"SLURM_PROCID": b"1", b"SLURM_LOCALID": b"1", b"SLURM_NTASKS": b"2"}
    copy = subprocess.run(
        command, env=env, cwd=folder, capture_output=True, text=True, check=True, timeout=120
    )
    assert "only copy 0 labels posts" in copy.stdout
    return f"a copy of {task.name} ended by itself", []


def open_a_black_hole(site: Site, chance: random.Random) -> Done:
    """A node on which every task ends before its first line, so that it is always idle."""
    if not (victim := find_victim(site, chance)):
        return None
    task, pid = victim
    hole = site.black_hole(task.node)
    hole.touch()
    # Makes room on the node for the next one.
    site.toll.lives["kill -9 beside a black hole"] += 1
    site.kill([pid])

    def closed() -> str:
        hole.unlink()
        return f"{task.node} lets tasks start again"

    return f"{task.node} ends every task at once", [Later(closed, chance.uniform(10, 20))]


def run_out_of_memory(site: Site, chance: random.Random) -> Done:
    """A hog in the task's cgroup takes all its memory, and the kernel kills the task."""
    if not (victim := find_victim(site, chance)):
        return None
    task, pid = victim
    site.toll.lives["out of memory"] += 1
    done = subprocess.run(
        [sys.executable, "-I", HOG, str(pid)], capture_output=True, text=True, timeout=120
    )
    if done.returncode and not _is_alive(pid):  # Slurm ends what is left of the step, the hog too
        return f"out of memory: {task.name} has ended by itself", []
    assert done.returncode == 0, done
    return f"out of memory: {task.name}: {done.stdout.strip()}", []


def run_out_of_time(site: Site, chance: random.Random) -> Done:
    if not (victim := find_victim(site, chance)):
        return None
    task, _ = victim
    done = site.cluster.call("scontrol", "update", f"JobId={task.id}", "EndTime=now+1")
    if done.returncode:
        return None
    site.toll.lives["timeout"] += 1
    return f"time limit of {task.name} is over", []


def preempt(site: Site, chance: random.Random) -> Done:
    if not (victim := find_victim(site, chance)):
        return None
    node = victim[0].node
    here = lambda: [task for task in site.running() if task.node == node]  # noqa: E731
    with site.counting("preempted", here):
        job = site.cluster.run(
            *("sbatch", "--parsable", "-p", "high", "-w", node, "--exclusive", "-o", "/dev/null"),
            # Another account: a limit of the run's own would refuse this job.
            *("-A", "root", "-t", "2", "--wrap", "sleep 2"),
        )
    return f"job {job.strip()} of a higher priority wants all of {node}", []


def cancel_an_index(site: Site, chance: random.Random) -> Done:
    if not (victim := find_victim(site, chance)):
        return None
    task, _ = victim
    site.toll.lives["cancelled"] += 1
    site.toll.cancelled.add(task.index)
    site.cluster.call("scancel", task.id)
    return f"scancel {task.name}", []


def kill_a_slurmd(site: Site, chance: random.Random) -> Done:
    """With its jobs, as a node that loses power; long enough for Slurm to notice."""
    if site.down or not (victim := find_victim(site, chance)):
        return None
    node = victim[0].node
    with site.counting("node lost", lambda: [task for task in site.running() if task.node == node]):
        site.cluster.kill_slurmd(node)
    site.down.add(node)
    return f"{node} has lost power", [Later(_back(site, node), 35)]


def _back(site: Site, node: str) -> Callable[[], str | None]:
    def back() -> str | None:
        if not site.controller_up:
            return None
        site.cluster.start_slurmd(node)
        site.down.discard(node)
        return f"{node} is back"

    return back


def wake_a_stale_attempt(site: Site, chance: random.Random) -> Done:
    """A task is frozen, its node lost to Slurm; when its successor has published, it goes on, with
    answers in hand and posts to ask. The output must stay what it is."""
    if site.down or not (victim := find_victim(site, chance)):
        return None
    task, pid = victim
    here = [other for other in site.running() if other.node == task.node]
    os.kill(pid, signal.SIGSTOP)
    site.cluster.kill_slurmd(task.node, with_jobs=False)
    site.frozen.add(pid)
    site.stale.add(task.index)
    site.down.add(task.node)
    # Those beside it run on, stale as well, until the node comes back.
    site.toll.stale += len(here)

    def wake() -> str | None:
        output = site.outputs().get(task.index)
        if output is None:
            return None
        before = _identity(output)
        os.kill(pid, signal.SIGCONT)
        wait_for(lambda: not _is_alive(pid), 60, f"stale pid {pid} has ended")
        site.frozen.discard(pid)
        assert _identity(output) == before, f"stale attempt {task.name} has changed its output"
        return f"stale {task.name} woke after its successor had published: nothing changed"

    def back() -> str | None:
        if pid in site.frozen:
            return None
        site.stale.discard(task.index)
        return _back(site, task.node)()

    return (
        f"{task.name} freezes, and Slurm loses its node (with {len(here) - 1} other tasks on it)",
        [Later(wake, 5), Later(back, 6)],
    )


def _identity(path: pathlib.Path) -> tuple[int, int, str]:
    stat = path.stat()
    return stat.st_ino, stat.st_mtime_ns, hashlib.sha256(path.read_bytes()).hexdigest()


def _is_alive(pid: int) -> bool:
    try:
        return ") Z " not in pathlib.Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False
