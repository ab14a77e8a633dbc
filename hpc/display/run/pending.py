"""Describe what tasks and shards wait for, and what a person can do about it. Pure."""

from collections import Counter
from collections.abc import Iterable, Sequence

from hpc.run.array_indices import format_indices
from hpc.run.delays import DelayedTask, delayed_tasks
from hpc.run.model.shards import Observation
from hpc.run.plan import room_for
from hpc.run.run_state import RunStatus, pending_records
from pipeline.text import counted

MOST_REASONS = 4


def describe_pending(observation: Observation) -> list[str]:
    """Return the most frequent reasons of pending tasks, and a line of advice where there is some.

    Empty if no task is pending, or Slurm gives no reason. Of tasks that were submitted for later,
    the run knows more than Slurm.
    """
    pending = [record for record in pending_records(observation) if record.reason]
    if not pending:
        return []
    reasons = Counter(record.reason for record in pending)
    shown = [f"{reason} ({count:,})" for reason, count in reasons.most_common(MOST_REASONS)]
    if rest := len(reasons) - len(shown):
        shown.append(f"{rest:,} other")
    delayed = delayed_tasks(observation)
    of_delayed = {task.attempt.record.reason for task in delayed if task.attempt.record}
    advice = {record.reason: record.advice for record in pending if record.advice}
    return [
        f"pending: {', '.join(shown)}",
        *(f"  {reason}: {text}" for reason, text in advice.items() if reason not in of_delayed),
        *(f"  {line}" for line in _describe_delays(delayed)),
    ]


def _describe_delays(tasks: Iterable[DelayedTask]) -> list[str]:
    """Return until when tasks wait and why, a line for those of one array."""
    arrays: dict[tuple[int, bool], list[DelayedTask]] = {}
    for task in tasks:
        arrays.setdefault((task.attempt.number, task.awaits_quota), []).append(task)
    return [_describe_delay(array) for array in arrays.values()]


def _describe_delay(tasks: Sequence[DelayedTask]) -> str:
    shards = format_indices([task.shard for task in tasks])
    one = len(tasks) == 1
    until = tasks[0].starts_at.astimezone()
    failed = max(task.failed_at for task in tasks).astimezone()
    when, at = f"{until:%H:%M:%S}", f"{failed:%H:%M:%S}"
    if until.date() != failed.date():
        when, at = f"{until:%Y-%m-%d %H:%M}", f"{failed:%Y-%m-%d %H:%M}"
    who = f"shard {shards} waits" if one else f"shards {shards} wait"
    it = "it" if one else "them"
    if tasks[0].awaits_quota:
        why, typed = f"since the quota was used up at {at}", f"hpc resubmit --indices {shards}"
    else:
        why = f"then {'asks' if one else 'ask'} the service again, which did not answer at {at}"
        typed = "hpc resubmit"
    return f"{who} until {when}, {why}. {typed} starts {it} now"


def describe_later(status: RunStatus, later: int) -> str:
    """Return what the shards wait for that will be submitted once there is room for them.

    Args:
        status: the run as it is now.
        later: how many shards these are.
    """
    room = room_for(status, later)
    waits = "waits" if later == 1 else "wait"
    have = "has" if room.ends == 1 else "have"
    ends = f"until at least {counted(room.ends, 'task')} {have} ended"
    most = f"cluster.max_parallel is {status.run.cluster.max_parallel:,}"
    return f"{counted(later, 'more shard')} {waits} {ends} ({most})"
