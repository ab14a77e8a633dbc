"""Do a whole job, kill its tasks if that is the scenario, and count what it takes."""

import resource
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psutil

from benchmarks.chat_service import take_stats
from benchmarks.whole_job.job import Job, Labels, alive_jobs
from tests.slurm.private_cluster.cluster import SlurmCluster, wait_for

_COUNT_S = 0.1
_ACCOUNTING_S = 60.0
_ENDED = ("COMPLETED", "FAILED", "CANCELLED", "OUT_OF_MEMORY", "TIMEOUT", "NODE_FAIL")


@dataclass(frozen=True, kw_only=True, slots=True)
class WholeJob:
    """What a whole job took."""

    seconds: float
    """From the first command to the labels in DuckDB."""
    command_seconds: float
    """From the first command to the return of the last one."""
    cpu_seconds: float
    """Of the commands on the login node, and of all tasks."""
    paid_per_post: float
    """Requests that the service answered with HTTP 200, for each post."""
    killed: int
    """Processes of tasks that were killed."""


def measure(job: Job, contestant: Callable[[Job], Labels]) -> WholeJob:
    """Let a contestant do a job, and check every row."""
    job.write_posts()
    known = {row.job for row in accounted(job.cluster)}
    take_stats(job.url)
    cpu, began = children_cpu_s(), time.time()
    with watching(job) as watch:
        labels = contestant(job)
        command_s = time.time() - began
    cpu = children_cpu_s() - cpu
    job.check_rows(labels.table)
    if job.scenario.kills and not watch.killed:
        raise SystemExit(f"{job.folder}: the job ended before its tasks were killed")
    return WholeJob(
        seconds=labels.in_database_at - began,
        command_seconds=command_s,
        cpu_seconds=cpu + tasks_cpu_s(job.cluster, known),
        paid_per_post=watch.paid / job.scenario.posts,
        killed=watch.killed,
    )


@dataclass(kw_only=True, slots=True)
class Watch:
    """What the service has answered so far, and how many processes were killed."""

    paid: int = 0
    killed: int = 0


@contextmanager
def watching(job: Job) -> Iterator[Watch]:
    """Count the answers meanwhile, and kill all tasks once half of the posts are paid."""
    watch, done = Watch(), threading.Event()

    def count() -> None:
        while not done.wait(_COUNT_S):
            watch.paid += take_stats(job.url).paid
            if job.scenario.kills and not watch.killed and watch.paid * 2 >= job.scenario.posts:
                watch.killed = kill_tasks(job.cluster)

    counting = threading.Thread(target=count, name="count")
    counting.start()
    try:
        yield watch
    finally:
        done.set()
        counting.join()
        watch.paid += take_stats(job.url).paid


def kill_tasks(cluster: SlurmCluster) -> int:
    """Kill every Python of a task, as a node that runs out of memory does; return how many."""
    killed = 0
    for process in psutil.process_iter(["environ", "cmdline"]):
        environ, words = process.info["environ"] or {}, process.info["cmdline"] or []
        is_task = environ.get("SLURM_CLUSTER_NAME") == cluster.name and "SLURM_JOB_ID" in environ
        # A program with a first line that names Python has a name of its own.
        if is_task and "python" in "".join(words[:1]):
            process.send_signal(signal.SIGKILL)
            killed += 1
    return killed


def children_cpu_s() -> float:
    """Return the CPU seconds of the children that this process has waited for."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """What accounting says about a job, or a step of one."""

    job: str
    is_step: bool
    state: str
    cpu_seconds: float


def accounted(cluster: SlurmCluster) -> list[Row]:
    """Return what accounting knows about all jobs and their steps."""
    fields = "JobIDRaw,State,TotalCPU"
    table = cluster.run("sacct", "-n", "-P", "-S", "now-1days", "-o", fields)
    rows: list[Row] = []
    for line in table.splitlines():
        name, state, cpu = line.split("|")
        job, step, _ = name.partition(".")
        # State: CANCELLED by 0
        rows.append(
            Row(job=job, is_step=bool(step), state=state.split()[0], cpu_seconds=_seconds(cpu))
        )
    return rows


def tasks_cpu_s(cluster: SlurmCluster, known: set[str]) -> float:
    """Return the CPU seconds of all new tasks, once accounting has recorded their ends.

    A job's own row has none: they are in the rows of its steps.
    """

    def new_rows() -> list[Row]:
        return [row for row in accounted(cluster) if row.job not in known]

    def have_ended() -> bool:
        new = new_rows()
        return not alive_jobs(cluster) and bool(new) and all(row.state in _ENDED for row in new)

    wait_for(have_ended, _ACCOUNTING_S, "accounting knows the end of all tasks")
    return sum(row.cpu_seconds for row in new_rows() if row.is_step)


def _seconds(text: str) -> float:
    """Return the seconds that a time of Slurm's, [days-][[hours:]minutes:]seconds, stands for."""
    days, _, clock = text.rpartition("-")
    seconds = 0.0
    for part in clock.split(":"):
        seconds = seconds * 60 + float(part or 0)
    return seconds + 86_400 * int(days or 0)
