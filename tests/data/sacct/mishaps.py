"""More scenarios for record.py: what a person, an administrator or a broken node does to arrays."""

import re
from collections.abc import Callable
from pathlib import Path

from tests.data.sacct.scenario import Scenario

BROKEN = "prolog-fails"
Played = Callable[[Scenario], None]


def prolog(folder: Path) -> str:
    """A line of slurm.conf: no job can be launched while there is a file BROKEN in `folder`."""
    script = folder / "prolog"
    script.write_text(f"#!/bin/sh\n[ ! -e {folder / BROKEN} ]\n")
    script.chmod(0o755)
    return f"Prolog={script}"


def cancelled_waiting(at: Scenario) -> None:
    """The whole array, before any of it ran."""
    job = at.submit("--array=0-3", "--begin=now+1hour", "--wrap", "true")
    at.until(at.queue, r".*\|BeginTime\n")
    at.until(at.accounting, r".*\|PENDING\|.*")
    at.cluster.run("scancel", job)
    at.until(at.queue, r".*\|CANCELLED\|.*")
    at.until(at.accounting, r"(.*\|CANCELLED.*\n)+")
    at.record()


def half_cancelled(at: Scenario) -> None:
    """By index: 0 while it ran, 3 and 4 while they waited; 1, 2, 5 and 6 go on."""
    job = at.submit("--array=0-6%2", "-w", at.cluster.node_names[0], "--wrap", "sleep 600")
    at.until(at.queue, r".*\|RUNNING\|.*\|RUNNING\|.*")
    at.until(at.accounting, r".*_0\|RUNNING\|.*_1\|RUNNING\|.*")
    at.cluster.run("scancel", f"{job}_0", f"{job}_3", f"{job}_4")
    at.until(at.queue, r"(?=.*_1\|RUNNING)(?=.*_2\|RUNNING)(?=.*_0\|CANCELLED).*")
    at.until(at.accounting, r"(?=.*_0\|CANCELLED)(?=.*_2\|RUNNING).*")
    at.record()


def cancelled_one_by_one(at: Scenario) -> None:
    """Index 0 fails, and while it ran all that waited were cancelled, by index."""
    node = at.cluster.node_names[0]
    go = at.cluster.folder / "go"
    wrapped = f"while [ ! -e {go} ]; do sleep 0.1; done; exit 3"
    job = at.submit("--array=0-3%1", "-w", node, "--wrap", wrapped)
    at.until(at.queue, r".*_0\|RUNNING\|.*")
    at.until(at.accounting, r".*_0\|RUNNING\|.*")
    at.cluster.run("scancel", *(f"{job}_{index}" for index in (1, 2, 3)))
    at.until(at.accounting, r".*\|CANCELLED.*")
    at.record(moment=".running")
    go.touch()
    at.until(at.queue, r".*_0\|FAILED\|.*")
    at.until(at.accounting, r".*_0\|FAILED\|.*")
    at.record()


def cancelled_at_once(at: Scenario) -> None:
    """All of them, by index, before accounting has heard of the array: 22.05 lists no indices."""
    job = at.submit("--array=0-3%1", "--begin=now+1hour", "--wrap", "true")
    at.cluster.run("scancel", *(f"{job}_{index}" for index in range(4)))
    at.until(at.queue, r".*\|CANCELLED\|.*")
    at.until(at.accounting, r".*\|CANCELLED.*")
    at.record()


def launch_failed(at: Scenario) -> None:
    """The node's prolog fails: Slurm puts the task back on hold, and the node aside."""
    node = at.cluster.node_names[1]
    broken = at.cluster.folder / BROKEN
    broken.touch()
    at.submit("--array=0", "-w", node, "--wrap", "true")
    at.until(at.queue, r".*_0\|\w+\|.*held.*")
    broken.unlink()
    at.until(at.accounting, r".+")
    at.record()
    at.cluster.run("scontrol", "update", f"NodeName={node}", "State=RESUME")


def reused(at: Scenario) -> None:
    """The controller has lost its state and begins its job ids again: the array of four that
    ended, and one of three under the same id, before it starts and when it has ended."""
    node = at.cluster.node_names[0]
    job = at.submit("--array=0-3", "-w", node, "--wrap", "exit 3")
    at.until(at.accounting, r"(.*\|FAILED\|.*\n){8}")
    _forget_jobs(at, job)
    again = at.submit("--array=0-2", "-w", node, "--begin=now+1hour", "--wrap", "true")
    at.jobs.pop()
    assert again == job, f"{again} is not {job}"
    at.until(at.accounting, r".*\|PENDING\|.*")
    at.until(at.queue, r".*\|BeginTime\n")
    at.record(moment=".waiting")
    at.cluster.run("scontrol", "update", f"JobId={job}", "StartTime=now")
    at.until(at.accounting, r".*(_[012]\|COMPLETED\|.*){3}")
    at.record()


def _forget_jobs(at: Scenario, next_job: str) -> None:
    at.cluster.stop_slurmctld()
    conf = Path(at.cluster.env["SLURM_CONF"])
    conf.write_text(re.sub(r"FirstJobId=\d+", f"FirstJobId={next_job}", conf.read_text()))
    for path in (at.cluster.folder / "state").glob("job_state*"):
        path.unlink()
    at.cluster.start_slurmctld()


# `reused` is the last: afterwards any id may have been another scenario's.
SCENARIOS: tuple[Played, ...] = (
    cancelled_waiting, cancelled_at_once, cancelled_one_by_one, half_cancelled, launch_failed,
    reused,
)  # fmt: skip
