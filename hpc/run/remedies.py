"""Compute what each shard requests on its next attempt, by the cause of its last. Pure.

Other tools rerun what failed with the same resources, or grow them by the number of attempts
whatever the cause. Shards that request the same form a group, and a group is submitted together.
"""

import math
from collections.abc import Iterable, Iterator, Sequence

import msgspec
from msgspec.structs import replace

from hpc.run.causes import Remedy, cause_of, remedy
from hpc.run.model.arrays import Limits, ResourceRequest, ShardGroup
from hpc.run.model.attempts import Attempt
from hpc.run.model.shards import ShardFacts
from hpc.run.outage import Outage
from hpc.run.retry_policy import RetryPolicy
from pipeline.errors import Cause

_NEEDS_LIMITS = frozenset({Remedy.MORE_MEMORY, Remedy.MORE_TIME})


class _Next(msgspec.Struct, frozen=True, kw_only=True):
    """What the next attempt of a shard requests, and when."""

    request: ResourceRequest
    delay_s: int = 0
    slowdown: float = 1.0
    why: str = ""


def needs_limits(shards: Sequence[ShardFacts], others: Sequence[ShardFacts] = ()) -> bool:
    """Tell whether a remedy needs to know how far resources can grow, or which nodes there are.

    The arguments are those of `group_by_remedy`.
    """
    grows = any(shard.attempts and _remedy(shard.attempts[-1]) in _NEEDS_LIMITS for shard in shards)
    return grows or any(_lost_on_nodes(shards)) or any(_early_ends(others))


class Base(msgspec.Struct, frozen=True, kw_only=True):
    """What the configuration requests, and since when."""

    request: ResourceRequest
    """What a first attempt requests."""
    memory_since: int = 0
    """The last attempt that was submitted before a person corrected the memory; 0 for none."""
    time_since: int = 0
    """The same for the time limit."""
    settings_since: int = 0
    """The same for any setting of tasks."""


def group_by_remedy(
    shards: Sequence[ShardFacts],
    *,
    base: Base,
    policy: RetryPolicy,
    limits: Limits,
    others: Sequence[ShardFacts] = (),
    outage: Outage | None = None,
) -> tuple[ShardGroup, ...]:
    """Return the shards to submit, grouped by what they request.

    Args:
        shards: the shards to submit.
        others: the shards of the run that may have met a bad node.
        base: what the configuration requests.
        policy: how far each remedy may go.
        limits: how far the executor lets resources grow; not used unless `needs_limits`.
        outage: what the shards wait for; None if they start as soon as they can.
    """
    avoided = _nodes_to_avoid([*_lost_on_nodes(shards), *_early_ends(others)], policy, limits)
    groups: dict[_Next, list[int]] = {}
    for shard in shards:
        following = _next_anywhere(shard, base, policy, limits, avoided)
        if outage:
            following = _when_back(following, outage, policy)
        # Whatever ended a shard, a node that is known to be bad would end it next. One list for all
        # shards also keeps them in one array.
        request = replace(following.request, exclude=avoided or following.request.exclude)
        groups.setdefault(replace(following, request=request), []).append(shard.index)
    return tuple(
        ShardGroup(
            shards=tuple(indices),
            request=following.request,
            delay_s=following.delay_s,
            slowdown=following.slowdown,
            why=following.why,
        )
        for following, indices in groups.items()
    )


def _when_back(following: _Next, outage: Outage, policy: RetryPolicy) -> _Next:
    """Let a shard ask a service that is down, after a while."""
    pause = outage.pause_min(policy)
    when = f"in {pause:g} min, " if pause else ""
    why = f"{Cause.UNAVAILABLE}: {when}to ask the service again"
    return replace(following, delay_s=round(pause * 60), why=why)


def _next_anywhere(
    shard: ShardFacts,
    base: Base,
    policy: RetryPolicy,
    limits: Limits,
    avoided: tuple[str, ...],
) -> _Next:
    if not shard.attempts:
        return _Next(request=base.request)
    last = _with_corrections(shard.attempts[-1], base)
    cause = cause_of(last)
    match remedy(cause):
        case Remedy.MORE_MEMORY if last.number > base.memory_since:
            request, change = _more_memory(last, policy, limits)
        case Remedy.MORE_TIME if last.number > base.time_since:
            request, change = _more_time(last, policy, limits)
        case Remedy.ELSEWHERE:
            request = replace(last.request, exclude=avoided)  # also where no other node is left
            nodes = ",".join(avoided)
            change = f"not on {nodes}" if avoided else "same settings; no other node is left"
        case Remedy.LATER:
            times_throttled = sum(cause_of(attempt) is cause for attempt in shard.attempts)
            change = f"in {policy.throttled_minutes:g} min, fewer at a time"
            return _Next(
                request=last.request,
                delay_s=round(policy.throttled_minutes * 60),
                slowdown=policy.throttled_factor**times_throttled,
                why=f"{cause}: {change}",
            )
        case _:
            request = last.request
            former = shard.attempts[-1]
            is_same = request == former.request and former.number > base.settings_since
            change = "same settings" if is_same else "corrected settings"
    return _Next(request=request, why=f"{cause}: {change}")


def _with_corrections(last: Attempt, base: Base) -> Attempt:
    """Return the attempt as if it had had what a person has corrected since.

    A correction is not a remedy: the next attempt gets just what the person asked for.
    """
    request = last.request
    if last.number <= base.memory_since:
        request = replace(request, mem_gb=base.request.mem_gb)
    if last.number <= base.time_since:
        request = replace(request, time_min=base.request.time_min)
    return replace(last, request=request)


def _more_memory(last: Attempt, policy: RetryPolicy, limits: Limits) -> tuple[ResourceRequest, str]:
    """Grow the memory. If the configuration requests none, accounting has the default."""
    before = last.request.mem_gb or (last.record.req_mem_gb if last.record else None)
    if before is None:
        return last.request, "same settings: its memory request is unknown; set cluster.mem_gb"
    most = policy.max_mem_gb or limits.mem_gb
    after = min(before * policy.memory_factor, most or math.inf)
    if after <= before:
        return replace(last.request, mem_gb=before), f"{before:.4g} GiB again (the maximum)"
    capped = " (the maximum)" if after == most else ""
    request = replace(last.request, mem_gb=after)
    return request, f"memory {before:.4g} → {after:.4g} GiB{capped}"


def _more_time(last: Attempt, policy: RetryPolicy, limits: Limits) -> tuple[ResourceRequest, str]:
    before, most = last.request.time_min, policy.max_time_min or limits.time_min
    after = math.ceil(min(before * policy.time_factor, most or math.inf))
    if after <= before:
        return last.request, f"{before} min again (the maximum) for the remaining posts"
    capped = " (the maximum)" if after == most else ""
    request = replace(last.request, time_min=after)
    return request, f"time limit {before} → {after} min{capped} for the remaining posts"


def _lost_on_nodes(shards: Iterable[ShardFacts]) -> Iterator[Attempt]:
    """Yield the attempts that a node ended."""
    for shard in shards:
        yield from (each for each in shard.attempts if _remedy(each) is Remedy.ELSEWHERE)


def _early_ends(shards: Iterable[ShardFacts]) -> Iterator[Attempt]:
    """Yield the attempts that a node ended before their first line.

    Such a node stays up and is always idle, so it would end every later wave of the run as well. A
    node that crashed is down until Slurm trusts it again.
    """
    yield from (each for each in _lost_on_nodes(shards) if each.early_end)


def _nodes_to_avoid(
    attempts: Iterable[Attempt], policy: RetryPolicy, limits: Limits
) -> tuple[str, ...]:
    """Return the nodes on which these attempts were lost, for all shards together.

    If there are too many nodes, the newest losses count, and never all nodes of the partition.
    """
    lost: dict[str, int] = {}
    for attempt in attempts:
        if attempt.record and (node := attempt.record.node):
            lost[node] = max(attempt.number, lost.get(node, 0))
    newest_first = sorted(lost, key=lambda node: (-lost[node], node))
    most = policy.max_excluded_nodes
    if limits.nodes is not None:
        newest_first = [node for node in newest_first if node in limits.nodes]
        most = min(most, len(limits.nodes) - 1)
    return tuple(sorted(newest_first[: max(most, 0)]))


def _remedy(attempt: Attempt) -> Remedy:
    return remedy(cause_of(attempt))
