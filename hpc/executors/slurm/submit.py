"""Submit arrays to Slurm, all or none, and finish what an interrupted process had begun.

Each intent is written before, with a job name of its own. Every array is then submitted on hold,
its tasks' orders are written where the tasks look for them, and only then are the arrays released.
A death at any point leaves intents, or arrays on hold that have run nothing; their names find them.
"""

import importlib
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from msgspec.structs import replace

from hpc.executors.base import (
    CopySubmittedError,
    ExecutorError,
    SubmitLimitError,
    UnansweredError,
)
from hpc.executors.slurm.answers.submission_answers import ReleaseRefusedError
from hpc.executors.slurm.client import Slurm
from hpc.executors.slurm.unrecorded import find_unrecorded
from hpc.executors.slurm.upstream import check_upstream
from hpc.locks import run_lock
from hpc.run.cluster.resource_requests import apply_request
from hpc.run.model.arrays import Submission
from hpc.run.model.run import Run
from hpc.run.submissions import find_job_of_logs, withdraw_submission, write_submission
from pipeline.run_files.manifest import log_path

if TYPE_CHECKING:
    from hpc.executors.slurm.submitit_executor import WaitingArrayExecutor


def submit_arrays(
    run: Run,
    slurm: Slurm,
    intents: Sequence[Submission],
    recorded: Sequence[Submission],
    lock: int,
) -> tuple[Submission, ...]:
    """Submit arrays and return their records. The caller holds the run's lock.

    Args:
        run: the run of the submissions.
        slurm: the cluster.
        intents: records that are written already; a job id in one means that sbatch took it.
        recorded: the other submissions of the run, for dependencies on them.
        lock: file descriptor of the run's lock, which is checked before each step. Whoever removed
            it may have started a process that finishes these submissions.

    If a limit of submitted jobs ends the series, what sbatch has taken goes on, and the other
    records are withdrawn. Canceled arrays would count against MaxJobCount for minutes.

    Raises:
        LockLostError: the lock is not this process's any more. What is on hold stays on hold.
        SubmitLimitError: not even the first array fits.
        CopySubmittedError: another copy of the run goes first.
        UpstreamError: a job that has to succeed first has failed, or is unknown.
        UnansweredError: sbatch did not answer. The records stay, as after a death at this point,
            so that an array that Slurm accepts late is found by its name.
        SlurmError: with Slurm's own words; then none of `intents` is submitted or recorded, except
            those that were released already.
    """
    jobs = {submission.number: submission.array_job_id for submission in (*recorded, *intents)}
    on_hold: list[Submission] = []
    try:
        for intent in intents:
            submission = intent
            if intent.array_job_id is None:
                run_lock.check_lock(run, lock)
                before = (jobs.get(intent.plan.after), *intent.plan.after_jobs)
                # What has succeeded by now is not waited for, and the record says so.
                awaited = check_upstream(slurm, intent.plan.upstream)
                submission = replace(intent, plan=replace(intent.plan, upstream=awaited))
                after = _dependency(tuple(str(job) for job in before if job is not None), awaited)
                try:
                    job = _executor(run, submission).submit_waiting(slurm, submission, after)
                except SubmitLimitError:
                    if not on_hold:
                        raise
                    _cancel_and_withdraw(run, slurm, intents[len(on_hold) :])
                    break
                run_lock.check_lock(run, lock)
                submission = write_submission(run, replace(submission, array_job_id=job))
                jobs[intent.number] = job
            on_hold.append(submission)
        for submission in on_hold:
            _executor(run, submission).write_orders(submission, amendments=len(run.amendments))
        _let_earlier_copy_go_first(run, slurm, on_hold, recorded)
    except UnansweredError:
        raise
    except (ExecutorError, OSError):
        run_lock.check_lock(run, lock)
        _cancel_and_withdraw(run, slurm, intents)
        raise
    return _release(run, slurm, on_hold, lock)


def _let_earlier_copy_go_first(
    run: Run, slurm: Slurm, on_hold: Sequence[Submission], recorded: Sequence[Submission]
) -> None:
    """Check that no other copy of the run has put an array on hold before this one.

    Two copies have different locks. If both look for live arrays before either has one, both
    submit. So each looks again while its own arrays are on hold: whoever comes second sees the
    first, and the lower job id decides where each sees the other.

    Raises:
        CopySubmittedError: another copy goes first.
    """
    mine = [submission.array_job_id for submission in on_hold if submission.array_job_id]
    jobs = find_unrecorded(run, slurm, (*recorded, *on_hold)).alive
    earlier = next((job for job in jobs if job.job < min(mine)), None)
    if earlier:
        copy = f" for the copy {earlier.copy}" if earlier.copy else ""
        raise CopySubmittedError(
            f"run {run.run_id}: nothing was submitted, because array job {earlier.job} "
            f"({earlier.name}) was submitted{copy} at the same moment, and every post would be "
            f"paid for twice. Wait until it has ended, or run: scancel {earlier.job}",
            f"array job {earlier.job} goes first",
        )


def render_script(run: Run, submission: Submission) -> str:
    """Return the batch script that `submit_arrays` would write for an array. Writes nothing."""
    after = _dependency(submission.plan.after_jobs, submission.plan.upstream)
    return _executor(run, submission).render_script(submission, after)


def resume_arrays(
    run: Run, slurm: Slurm, recorded: Sequence[Submission], lock: int
) -> tuple[Submission, ...]:
    """Finish the submissions that were not released, and return them.

    Args:
        run: the run of the submissions.
        slurm: the cluster.
        recorded: every submission of the run.
        lock: file descriptor of the run's lock.

    Raises:
        SlurmError, LockLostError: as `submit_arrays` does.
    """
    begun = []
    for intent in recorded:
        if intent.released_at:
            continue
        submission = intent
        if intent.array_job_id is None and (job := slurm.job_named(intent.job_name)):
            run_lock.check_lock(run, lock)
            submission = write_submission(run, replace(intent, array_job_id=job))
        elif intent.array_job_id is None and (job := find_job_of_logs(run, intent)):
            # The record is from a backup: tasks of this array have had their orders, and it ended.
            run_lock.check_lock(run, lock)
            restored = replace(intent, array_job_id=job, released_at=intent.intended_at)
            write_submission(run, restored)
            continue
        if set(submission.plan.shards) & _submitted_after(submission, recorded):
            # Somebody has submitted these shards since: two attempts at once would pay twice.
            _cancel_and_withdraw(run, slurm, [submission])
            continue
        begun.append(submission)
    return submit_arrays(run, slurm, begun, recorded, lock) if begun else ()


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


def _cancel_and_withdraw(run: Run, slurm: Slurm, begun: Sequence[Submission]) -> None:
    _cancel(slurm, begun)
    _withdraw(run, begun)


def _withdraw(run: Run, begun: Sequence[Submission]) -> None:
    for submission in begun:
        withdraw_submission(run, submission)


def _release(
    run: Run, slurm: Slurm, on_hold: Sequence[Submission], lock: int
) -> tuple[Submission, ...]:
    """Release arrays; cancel those that Slurm does not release, as they would wait for a year."""
    released: list[Submission] = []
    for submission in on_hold:
        assert submission.array_job_id is not None
        run_lock.check_lock(run, lock)
        try:
            slurm.release(submission.array_job_id, submission.plan.delay_s)
        except ReleaseRefusedError:
            rest = on_hold[len(released) :]
            _cancel(slurm, rest)
            _withdraw(run, rest)
            raise
        run_lock.check_lock(run, lock)
        now = datetime.now(UTC)
        released.append(write_submission(run, replace(submission, released_at=now)))
    return tuple(released)


def _dependency(ended: Sequence[str], succeeded: Sequence[str]) -> str | None:
    """Return sbatch's option --dependency; None if there is nothing to wait for.

    Args:
        ended: jobs or tasks that must have ended, in whatever way.
        succeeded: jobs or tasks that must have ended with exit code 0.
    """
    parts = [f"{kind}:{':'.join(jobs)}" for kind, jobs in
             (("afterok", succeeded), ("afterany", ended)) if jobs]  # fmt: skip
    return ",".join(parts) or None


def _executor(run: Run, submission: Submission) -> "WaitingArrayExecutor":
    # submitit takes 12 ms to import, and most commands that look at Slurm submit nothing.
    module = importlib.import_module("hpc.executors.slurm.submitit_executor")
    resources = apply_request(run.cluster.resources, submission.plan.request)
    requeues = run.retry.requeues
    folder = log_path(run.folder, submission.number)
    executor: WaitingArrayExecutor = module.WaitingArrayExecutor(
        folder, resources, requeues=requeues
    )
    return executor
