"""Estimate how long a task takes for its shard, and all tasks of a run together. Pure.

Sizing, `hpc check`, a dry run and a canary's report all ask here, so that they say the same.
"""

import math
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Workload:
    """What a run's duration depends on."""

    asked: int
    """How many posts the classifier is asked about."""
    largest: float
    """How many of them the largest shard has."""
    shards: int
    """How many shards they are in."""
    per_minute: float | None
    """How many posts one task asks about in a minute; None if nothing was measured."""
    startup_minutes: float
    """How long a task takes before its first post."""
    tasks_at_once: int
    """How many tasks may run at a time."""
    quota_per_minute: float | None = None
    """How many posts the quota allows all tasks together; None without a quota."""

    @property
    def rate(self) -> "TaskRate | None":
        """How fast one task is while as many run as may; None if nobody knows."""
        tasks = max(1, min(self.tasks_at_once, self.shards))
        return find_rate(self.per_minute, self.quota_per_minute, tasks)

    @property
    def shard_minutes(self) -> float | None:
        """How long a task takes for the largest shard, in minutes; None if nobody knows."""
        rate = self.rate
        return self.startup_minutes + self.largest / rate.per_minute if rate else None


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskRate:
    """How fast one task is."""

    per_minute: float
    """How many posts it asks about in a minute."""
    is_by_quota: bool
    """Whether the quota decides that."""


def find_rate(
    measured_per_minute: float | None, quota_per_minute: float | None, tasks: int
) -> TaskRate | None:
    """Return how fast one task is while this many share a quota; None if nobody knows.

    Args:
        measured_per_minute: how many posts a task asked about in a minute, where it was measured.
        quota_per_minute: how many posts the quota allows all tasks together.
        tasks: how many tasks share the quota.
    """
    share = quota_per_minute / max(1, tasks) if quota_per_minute else None
    if measured_per_minute and (share is None or measured_per_minute <= share):
        return TaskRate(per_minute=measured_per_minute, is_by_quota=False)
    return TaskRate(per_minute=share, is_by_quota=True) if share else None


def estimate_minutes(work: Workload) -> float | None:
    """Return how long all tasks take, in minutes, if none of them waits in the queue.

    The tasks run in rounds of `tasks_at_once`, each with a start-up. The quota may be slower than
    all of them together. None if nothing was measured.
    """
    if work.per_minute is None:
        return None
    if not work.shards:
        return 0.0
    rounds = math.ceil(work.shards / work.tasks_at_once)
    alone = rounds * (work.asked / work.shards / work.per_minute)
    by_quota = work.asked / work.quota_per_minute if work.quota_per_minute else 0.0
    return rounds * work.startup_minutes + max(alone, by_quota)
