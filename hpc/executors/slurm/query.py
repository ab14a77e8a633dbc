"""What Slurm's two voices say of a run's tasks, as one: the controller knows how far each is now,
accounting what became of those that have ended."""

from collections.abc import Sequence
from dataclasses import replace

from hpc.executors.slurm.client import Slurm, SlurmError
from hpc.executors.slurm.parse import newer
from hpc.run.array_indices import TaskId
from hpc.run.model import Phase, Records, Submission, TaskRecord
from pipeline.errors import Cause

_PUT_BACK = (Cause.NODE, Cause.PREEMPTED)


def query_tasks(slurm: Slurm, asked: Sequence[Submission]) -> tuple[Records, str | None]:
    """One squeue and one sacct call; what either said, and what kept one of them from answering.

    The controller is asked first: a task that ends between the two is then seen by accounting.
    """
    if not asked:
        return {}, None
    jobs = {one.array_job_id: one for one in asked if one.array_job_id is not None}
    troubles: list[str] = []
    queued: Records = {}
    accounted: Records = {}
    queue_silent = False
    try:
        queued = _by_task(jobs, slurm.queue([one.job_name for one in asked]).records)
    except SlurmError as error:
        queue_silent = True
        troubles.append(error.words)
    try:
        since = min(one.intended_at for one in asked)
        accounted = _by_task(jobs, slurm.accounting(sorted(jobs), since).records, bare=True)
    except SlurmError as error:
        troubles.append(error.words)
    merged = {**accounted}
    for task, seen in queued.items():
        merged[task] = _current(seen, accounted.get(task))
    if queue_silent:
        # Slurm puts such tasks back under the same id, and accounting shows the former life only.
        merged = {task: one for task, one in merged.items() if one.cause not in _PUT_BACK}
    return merged, "; ".join(troubles) or None


def _current(queued: TaskRecord, accounted: TaskRecord | None) -> TaskRecord:
    """The controller knows better how far a task is (accounting lags, and keeps the former life of
    a requeued one); accounting knows more of one that has ended."""
    if accounted is None:
        return queued
    same_end = accounted.slurm_state.partition(" ")[0] == queued.slurm_state
    if queued.phase is Phase.ENDED and same_end:
        return accounted
    return replace(
        queued, submitted_at=accounted.submitted_at, started_at=accounted.started_at,
        elapsed_s=accounted.elapsed_s, max_rss_mb=accounted.max_rss_mb,
        req_mem_gb=accounted.req_mem_gb,
    )  # fmt: skip


def _by_task(
    jobs: dict[int, Submission],
    records: tuple[tuple[TaskId, TaskRecord], ...],
    *,
    bare: bool = False,
) -> Records:
    """By submission and index.

    Args:
        bare: a row of the array's id alone speaks for all tasks without a row. Accounting shows
            one for an array whose tasks were cancelled by index before it had heard of any. The
            controller's says less: it has forgotten the tasks that ended some minutes before.
    """
    found: Records = {}
    cut: list[tuple[Submission, int, TaskRecord]] = []
    for identity, record in records:
        submission = jobs.get(identity.job)
        if submission is None:
            continue
        if identity.indices is None:
            if bare:
                cut.append((submission, -1, record))
            continue
        for index in identity.indices:
            if newer(record, found.get((submission.number, index))):
                found[submission.number, index] = record
        if identity.truncated:
            cut.append((submission, max(identity.indices, default=-1), record))
    for submission, last, record in cut:
        for index in submission.plan.indices:
            if index > last:
                found.setdefault((submission.number, index), record)
    return found
