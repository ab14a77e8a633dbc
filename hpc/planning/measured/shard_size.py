"""Choose how many posts a shard holds, so that a task takes about as long as it should. Pure."""

import math
from dataclasses import dataclass
from enum import StrEnum

from hpc.planning.measured.duration import find_rate
from pipeline.config.sections import DEFAULT_ROWS_PER_SHARD
from pipeline.text import counted

# The number of shards that this program is made for (10,000 per run).
MOST_SHARDS = 10_000
# A task holds the texts of its shard, and the answers to them, in memory.
MOST_ROWS = 250_000
# How much of its time limit a task may plan to use. Nodes and services are slower at times.
SHARE_OF_TIME_LIMIT = 0.8
# A start-up that takes longer than the target must not leave shards of a few posts.
LEAST_SHARE_OF_TARGET = 0.5


class SizeBasis(StrEnum):
    """What decides about the size of shards, before any bound."""

    MEASURED = "measured"
    """How fast earlier tasks of the same configuration were."""
    QUOTA = "quota"
    """The tasks' share of the service's quota."""
    NOTHING = "nothing"
    """Neither is known."""


class SizeBound(StrEnum):
    """Which bound holds, if the target alone would give another size."""

    NONE = "none"
    SUBMIT_LIMIT = "submit_limit"
    TIME_LIMIT = "time_limit"
    MEMORY = "memory"
    SHARDS = "shards"


@dataclass(frozen=True, kw_only=True, slots=True)
class SizeRequest:
    """All that the size of shards depends on."""

    posts: int
    """How many posts the run has."""
    asked: int
    """How many of them the classifier is asked about: the others are copies, or not sent."""
    target_minutes: float
    """How long a task should take."""
    measured_per_minute: float | None = None
    """How many posts one task asks about in a minute; None if nothing was measured."""
    startup_minutes: float = 0.0
    """How long a task takes before its first post."""
    quota_per_minute: float | None = None
    """How many posts the quota allows all tasks together; None without a quota."""
    tasks_at_once: int = 1
    """How many tasks share the quota."""
    time_limit_minutes: int | None = None
    """The time limit of one task; None if none is enforced."""
    most_jobs: int | None = None
    """How many jobs may be submitted at a time; None if no limit is known."""
    default_rows: int = DEFAULT_ROWS_PER_SHARD
    """The size if neither speed nor quota is known."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ShardSize:
    """How many posts a shard should hold, and why."""

    rows: int
    """Posts of one shard, 1 or more."""
    basis: SizeBasis
    """What decided."""
    bound: SizeBound
    """Which bound held."""
    reason: str
    """The same in words, to follow a colon."""


def choose_shard_size(request: SizeRequest) -> ShardSize:
    """Return the size of shards for a run.

    The larger of two measured rates, or of two targets, never gives the smaller shards.
    """
    rate, basis = _rate(request)
    share = min(1.0, request.asked / request.posts) if request.posts else 1.0
    lowest = max(1, math.ceil(request.posts / MOST_SHARDS))
    if rate is None:
        wanted = request.default_rows
    else:
        wanted = _rows_in(_minutes_to_ask(request), rate, share)
    rows, bound = _bound(request, wanted, rate)
    if rows < lowest:
        rows, bound = lowest, SizeBound.SHARDS
    reason = _describe(request, rate, basis, bound)
    return ShardSize(rows=rows, basis=basis, bound=bound, reason=reason)


def _rate(request: SizeRequest) -> tuple[float | None, SizeBasis]:
    """Return how many posts one task asks about in a minute, and how that is known."""
    rate = find_rate(request.measured_per_minute, request.quota_per_minute, request.tasks_at_once)
    if rate is None:
        return None, SizeBasis.NOTHING
    return rate.per_minute, SizeBasis.QUOTA if rate.is_by_quota else SizeBasis.MEASURED


def _minutes_to_ask(request: SizeRequest) -> float:
    """Return how much of the target is left for posts once the task has started."""
    target = request.target_minutes
    return max(target - request.startup_minutes, target * LEAST_SHARE_OF_TARGET)


def _rows_in(minutes: float, rate: float, share: float) -> int:
    """Return how many posts a task gets through, at least 1.

    Args:
        minutes: how long it asks.
        rate: how many posts it asks about in a minute.
        share: of the posts that it has to ask about.
    """
    rows = minutes * rate / share if share else math.inf
    return max(1, math.floor(min(rows, MOST_ROWS)))


def _bound(request: SizeRequest, wanted: int, rate: float | None) -> tuple[int, SizeBound]:
    """Return the size within its bounds, and the last bound that changed it.

    A limit of submitted jobs may enlarge shards only as far as the time limit allows: a run goes
    out in waves, but a task that runs out of time takes several attempts.
    """
    rows, bound = wanted, SizeBound.NONE
    if request.most_jobs and rows < (least := math.ceil(request.posts / request.most_jobs)):
        rows, bound = least, SizeBound.SUBMIT_LIMIT
    if rate is not None and request.time_limit_minutes is not None:
        limit = float(request.time_limit_minutes)
        minutes = max(limit * SHARE_OF_TIME_LIMIT - request.startup_minutes, limit / 10)
        # Where posts are copied, some shards may have none of the copies.
        if rows > (most := _rows_in(minutes, rate, 1.0)):
            rows, bound = most, SizeBound.TIME_LIMIT
    if rows > MOST_ROWS or (rows == MOST_ROWS and bound is SizeBound.NONE and rate is not None):
        rows, bound = MOST_ROWS, SizeBound.MEMORY
    return rows, bound


def _describe(request: SizeRequest, rate: float | None, basis: SizeBasis, bound: SizeBound) -> str:
    parts = []
    if rate is None:
        parts.append(
            "nothing was measured and there is no quota, so sharding.rows_per_shard applies; "
            "submit --canary N measures"
        )
    else:
        known = {
            SizeBasis.MEASURED: "measured",
            SizeBasis.QUOTA: f"the quota shared by {counted(request.tasks_at_once, 'task')}",
        }[basis]
        parts.append(f"{request.target_minutes:g} min at {format_rate(rate)} per task ({known})")
        if request.startup_minutes >= 0.1:
            parts.append(f"{request.startup_minutes:.1f} min of start-up")
        if request.asked < request.posts:
            parts.append(f"{request.posts - request.asked:,} posts are not asked about")
    if bound is not SizeBound.NONE:
        parts.append(_BOUNDS[bound])
    return "; ".join(parts)


_BOUNDS = {
    SizeBound.SUBMIT_LIMIT: "larger, so that all shards can be submitted at once",
    SizeBound.TIME_LIMIT: f"no more fits into {SHARE_OF_TIME_LIMIT:.0%} of cluster.time_min",
    SizeBound.MEMORY: f"a shard has at most {MOST_ROWS:,} posts",
    SizeBound.SHARDS: f"larger, because a run has at most {MOST_SHARDS:,} shards",
}


def format_rate(per_minute: float) -> str:
    """Return a rate with as many digits as it is worth."""
    shown = f"{per_minute:,.0f}" if per_minute >= 10 else f"{per_minute:.2g}"
    return f"{shown} posts/min"
