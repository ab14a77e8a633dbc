"""Handing arrays to Slurm, all or none, and taking up what a submitter that died had begun.

Intents are written first, each with a job name of its own; every array is then submitted to wait,
its tasks' orders are laid where the tasks look for them, and only then are the arrays released. A
death at any point leaves intents, or arrays that wait and have run nothing: the name finds them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from hpc.executors.slurm.client import Slurm, SlurmError
from hpc.executors.slurm.submitit_executor import WaitingArrayExecutor
from hpc.run import submissions
from hpc.run.model import ArrayPlan, Run, Submission
from hpc.run.resource_requests import apply_request
from pipeline.run_files.manifest import log_path


def submit_arrays(
    run: Run,
    slurm: Slurm | None,
    plans: tuple[ArrayPlan, ...],
    crashed: Mapping[int, tuple[int, ...]],
    *,
    forced: bool = False,
) -> tuple[Submission, ...]:
    """Submits arrays; the caller holds the run's lock. Without a Slurm only records them.

    Args:
        crashed: the attempts that ended as crashed, by shard.
        forced: a person has looked, and goes on by force.

    Raises SlurmError with sbatch's own words; then nothing of `plans` is submitted or recorded.
    """
    now = datetime.now(UTC)
    written: list[Submission] = []
    try:
        for intent in submissions.plan_intents(run, plans, now, crashed, forced=forced):
            written.append(submissions.write_submission(run, intent))
    except OSError:
        _withdraw(run, written)
        raise
    if slurm is None:
        return tuple(
            submissions.write_submission(run, replace(one, released_at=now)) for one in written
        )
    return _submit(run, slurm, written)


def resume_submissions(run: Run, slurm: Slurm) -> tuple[Submission, ...]:
    """Finishes the submissions that a submitter that died had begun, and returns them.

    Raises SlurmError as `send` does.
    """
    begun = []
    known = submissions.read_submissions(run)
    for one in known:
        if one.released_at:
            continue
        if one.array_job_id is None and (job := slurm.job_named(one.job_name)):
            one = submissions.write_submission(run, replace(one, array_job_id=job))
        later = {shard for other in known if other.number > one.number and other.released_at
                 for shard in other.plan.shards}  # fmt: skip
        if later & set(one.plan.shards):
            # Somebody has submitted these shards since: two attempts at once would pay twice.
            _cancel(run, slurm, [one])
            _withdraw(run, [one])
            continue
        begun.append(one)
    return _submit(run, slurm, begun) if begun else ()


def _submit(run: Run, slurm: Slurm, begun: Sequence[Submission]) -> tuple[Submission, ...]:
    jobs = {one.number: one.array_job_id for one in submissions.read_submissions(run)}
    waiting: list[Submission] = []
    try:
        for one in begun:
            if one.array_job_id is None:
                before = (jobs.get(one.plan.after), *one.plan.after_jobs)
                after = tuple(str(job) for job in before if job is not None)
                job = _executor(run, one).submit_waiting(slurm, one, after)
                one = submissions.write_submission(run, replace(one, array_job_id=job))
                jobs[one.number] = job
            waiting.append(one)
        for one in waiting:
            _executor(run, one).write_orders(one, run.folder)
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
        submissions.withdraw_submission(run, one)


def _release(run: Run, slurm: Slurm, one: Submission) -> Submission:
    assert one.array_job_id is not None
    slurm.release(one.array_job_id, one.plan.delay_s)
    return submissions.write_submission(run, replace(one, released_at=datetime.now(UTC)))


def _executor(run: Run, one: Submission) -> WaitingArrayExecutor:
    resources = apply_request(run.cluster.resources, one.plan.ask)
    return WaitingArrayExecutor(
        log_path(run.folder, one.number), resources, requeues=run.retry.requeues
    )
