"""Estimate how long all tasks of a run take together. Pure."""

import math
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Workload:
    """What a run's duration depends on."""

    asked: int
    """How many posts the classifier is asked about."""
    shards: int
    """How many shards they are in."""
    per_minute: float
    """How many posts one task asks about in a minute."""
    startup_minutes: float
    """How long a task takes before its first post."""
    tasks_at_once: int
    """How many tasks may run at a time."""
    quota_per_minute: float | None = None
    """How many posts the quota allows all tasks together; None without a quota."""


def estimate_minutes(work: Workload) -> float:
    """Return how long all tasks take, in minutes, if none of them waits in the queue.

    The tasks run in rounds of `tasks_at_once`, each with a start-up. The quota may be slower than
    all of them together.
    """
    if not work.shards:
        return 0.0
    rounds = math.ceil(work.shards / work.tasks_at_once)
    alone = rounds * (work.asked / work.shards / work.per_minute)
    by_quota = work.asked / work.quota_per_minute if work.quota_per_minute else 0.0
    return rounds * work.startup_minutes + max(alone, by_quota)
