"""Submit arrays to Slurm, all or none, and finish what an interrupted process had begun.

Each intent is written before, with a job name of its own. Every array is then submitted on hold,
its tasks' orders are written where the tasks look for them, and only then are the arrays released.
A death at any point leaves intents, or arrays on hold that have run nothing; their names find them.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

from hpc.executors.slurm.client import Slurm, SlurmError
from hpc.executors.slurm.submitit_executor import WaitingArrayExecutor
from hpc.run.model import Run, Submission
from hpc.run.resource_requests import apply_request
from hpc.run.submissions import withdraw_submission, write_submission
from pipeline.run_files.manifest import log_path


def submit_arrays(
    run: Run, slurm: Slurm, intents: Sequence[Submission], recorded: Sequence[Submission]
) -> tuple[Submission, ...]:
    """Submit arrays and return their records. The caller holds the run's lock.

    Args:
        run: the run of the submissions.
        slurm: the cluster.
        intents: records that are written already; a job id in one means that sbatch took it.
        recorded: the other submissions of the run, for dependencies on them.

    Raises:
        SlurmError: with sbatch's own words; then none of `intents` is submitted or recorded.
    """
    jobs = {submission.number: submission.array_job_id for submission in (*recorded, *intents)}
    on_hold: list[Submission] = []
    try:
        for intent in intents:
            submission = intent
            if intent.array_job_id is None:
                before = (jobs.get(intent.plan.after), *intent.plan.after_jobs)
                after = tuple(str(job) for job in before if job is not None)
                job = _executor(run, intent).submit_waiting(slurm, intent, after)
                submission = write_submission(run, replace(intent, array_job_id=job))
                jobs[intent.number] = job
            on_hold.append(submission)
        for submission in on_hold:
            _executor(run, submission).write_orders(submission, run.folder)
    except (SlurmError, OSError):
        _cancel(slurm, intents)
        _withdraw(run, intents)
        raise
    return tuple(_release(run, slurm, submission) for submission in on_hold)


def resume_arrays(run: Run, slurm: Slurm, recorded: Sequence[Submission]) -> tuple[Submission, ...]:
    """Finish the submissions that were not released, and return them.

    Args:
        run: the run of the submissions.
        slurm: the cluster.
        recorded: every submission of the run.

    Raises:
        SlurmError: as `submit_arrays` does.
    """
    begun = []
    for intent in recorded:
        if intent.released_at:
            continue
        submission = intent
        if intent.array_job_id is None and (job := slurm.job_named(intent.job_name)):
            submission = write_submission(run, replace(intent, array_job_id=job))
        if set(submission.plan.shards) & _submitted_after(submission, recorded):
            # Somebody has submitted these shards since: two attempts at once would pay twice.
            _cancel(slurm, [submission])
            _withdraw(run, [submission])
            continue
        begun.append(submission)
    return submit_arrays(run, slurm, begun, recorded) if begun else ()


def _submitted_after(submission: Submission, recorded: Sequence[Submission]) -> set[int]:
    return {
        shard
        for other in recorded
        if other.number > submission.number and other.released_at
        for shard in other.plan.shards
    }


def _cancel(slurm: Slurm, begun: Sequence[Submission]) -> None:
    """Cancel the arrays on hold. One whose sbatch ran out of time may be there as well."""
    for submission in begun:
        job = slurm.job_named(submission.job_name)
        slurm.cancel([job] if job else [])


def _withdraw(run: Run, begun: Sequence[Submission]) -> None:
    for submission in begun:
        withdraw_submission(run, submission)


def _release(run: Run, slurm: Slurm, submission: Submission) -> Submission:
    assert submission.array_job_id is not None
    slurm.release(submission.array_job_id, submission.plan.delay_s)
    return write_submission(run, replace(submission, released_at=datetime.now(UTC)))


def _executor(run: Run, submission: Submission) -> WaitingArrayExecutor:
    resources = apply_request(run.cluster.resources, submission.plan.request)
    requeues = run.retry.requeues
    folder = log_path(run.folder, submission.number)
    return WaitingArrayExecutor(folder, resources, requeues=requeues)
