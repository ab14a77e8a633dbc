"""Describe what Slurm lets tasks wait for, and what a person can do about it. Pure."""

from collections import Counter

from hpc.run.model.shards import Observation
from hpc.run.run_state import pending_records

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
