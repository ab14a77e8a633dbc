"""Handing arrays to Slurm, all or none, and taking up what a submitter that died had begun.

Intents are written first, each with a job name of its own; every array is then submitted to wait,
its tasks' orders are laid where the tasks look for them, and only then are the arrays released. A
death at any point leaves intents, or arrays that wait and have run nothing: the name finds them.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

from hpc import rundir
from hpc.cluster import Resources, resources_of
from hpc.executors import WaitingArrayExecutor
from hpc.model import ArrayPlan, Run, Submission
from hpc.slurm import Slurm, SlurmError
from pipeline.manifest import log_path


def next_number(run: Run) -> int:
    """The number of the next submission, and so of the next attempt."""
    return max((one.number for one in rundir.submissions(run)), default=0) + 1


def send(run: Run, slurm: Slurm | None, plans: tuple[ArrayPlan, ...]) -> tuple[Submission, ...]:
    """Submits arrays; the caller holds the run's lock. Without a Slurm only records them.

    Raises SlurmError with sbatch's own words; then nothing of `plans` is submitted or recorded.
    """
    now = datetime.now(UTC)
    written: list[Submission] = []
    try:
        for intent in rundir.intents(run, plans, next_number(run), now):
            written.append(rundir.record(run, intent))
    except OSError:
        _withdraw(run, written)
        raise
    if slurm is None:
        return tuple(rundir.record(run, replace(one, released_at=now)) for one in written)
    return _submit(run, slurm, written)


def take_up(run: Run, slurm: Slurm) -> tuple[Submission, ...]:
    """Finishes the submissions that a submitter that died had begun, and returns them.

    Raises SlurmError as `send` does.
    """
    begun = []
    for one in rundir.submissions(run):
        if one.released_at:
            continue
        if one.array_job_id is None and (job := slurm.job_named(one.job_name)):
            one = rundir.record(run, replace(one, array_job_id=job))
        begun.append(one)
    return _submit(run, slurm, begun) if begun else ()


def _submit(run: Run, slurm: Slurm, begun: Sequence[Submission]) -> tuple[Submission, ...]:
    resources = resources_of(run.cluster)
    jobs = {one.number: one.array_job_id for one in rundir.submissions(run)}
    waiting: list[Submission] = []
    try:
        for one in begun:
            if one.array_job_id is None:
                before = (jobs.get(one.plan.after), *one.plan.after_jobs)
                after = tuple(job for job in before if job is not None)
                job = _executor(run, one, resources).submit_waiting(slurm, one, after)
                one = rundir.record(run, replace(one, array_job_id=job))
                jobs[one.number] = job
            waiting.append(one)
        for one in waiting:
            _executor(run, one, resources).write_orders(one, run.folder)
    except (SlurmError, OSError):
        _cancel(run, slurm, begun)
        _withdraw(run, begun)
        raise
    return tuple(_release(run, slurm, one) for one in waiting)


def _cancel(run: Run, slurm: Slurm, begun: Sequence[Submission]) -> None:
    """Takes back the arrays that wait; one whose sbatch ran out of time may be there as well."""
    for one in begun:
        job = slurm.job_named(one.job_name)
        slurm.cancel([job] if job else [])


def _withdraw(run: Run, begun: Sequence[Submission]) -> None:
    for one in begun:
        rundir.withdraw(run, one)


def _release(run: Run, slurm: Slurm, one: Submission) -> Submission:
    assert one.array_job_id is not None
    slurm.release(one.array_job_id)
    return rundir.record(run, replace(one, released_at=datetime.now(UTC)))


def _executor(run: Run, one: Submission, resources: Resources) -> WaitingArrayExecutor:
    return WaitingArrayExecutor(log_path(run.folder, one.number), resources)
