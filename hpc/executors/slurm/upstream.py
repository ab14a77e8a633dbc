"""Look at the jobs that have to succeed before a run's first task (`submit --after`).

Slurm takes a dependency on a job that it does not know for satisfied, and says nothing. So does it
with a job that failed and that the controller has forgotten since, some minutes after its end
(MinJobAge). Therefore every submission with such a dependency asks for the jobs first.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

from hpc.executors.base import UpstreamError
from hpc.executors.slurm.answers.parse import Record
from hpc.executors.slurm.client import Slurm
from hpc.executors.slurm.commands import SlurmError
from hpc.run.array_indices import TaskId
from hpc.run.model.attempts import Phase, TaskRecord
from pipeline.messages.options import AFTER

# How far back a job that others are to wait for may have been submitted.
_RECENT = timedelta(days=365)
_COMPLETED = "COMPLETED"

# Array index, or None for a job that is no array.
_Tasks = Mapping[int | None, TaskRecord]


def check_upstream(slurm: Slurm, jobs: Sequence[str]) -> tuple[str, ...]:
    """Return those of these jobs that are still under way. Nothing is asked if there are none.

    Raises:
        UpstreamError: one of them has failed, or Slurm does not show it.
        SlurmError: Slurm does not answer.
    """
    if not jobs:
        return ()
    wanted = {job: _task_id(job) for job in jobs}
    records = _records(slurm, sorted({task.job for task in wanted.values()}))
    return tuple(job for job, task in wanted.items() if _is_under_way(job, task, records))


def _records(slurm: Slurm, jobs: Sequence[int]) -> Mapping[int, _Tasks]:
    """Return what Slurm knows of each task of these jobs, by job id and array index.

    The controller knows jobs that were submitted just now, and accounting those that it has
    forgotten.
    """
    queued = slurm.queue_of_everybody()
    accounted: tuple[Record, ...] = ()
    try:
        accounted = slurm.accounting(jobs, datetime.now(UTC) - _RECENT).records
    except SlurmError:
        if not set(jobs) <= {task.job for task, _ in queued}:
            raise
    return collect(jobs, accounted, queued)


def collect(
    jobs: Sequence[int], accounted: Sequence[Record], queued: Sequence[Record]
) -> Mapping[int, _Tasks]:
    """Merge two answers: where both know a task, the controller's counts. Pure."""
    records: dict[int, dict[int | None, TaskRecord]] = {job: {} for job in jobs}
    for task, record in (*accounted, *queued):
        if task.job in records and not task.step:
            for index in (None,) if task.indices is None else task.indices:
                records[task.job][index] = record
    for tasks in records.values():
        if len(tasks) > 1:  # accounting may have a row of the whole array beside those of its tasks
            tasks.pop(None, None)
    return records


def _is_under_way(job: str, task: TaskId, records: Mapping[int, _Tasks]) -> bool:
    """Tell whether a job has not ended yet; False if it has succeeded.

    Raises:
        UpstreamError: it has failed, or Slurm does not show it.
    """
    tasks = records[task.job]
    if task.indices is not None:
        tasks = {index: tasks[index] for index in task.indices if index in tasks}
    if not tasks:
        words = f"Slurm shows no job {job}"
        raise UpstreamError(
            f"{AFTER.set_to(job)}: {words}, so nothing can wait for it. squeue -u $USER lists your "
            "pending and running jobs, and sacct -X also those that have ended. Tasks cannot wait "
            "for a job of another cluster",
            words,
        )
    for index, record in tasks.items():
        if record.phase is Phase.ENDED and not record.slurm_state.startswith(_COMPLETED):
            name = f"{task.job}" if index is None else f"{task.job}_{index}"
            words = f"job {name} ended as {record.slurm_state}"
            raise UpstreamError(
                f"{AFTER.set_to(job)}: {words}, so tasks that wait for its success would never "
                f"start. Run that job again, and name the new one; or leave {AFTER} out",
                words,
            )
    return any(record.phase is not Phase.ENDED for record in tasks.values())


def _task_id(job: str) -> TaskId:
    """Return a job id such as `4711`, or `4711_3`, as a value."""
    match = re.fullmatch(r"(\d+)(?:_(\d+))?", job)
    assert match, job
    return TaskId(int(match[1]), (int(match[2]),) if match[2] else None)
