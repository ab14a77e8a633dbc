"""Requeue stalled tasks, if the configuration says so."""

from msgspec import structs

from hpc.executors.base import Executor, ExecutorError
from hpc.run import submissions
from hpc.run.model.run import Run, Say
from hpc.run.run_state import RunStatus


def requeue_stalled(run: Run, executor: Executor, status: RunStatus, say: Say) -> bool:
    """Requeue stalled tasks once per attempt; tell whether any was requeued.

    Args:
        run: the run, whose lock the caller holds.
        executor: what runs its tasks.
        status: the run as it is now.
        say: shows a message.
    """
    if not run.retry.restart_stalled:
        return False
    is_any_requeued = False
    recorded = {submission.number: submission for submission in status.observation.submissions}
    for judgement, shard in zip(status.judgements, status.observation.shards, strict=True):
        last = shard.attempts[-1] if shard.attempts else None
        if not judgement.stalled or last is None or last.restarted or last.task is None:
            continue
        if not submissions.belongs_to(run, recorded[last.number]):
            continue
        # Recorded first: nobody would ever look at a task that is requeued again and again.
        submission = recorded[last.number]
        recorded[last.number] = submissions.write_submission(
            run,
            structs.replace(submission, restarted=(*submission.restarted, last.array_task_index)),
        )
        say(f"shard {judgement.index}: {judgement.message}: requeuing it")
        try:
            executor.requeue(last)
            is_any_requeued = True
        except ExecutorError as error:
            say(f"shard {judgement.index} was not requeued: {error}")
    return is_any_requeued
