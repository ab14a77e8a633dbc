"""Compare how long shards take with the time limits of a task and of its partition. Pure."""

import math
from dataclasses import dataclass

from hpc.checks.finding import Finding, Part, ok, warning
from hpc.run.cluster.slurm_time import format_slurm_time
from pipeline.text import counted, estimated_duration

# The slowest of many shards, and what a task prepares.
_SPARE = 1.2
_MINUTE = 60.0


@dataclass(frozen=True, kw_only=True, slots=True)
class ShardTimes:
    """What is known of how long the shards of a run take."""

    shards: int
    posts: int
    """Of the largest shard."""
    parallel: int
    """How many run at a time."""
    limit_min: int
    """The time limit of a task."""
    partition_min: int | None
    """The longest limit that the partition allows; None if it has none, or nobody knows."""
    startup_min: float
    """How long a task takes before its first post."""
    shard_min: float | None
    """How long a task takes for the largest shard, start-up included; None if nobody knows."""
    is_by_quota: bool
    """Whether the quota decides how long a shard takes."""

    @property
    def rounds(self) -> int:
        """Return how many shards run one after another."""
        return math.ceil(self.shards / max(1, self.parallel))


def judge_time(times: ShardTimes, *, has_limits: bool) -> list[Finding]:
    """Say whether shards end within their time limit, and when the run ends at the latest.

    Args:
        times: what is known.
        has_limits: whether anything enforces time limits.
    """
    if not times.shards:
        return []
    taken = times.shard_min
    if not has_limits:
        return [ok(Part.TIME, f"{_shards(times)}; {_taken(times)}")]
    longest = format_slurm_time(times.rounds * times.limit_min)
    limit = format_slurm_time(times.limit_min)
    plan = f"{_shards(times)}; the time limit is {limit} for each and {longest} for all"
    partition = times.partition_min
    allowed = f" (the partition allows {format_slurm_time(partition)})" if partition else ""
    if taken is None or taken * _SPARE <= times.limit_min:
        return [ok(Part.TIME, f"{plan}{allowed}; {_taken(times)}")]
    return [warning(Part.TIME, f"{_taken(times)}, and its time limit is {limit}{allowed}",
                    _remedy(times, taken))]  # fmt: skip


def _shards(times: ShardTimes) -> str:
    at_once = min(times.parallel, times.shards)
    return f"{counted(times.shards, 'shard')}, {at_once:,} at a time"


def _taken(times: ShardTimes) -> str:
    if times.shard_min is None:
        return "how long one takes is not known yet"
    taken = estimated_duration(times.shard_min * _MINUTE)
    why = "by the quota" if times.is_by_quota else "by earlier runs of this name"
    return f"a shard of {counted(times.posts, 'post')} takes {taken} {why}"


def _remedy(times: ShardTimes, taken: float) -> str:
    """Return a smaller shard or a longer limit, whichever is possible."""
    asking, allowed = taken - times.startup_min, times.limit_min / _SPARE - times.startup_min
    fitting = math.floor(times.posts * allowed / asking) if asking > 0 else 0
    needed = math.ceil(taken * _SPARE)
    ways = []
    if fitting >= 1:
        ways.append(f"set sharding.rows_per_shard to {fitting:,} or less")
    if times.partition_min is None or needed <= times.partition_min:
        ways.append(f"set cluster.time to {format_slurm_time(needed)} or more")
    if times.is_by_quota and times.parallel > 1:
        ways.append("set cluster.max_parallel lower: more tasks do not make a quota faster")
    return "; or ".join(ways) or "raise the quota, or use fewer posts"
