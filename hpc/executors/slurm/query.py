"""Merge the answers of squeue and sacct about a run's tasks.

The controller (squeue) knows how far each task is now, accounting (sacct) what became of those that
have ended.
"""

from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from hpc.executors.slurm.answers.parse import Record, newer
from hpc.executors.slurm.client import Slurm
from hpc.executors.slurm.commands import SlurmError
from hpc.run.model.arrays import Submission
from hpc.run.model.attempts import Phase, Records, TaskRecord
from hpc.run.model.shards import CaretakerJob
from pipeline.errors import Cause
from pipeline.system.ownership import user_name

_BY = " by "
_REQUEUED = (Cause.NODE, Cause.PREEMPTED)


def query_tasks(
    slurm: Slurm, submissions: Sequence[Submission], caretakers: Sequence[str] = ()
) -> tuple[Records, str | None, CaretakerJob | None]:
    """Call squeue and sacct once each, and merge their answers.

    The controller is asked first, so that accounting sees a task that ends between the two.

    Args:
        slurm: what is asked.
        submissions: the arrays.
        caretakers: the names that a caretaker of the run may have.

    Returns:
        The records, what kept one of the two from answering, None if nothing did, and the
        caretaker, if there is one.
    """
    if not submissions:
        return {}, None, None
    by_job = {
        submission.array_job_id: submission
        for submission in submissions
        if submission.array_job_id is not None
    }
    troubles: list[str] = []
    queued: Records = {}
    accounted: Records = {}
    controller_answers = True
    caretaker: CaretakerJob | None = None
    try:
        names = [submission.job_name for submission in submissions]
        rows = slurm.queue(names, caretakers).records
        queued = _by_task(by_job, rows)
        caretaker = _find_caretaker(by_job, rows)
    except SlurmError as error:
        controller_answers = False
        troubles.append(error.words)
    try:
        since = min(submission.intended_at for submission in submissions)
        answer = slurm.accounting(sorted(by_job), since)
        accounted = with_user_names(_by_task(by_job, answer.records, array_rows_count=True))
    except SlurmError as error:
        troubles.append(error.words)
    merged = {**accounted}
    for task, record in queued.items():
        merged[task] = _merge(record, accounted.get(task))
    if not controller_answers:
        # Slurm requeues such tasks under the same id, and accounting shows their last end only.
        merged = {task: record for task, record in merged.items() if record.cause not in _REQUEUED}
    return merged, "; ".join(troubles) or None, caretaker


def _find_caretaker(
    by_job: Mapping[int, Submission], rows: Sequence[Record]
) -> CaretakerJob | None:
    """Return the caretaker among the jobs of a run: the only kind of them that is no array.

    One that runs comes before its successor, which waits already.
    """
    alive = [
        CaretakerJob(job=task.job, is_running=record.phase is Phase.ACTIVE)
        for task, record in rows
        if task.job not in by_job and task.indices is None and record.phase is not Phase.ENDED
    ]
    return min(alive, key=lambda job: (not job.is_running, job.job), default=None)


def with_user_names(records: Records) -> Records:
    """Return records that name who canceled a task, of whom accounting gives only the number."""
    states = {record.slurm_state for record in records.values()}
    named = {state: _with_user_name(state) for state in states if _BY in state}
    return {
        task: replace(record, slurm_state=named[record.slurm_state])
        if record.slurm_state in named
        else record
        for task, record in records.items()
    }


def _with_user_name(state: str) -> str:
    word, by, user = state.partition(_BY)
    return f"{word}{by}{user_name(int(user))}" if user.isdecimal() else state


def _merge(queued: TaskRecord, accounted: TaskRecord | None) -> TaskRecord:
    """Return one record of a task from both.

    The controller knows better how far a task is: accounting lags, and keeps the former end of a
    requeued task. Accounting knows more about a task that has ended.
    """
    if accounted is None:
        return queued
    same_end = accounted.slurm_state.partition(" ")[0] == queued.slurm_state
    if queued.phase is Phase.ENDED and same_end:
        return accounted
    return replace(
        queued, submitted_at=accounted.submitted_at, started_at=accounted.started_at,
        elapsed_s=accounted.elapsed_s, max_rss_mb=accounted.max_rss_mb,
        req_mem_gb=accounted.req_mem_gb, cpu_s=accounted.cpu_s,
        alloc_cpus=accounted.alloc_cpus, alloc_mem_gb=accounted.alloc_mem_gb,
    )  # fmt: skip


def _by_task(
    by_job: Mapping[int, Submission], rows: Sequence[Record], *, array_rows_count: bool = False
) -> Records:
    """Return records by submission number and array index.

    Args:
        by_job: the submissions by their job ids; rows of other jobs are skipped.
        rows: what was parsed.
        array_rows_count: take a row with the array's id alone for all tasks without a row.
            Accounting shows one for an array whose tasks were canceled by index before it had
            heard of any. The controller's says less: it forgets tasks minutes after their end.
    """
    known = [(task, record) for task, record in rows if task.job in by_job]
    records: Records = {}
    for task, record in known:
        number = by_job[task.job].number
        for index in task.indices or ():
            if newer(record, records.get((number, index))):
                records[number, index] = record
    for task, record in known:
        # A row of a whole array, or of a list that Slurm cut short, speaks for every later index.
        if task.truncated or (task.indices is None and array_rows_count):
            last = max(task.indices or (), default=-1)
            submission = by_job[task.job]
            for index in submission.plan.indices:
                if index > last:
                    records.setdefault((submission.number, index), record)
    return records
