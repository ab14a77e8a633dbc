"""Records what a real Slurm answers to the product's queries, for tests/hpc/*/test_recorded*.py.

    python -m tests.data.sacct.record [--into FOLDER] [SCENARIO ...]     # as root; seven minutes

Boots the private cluster of tests/slurm, brings arrays into every state that matters, and writes
`<scenario>.sacct.txt` and `<scenario>.squeue.txt` into FOLDER (this one): first a `#` line with
Slurm's version and the command, then stdout as it came. Only names differ from what Slurm printed:
the scenario's first job is 4001 (the next 4002), and nodes are n1 to n4, so that recordings can be
compared. `bash .ci/with-slurm-24.11 .venv/bin/python -m tests.data.sacct.record --into FOLDER`
shows what another Slurm answers; where that differs, it is kept as `<scenario>.24.11.…`.
"""

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

from tests.data.sacct import mishaps
from tests.data.sacct.scenario import HERE, Scenario
from tests.slurm.private_cluster.cluster import SlurmCluster
from tests.slurm.private_cluster.programs import environment

GREEDY = f"{sys.executable} -c 'x = bytearray(300 << 20)'"
# A partition whose jobs are put back into the queue when `high` needs their node.
AGAIN = "PartitionName=again Nodes=ALL MaxTime=04:00:00 PriorityTier=1 PreemptMode=REQUEUE"


def completed(at: Scenario) -> None:
    at.submit("--array=0-2", "--wrap", "srun true")
    at.until(at.accounting, r"(.*\|COMPLETED\|.*\n){9}")  # a task, its batch step, its step
    at.record()


def failed(at: Scenario) -> None:
    at.submit("--array=3,7", "--wrap", "srun sh -c 'exit 3'")
    at.until(at.accounting, r"(.*\|FAILED\|.*\n){6}")
    at.record()


def out_of_memory(at: Scenario) -> None:
    at.submit("--array=5", "--mem=50", "--wrap", f"exec {GREEDY}")
    at.until(at.accounting, r".*_5\|OUT_OF_MEMORY\|.*\.batch\|OUT.*")
    at.record()


def out_of_memory_in_a_step(at: Scenario) -> None:
    """Index 5 fails because of it, index 6 goes on and succeeds."""
    wrapped = f"srun {GREEDY} || test $SLURM_ARRAY_TASK_ID = 6"
    at.submit("--array=5-6", "--mem=50", "--wrap", wrapped)
    at.until(at.accounting, r".*_5\|(FAILED|OUT_OF_MEMORY)\|.*_6\|[CO].*_6\.0\|OUT.*")
    at.record()


def timeout(at: Scenario) -> None:
    """Accounting has the end while the controller still waits for the processes (KillWait)."""
    node = at.cluster.node_names[0]
    at.submit("--array=0", "-t", "1", "-w", node, "--wrap", "trap '' TERM; sleep 600")
    at.until(at.accounting, r".*_0\|TIMEOUT\|.*", 150)
    at.record(moment=".completing")
    at.until(at.queue, r".*_0\|TIMEOUT\|.*")
    at.record()


def cancelled(at: Scenario) -> None:
    """Indices 0 and 1 while they ran, 2 to 9 while they waited."""
    job = at.submit("--array=0-9%2", "--wrap", "sleep 600")
    at.until(at.queue, r".*\|RUNNING\|.*\|RUNNING\|.*")
    at.cluster.run("scancel", job)
    at.until(
        at.accounting,
        r".*\[2-9%2\]\|CANCELLED.*_0\|CANCELLED.*_1\|CANCELLED.*|"
        r".*_0\|CANCELLED.*_1\|CANCELLED.*\[2-9%2\]\|CANCELLED.*|(.*\|CANCELLED.*\n){10,}",
    )
    at.until(at.queue, r"(.*\|CANCELLED\|.*\n){3}")
    at.record()


def node_fail(at: Scenario) -> None:
    node = at.cluster.node_names[2]
    at.submit("--array=0", "--no-requeue", "-w", node, "--wrap", "sleep 600")
    again = at.submit("--array=0", "--requeue", "-w", node, "--wrap", "sleep 600")
    at.until(at.queue, r".*\|RUNNING\|.*\|RUNNING\|.*")
    at.cluster.kill_slurmd(node)
    at.until(at.accounting, r".*_0\|NODE_FAIL\|.*", 120)
    at.until(at.queue, rf".*{again}_0\|(PENDING|REQUEUED)\|.*", 120)
    at.record()
    at.cluster.start_slurmd(node)


def throttled(at: Scenario) -> None:
    at.submit("--array=0-10%2", "--wrap", "sleep 600")
    at.until(at.queue, r".*JobArrayTaskLimit.*\|RUNNING\|.*\|RUNNING\|.*")
    at.until(at.accounting, r".*\|RUNNING\|.*\|RUNNING\|.*")
    at.record()


def pending(at: Scenario) -> None:
    """A list of ranges, a stepped one, and a long one."""
    later = "--begin=now+1hour"
    at.submit("--array=4-10,12%2", later, "--wrap", "true")
    at.submit("--array=0-20:2%3", later, "--wrap", "true")
    at.submit(f"--array={','.join(str(i) for i in range(1, 200, 2))}", later, "--wrap", "true")
    at.submit(f"--array={','.join(str(i * i) for i in range(1, 30))}", later, "--wrap", "true")
    at.until(at.queue, r"(.*\|BeginTime\n){4}")
    at.until(at.accounting, r"(.*\|PENDING\|.*\n){4}")
    at.record()
    at.record_cut()


def held(at: Scenario) -> None:
    at.submit("--array=1-3", "--hold", "--wrap", "true")
    at.until(at.queue, r".*\|JobHeldUser\n")
    at.until(at.accounting, r".*\|PENDING\|.*")
    at.record()


def preempted(at: Scenario) -> None:
    """The first is over for good; the second waits for its next life under the same id."""
    node = at.cluster.node_names[3]
    for partition in ("normal", "again"):
        at.submit("--array=0", "-p", partition, "-w", node, "--mem=0", "-n4", "--wrap", "sleep 600")
        if partition == "normal":
            at.until(at.queue, r".*\|RUNNING\|.*")
            _push_out(at, node, r".*_0\|PREEMPTED\|.*")
    at.until(at.queue, r".*\|RUNNING\|.*", 120)
    _push_out(at, node, r".*_0\|(PENDING|REQUEUED)\|.*")
    at.record()


def _push_out(at: Scenario, node: str, seen: str) -> None:
    job = at.cluster.run("sbatch", "--parsable", "-o", "/dev/null", "-p", "high", "-w", node,
                         "--exclusive", "--wrap", "sleep 8").strip()  # fmt: skip
    at.until(at.queue, seen)
    print(f"{at.name}: pushed out by {job}", flush=True)


def requeued(at: Scenario) -> None:
    """The same id before its second life, and in it."""
    job = at.submit("--array=0", "--wrap", "sleep 600")
    at.until(at.queue, r".*\|RUNNING\|.*")
    at.until(at.accounting, r".*\|RUNNING\|.*")
    at.cluster.run("scontrol", "requeue", f"{job}_0")
    at.until(at.queue, r".*_0\|(PENDING)\|.*")
    at.record()
    at.until(at.queue, r".*\|RUNNING\|.*", 180)
    at.until(at.accounting, r".*\|RUNNING\|.*")
    at.record(moment=".second-life")


def requeued_on_hold(at: Scenario) -> None:
    job = at.submit("--array=0-1", "--wrap", "sleep 600")
    at.until(at.queue, r".*\|RUNNING\|.*\|RUNNING\|.*")
    at.cluster.run("scontrol", "requeuehold", f"{job}_0")
    at.cluster.run("scontrol", "requeuehold", "State=SpecialExit", f"{job}_1")
    time.sleep(8)  # a recording waits for whatever state it settles in
    at.record()


def suspended(at: Scenario) -> None:
    """And what is left of it when it has gone on and ended."""
    job = at.submit("--array=0-1", "--wrap", "sleep 600")
    at.until(at.queue, r".*\|RUNNING\|.*\|RUNNING\|.*")
    at.until(at.accounting, r".*_0\|RUNNING\|.*_1\|RUNNING\|.*")
    at.cluster.run("scontrol", "suspend", f"{job}_0,{job}_1")
    at.until(at.queue, r".*\|SUSPENDED\|.*\|SUSPENDED\|.*")
    at.until(at.accounting, r".*\|SUSPENDED\|.*\|SUSPENDED\|.*")
    at.record()
    at.cluster.run("scontrol", "resume", f"{job}_0,{job}_1")
    at.until(at.queue, r".*\|RUNNING\|.*\|RUNNING\|.*")
    at.cluster.run("scancel", job)
    at.until(at.queue, r".*\|CANCELLED\|.*\|CANCELLED\|.*")
    time.sleep(8)
    at.record(moment=".ended")


def unknown(at: Scenario) -> None:
    """A job that nobody knows: sacct prints nothing and ends with code 0."""
    at.jobs.append("4000000")
    at.record()


SCENARIOS = (
    completed, failed, out_of_memory, out_of_memory_in_a_step, throttled, pending, held, cancelled,
    requeued_on_hold, suspended, unknown, preempted, node_fail, requeued, timeout,
    *mishaps.SCENARIOS,
)  # fmt: skip


def main(wanted: list[str], into: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="record-") as folder:
        extra_conf = [AGAIN, mishaps.prolog(Path(folder))]
        with SlurmCluster(Path(folder), extra_conf=extra_conf) as cluster:
            record(cluster, wanted, into)


def record(cluster: SlurmCluster, wanted: list[str], into: Path) -> None:
    os.environ.update(environment() | cluster.env)
    for scenario in SCENARIOS:
        name = scenario.__name__.replace("_", "-")
        if wanted and name not in wanted:
            continue
        at = Scenario(cluster, name, into)
        try:
            scenario(at)
        except Exception:
            print(f"{name}:\n{at.queue()}{at.accounting()}", file=sys.stderr, flush=True)
            raise
        cluster.run("scancel", "-n", f"hpc-{name}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--into", type=Path, default=HERE)
    parser.add_argument("scenarios", nargs="*")
    given = parser.parse_args()
    main(given.scenarios, given.into)
