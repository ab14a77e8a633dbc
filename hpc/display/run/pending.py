"""Describe what tasks and shards wait for, and what a person can do about it. Pure."""

from collections import Counter

from hpc.run.model.shards import Observation
from hpc.run.plan import room_for
from hpc.run.run_state import RunStatus, pending_records
from pipeline.text import counted

MOST_REASONS = 4


def describe_pending(observation: Observation) -> list[str]:
    """Return the most frequent reasons of pending tasks, and a line of advice where there is some.

    Empty if no task is pending, or Slurm gives no reason.
    """
    pending = [record for record in pending_records(observation) if record.reason]
    if not pending:
        return []
    reasons = Counter(record.reason for record in pending)
    shown = [f"{reason} ({count:,})" for reason, count in reasons.most_common(MOST_REASONS)]
    if rest := len(reasons) - len(shown):
        shown.append(f"{rest:,} other")
    advice = {record.reason: record.advice for record in pending if record.advice}
    return [
        f"pending: {', '.join(shown)}",
        *(f"  {reason}: {text}" for reason, text in advice.items()),
    ]


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
