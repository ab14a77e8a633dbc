"""What each shard asks for on its next attempt, by the cause of its last. Pure.

Peers rerun what failed with the same resources, or grow them by the number of attempts whatever the
cause. Shards that ask for the same form a group, and a group is submitted together.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace

from hpc.run.causes import Remedy, remedy, why_ended
from hpc.run.model import (
    Attempt,
    Limits,
    ResourceRequest,
    ShardFacts,
    ShardGroup,
)
from hpc.run.retry_policy import RetryPolicy
from pipeline.errors import Cause

_NEEDS_LIMITS = frozenset({Remedy.MORE_MEMORY, Remedy.MORE_TIME, Remedy.ELSEWHERE})
# What one attempt asks for, how often its shard was throttled, and why, in words.
_Next = tuple[ResourceRequest, int, str]


def needs_limits(shards: Iterable[ShardFacts]) -> bool:
    """Whether the cluster has to be asked how far resources can grow."""
    return any(shard.attempts and _remedy(shard.attempts[-1]) in _NEEDS_LIMITS for shard in shards)


def group_by_remedy(
    shards: Sequence[ShardFacts], *, base: ResourceRequest, policy: RetryPolicy, limits: Limits
) -> tuple[ShardGroup, ...]:
    """The shards to submit, grouped by what they ask for.

    Args:
        base: what the configuration asks for: a first attempt.
        limits: of the cluster; not needed unless `needs_limits`.
    """
    avoided = _avoided(shards, policy, limits)
    found: dict[_Next, list[int]] = {}
    for shard in shards:
        found.setdefault(_next(shard, base, policy, limits, avoided), []).append(shard.index)
    return tuple(
        ShardGroup(
            shards=tuple(indices),
            ask=ask,
            delay_s=round(policy.throttled_minutes * 60) if throttled else 0,
            slowdown=policy.throttled_factor**throttled,
            why=why,
        )
        for (ask, throttled, why), indices in found.items()
    )


def _next(
    shard: ShardFacts,
    base: ResourceRequest,
    policy: RetryPolicy,
    limits: Limits,
    avoided: tuple[str, ...],
) -> _Next:
    if not shard.attempts:
        return base, 0, ""
    last = shard.attempts[-1]
    cause = _cause(last)
    match remedy(cause):
        case Remedy.MORE_MEMORY:
            ask, how = _more_memory(last, policy, limits)
        case Remedy.MORE_TIME:
            ask, how = _more_time(last, policy, limits)
        case Remedy.ELSEWHERE:
            ask = replace(last.ask, exclude=avoided)
            how = f"not on {','.join(avoided)}" if avoided else "the same; no other node is left"
        case Remedy.LATER:
            throttled = sum(_cause(attempt) is cause for attempt in shard.attempts)
            how = f"in {policy.throttled_minutes:g} min, fewer at once"
            return last.ask, throttled, f"{cause}: {how}"
        case _:
            ask, how = last.ask, "the same again"
    return ask, 0, f"{cause}: {how}"


def _more_memory(last: Attempt, policy: RetryPolicy, limits: Limits) -> tuple[ResourceRequest, str]:
    """A partition's default, where the configuration asks for none, is what accounting says."""
    had = last.ask.mem_gb or (last.record.req_mem_gb if last.record else None)
    if had is None:
        return last.ask, "the same again: nobody knows how much it had; set cluster.mem_gb"
    most = policy.max_mem_gb or limits.mem_gb
    wanted = min(had * policy.memory_factor, most or math.inf)
    if wanted <= had:
        return replace(last.ask, mem_gb=had), f"{had:.4g} GB again, the most there is"
    capped = ", the most there is" if wanted == most else ""
    return replace(last.ask, mem_gb=wanted), f"{wanted:.4g} GB after {had:.4g}{capped}"


def _more_time(last: Attempt, policy: RetryPolicy, limits: Limits) -> tuple[ResourceRequest, str]:
    had, most = last.ask.time_min, policy.max_time_min or limits.time_min
    wanted = math.ceil(min(had * policy.time_factor, most or math.inf))
    if wanted <= had:
        return last.ask, f"{had} min again, the most there is, for what is left"
    capped = ", the most there is" if wanted == most else ""
    return replace(last.ask, time_min=wanted), f"{wanted} min after {had}{capped}, for what is left"


def _avoided(shards: Sequence[ShardFacts], policy: RetryPolicy, limits: Limits) -> tuple[str, ...]:
    """The nodes on which these shards' attempts were lost, the newest losses first where there are
    too many; together, so that they stay one array. Never all nodes of the partition."""
    lost = {
        attempt.record.node: attempt.number
        for shard in shards
        for attempt in shard.attempts
        if attempt.record and attempt.record.node and _remedy(attempt) is Remedy.ELSEWHERE
    }
    newest = sorted(lost, key=lambda node: (-lost[node], node))
    room = policy.max_excluded_nodes
    if limits.nodes is not None:
        newest = [node for node in newest if node in limits.nodes]
        room = min(room, len(limits.nodes) - 1)
    return tuple(sorted(newest[: max(room, 0)]))


def _cause(attempt: Attempt) -> Cause:
    return why_ended(attempt)[0]


def _remedy(attempt: Attempt) -> Remedy:
    return remedy(_cause(attempt))
