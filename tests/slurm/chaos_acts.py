"""What is done to a run, each act by itself. An act says what it did, or None where there was
nothing to do it to: then it is tried again later."""

import contextlib
import hashlib
import os
import pathlib
import random
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass

from tests.slurm.chaos_site import SHARDS, Site, Task
from tests.slurm.cluster import wait_for

HOG = pathlib.Path(__file__).with_name("chaos_hog.py")


@dataclass(frozen=True, slots=True)
class Later:
    """What belongs to an act and comes after it, in `seconds` at the earliest.
    It returns what it did, '' where nothing is left to do, None to be asked again."""

    do: Callable[[], str | None]
    seconds: float = 0.0


Done = tuple[str, list[Later]] | None
Act = Callable[[Site, random.Random], Done]


def _victim(site: Site, chance: random.Random) -> tuple[Task, int] | None:
    """A running task at work, and the pid of its Python. Not on a full disk, of which they all die
    anyhow."""
    if site.disk_is_full:
        return None
    tasks = [task for task in site.running() if task.index not in site.stale]
    chance.shuffle(tasks)
    for task in tasks:
        if pid := site.worker(task):
            return task, pid
    return None


def kill_a_task(site: Site, chance: random.Random) -> Done:
    if not (found := _victim(site, chance)):
        return None
    task, pid = found
    site.toll.lives["kill -9 of a task"] += 1
    site.kill([pid])
    return f"kill -9 of {task.name}", []


def kill_a_step(site: Site, chance: random.Random) -> Done:
    """Its slurmstepd too: nobody is left who could tell Slurm how it ended. Of the task's step
    alone, srun waits for ever, and what helps is that a standing task is put back; where jobs may
    not be requeued, the batch script's step dies with it, and Slurm misses the job."""
    if not (found := _victim(site, chance)):
        return None
    task, _ = found
    step = "step_*" if not site.requeues or chance.random() < 0.5 else "step_0"
    pids = site.processes(task, step)
    site.toll.lives["kill -9 of a whole step"] += 1
    site.kill(pids)
    return f"kill -9 of all {len(pids)} processes in {step} of {task.name}", []


def run_out_of_memory(site: Site, chance: random.Random) -> Done:
    """A hog in the task's cgroup takes all its memory, and the kernel kills the task."""
    if not (found := _victim(site, chance)):
        return None
    task, pid = found
    site.toll.lives["out of memory"] += 1
    done = subprocess.run(
        [sys.executable, "-I", HOG, str(pid)], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return f"out of memory: {task.name}: {done.stdout.strip()}", []


def run_out_of_time(site: Site, chance: random.Random) -> Done:
    if not (found := _victim(site, chance)):
        return None
    task, _ = found
    done = site.cluster.call("scontrol", "update", f"JobId={task.id}", "EndTime=now+1")
    if done.returncode:
        return None
    site.toll.lives["timeout"] += 1
    return f"time limit of {task.name} is over", []


def kill_a_slurmd(site: Site, chance: random.Random) -> Done:
    """With its jobs, as a node that loses power; long enough for Slurm to notice."""
    if site.down or not (found := _victim(site, chance)):
        return None
    node = found[0].node
    with site.counting("node lost", lambda: [one for one in site.running() if one.node == node]):
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


def preempt(site: Site, chance: random.Random) -> Done:
    if not (found := _victim(site, chance)):
        return None
    node = found[0].node
    here = lambda: [one for one in site.running() if one.node == node]  # noqa: E731
    with site.counting("preempted", here):
        job = site.cluster.run(
            *("sbatch", "--parsable", "-p", "high", "-w", node, "--exclusive", "-o", "/dev/null"),
            *("-t", "2", "--wrap", "sleep 2"),
        )
    return f"job {job.strip()} of a higher priority wants all of {node}", []


def cancel_an_index(site: Site, chance: random.Random) -> Done:
    if not (found := _victim(site, chance)):
        return None
    task, _ = found
    site.toll.lives["cancelled"] += 1
    site.toll.cancelled.add(task.index)
    site.cluster.call("scancel", task.id)
    return f"scancel {task.name}", []


def stop_slurmdbd(site: Site, chance: random.Random) -> Done:
    if not site.accounting_up:
        return None
    site.cluster.stop_slurmdbd()
    site.accounting_up = False

    def back() -> str:
        site.cluster.start_slurmdbd()
        site.accounting_up = True
        return "slurmdbd is back"

    return "slurmdbd is away", [Later(back, chance.uniform(5, 20))]


def restart_slurmctld(site: Site, chance: random.Random) -> Done:
    if not site.controller_up:
        return None
    site.controller_up = False
    site.cluster.stop_slurmctld()

    def back() -> str:
        site.cluster.start_slurmctld()
        site.controller_up = True
        return "slurmctld is back"

    return "slurmctld is away", [Later(back, chance.uniform(0, 8))]


def kill_the_supervisor(site: Site, chance: random.Random) -> Done:
    """Some times in a row: now, at other moments, and while it submits, where it does so soon."""
    if not site.kill_supervisor():
        return None

    def at_random() -> str | None:
        return "kill -9 of the supervisor again" if site.kill_supervisor() else None

    def while_it_submits() -> str | None:
        begun = site.begun_submissions()
        if begun and site.kill_supervisor():
            return f"kill -9 of the supervisor while it submits {begun}"
        return "" if site.all_published() else None

    more = [Later(at_random, chance.uniform(0.5, 12)) for _ in range(1 + chance.randrange(3))]
    more += [Later(while_it_submits, 1) for _ in range(1 + chance.randrange(2))]
    return f"kill -9 of the supervisor, and {len(more)} times more", more


def wake_a_stale_attempt(site: Site, chance: random.Random) -> Done:
    """A task is frozen, its node lost to Slurm; when its successor has published, it goes on, with
    answers in hand and posts to ask. The output must stay what it is."""
    if site.down or not (found := _victim(site, chance)):
        return None
    task, pid = found
    here = [one for one in site.running() if one.node == task.node]
    os.kill(pid, signal.SIGSTOP)
    site.cluster.kill_slurmd(task.node, with_jobs=False)
    site.frozen.add(pid)
    site.stale.add(task.index)
    site.down.add(task.node)
    # Those beside it run on, stale as well, until the node comes back.
    site.toll.lives["stale attempts"] += 2 * len(here)

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


def cut_an_output(site: Site, chance: random.Random) -> Done:
    found = {index: path for index, path in site.outputs().items() if index not in site.stale}
    if not found:
        return None
    _, path = chance.choice(sorted(found.items()))
    size = path.stat().st_size
    os.truncate(path, chance.randrange(size))
    site.toll.redone += site.posts // SHARDS
    return f"{path.name} is cut from {size} to {path.stat().st_size} bytes", []


def fill_the_disk(site: Site, chance: random.Random) -> Done:
    if site.disk_is_full or not site.running():
        return None
    filler = site.disk / "filler"
    counted = contextlib.ExitStack()
    counted.enter_context(site.counting("disk full", site.running))
    with contextlib.suppress(OSError), filler.open("wb", buffering=0) as stream:
        for size in (1 << 20, 4096, 1):
            with contextlib.suppress(OSError):
                while stream.write(bytes(size)):
                    pass
    site.disk_is_full = True

    def room() -> str:
        counted.close()
        filler.unlink()
        site.disk_is_full = False
        return "the disk has room again"

    return "the disk is full", [Later(room, chance.uniform(4, 12))]


def endpoint_out(site: Site, chance: random.Random) -> Done:
    """Shorter than a task's patience: nothing has to die of it."""
    seconds = chance.uniform(3, 8)
    site.endpoint.go_out(seconds)
    return f"503 from the endpoint for {seconds:.0f} s", []


# With their weights once each has been done.
ACTS: dict[Act, float] = {
    wake_a_stale_attempt: 1.0,
    kill_a_slurmd: 1.0,
    kill_a_task: 3.0,
    kill_a_step: 2.0,
    run_out_of_memory: 1.5,
    run_out_of_time: 2.0,
    preempt: 1.5,
    cancel_an_index: 1.5,
    stop_slurmdbd: 1.0,
    restart_slurmctld: 1.0,
    kill_the_supervisor: 2.5,
    cut_an_output: 1.5,
    fill_the_disk: 1.5,
    endpoint_out: 1.0,
}
