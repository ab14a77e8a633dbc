"""Start tasks before the time for which they were submitted."""

from collections.abc import Sequence
from itertools import groupby

from msgspec.structs import replace

from hpc.executors.base import Executor, ExecutorError
from hpc.run.delays import DelayedTask, tasks_whose_service_is_back
from hpc.run.model.run import Run, Say
from hpc.run.run_state import RunStatus
from hpc.run.selection import find_rejection
from hpc.run.submissions import belongs_to, write_submission


def start_when_back(run: Run, executor: Executor, status: RunStatus, say: Say) -> bool:
    """Start the tasks that wait for a service that answers again; tell whether any was started.

    Args:
        run: the run, whose lock the caller holds.
        executor: what runs its tasks.
        status: the run as it is now.
        say: shows a message.
    """
    if find_rejection(status.observation):
        return False
    tasks = tasks_whose_service_is_back(status.observation)
    return bool(start_now(run, executor, status, tasks, say))


def start_now(
    run: Run, executor: Executor, status: RunStatus, tasks: Sequence[DelayedTask], say: Say
) -> tuple[int, ...]:
    """Start tasks that wait for their time, and return the shards of those that were started.

    What the executor refuses is reported, and waits on. The arguments are those of
    `start_when_back`, with the tasks.
    """
    recorded = {each.number: each for each in status.observation.submissions}
    started: list[int] = []
    in_order = sorted(tasks, key=lambda task: (task.attempt.number, task.shard))
    for number, group in groupby(in_order, key=lambda task: task.attempt.number):
        together = list(group)
        submission = recorded[number]
        # An array of the original run is not a copy's to start.
        if not belongs_to(run, submission):
            continue
        try:
            executor.start_now([task.attempt for task in together])
        except ExecutorError as error:
            say(f"not started yet: {error}")
            continue
        early = {task.attempt.array_task_index for task in together}
        write_submission(
            run,
            replace(submission, started_early=tuple(sorted({*submission.started_early, *early}))),
        )
        for task in together:
            say(f"shard {task.shard} starts now, and not at {_local(task)}")
            started.append(task.shard)
    return tuple(started)


def _local(task: DelayedTask) -> str:
    return f"{task.starts_at.astimezone():%H:%M:%S}"
