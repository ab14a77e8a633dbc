"""Describe a canary, and what all other posts will take, in words. Pure."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

from hpc.display.blocks import Block, Line, Table, Tone
from hpc.display.run.usage import format_money
from hpc.planning.estimate import estimate_cost
from hpc.planning.measured.canary import CanaryOutcome, CanaryResult
from hpc.planning.measured.describe import describe_duration, describe_speed
from hpc.planning.measured.duration import estimate_minutes
from hpc.planning.measured.pace import RunPace
from hpc.planning.measured.shard_size import ShardSize
from hpc.planning.new_run.describe_draft import workload
from hpc.planning.new_run.run_draft import RunDraft
from hpc.planning.run_spec import Canary, RunSpec
from hpc.run.model.run import Run
from pipeline.text import counted, estimated_duration, format_duration, format_memory

_OUTCOMES = {
    CanaryOutcome.WELL: ("the canary went well", Tone.GOOD),
    CanaryOutcome.INCOMPLETE: (
        "the canary did not finish, so nothing else is submitted. Fix the cause as "
        "described above, and run the same command again",
        Tone.BAD,
    ),
    CanaryOutcome.NOTHING_SENT: (
        "no post of the canary has a text that can be sent, so nothing was measured and nothing "
        "else is submitted: check backlog.columns, or take a larger canary",
        Tone.BAD,
    ),
    CanaryOutcome.FEW_LABELS: (
        "fewer than half of the posts that were sent got a label, so nothing else is submitted: "
        "check the configuration and the service",
        Tone.BAD,
    ),
}


def describe_plan(canary: Canary, newest: Run | None) -> str:
    """Return what a submit with a canary would do first.

    Args:
        canary: what is asked for.
        newest: the newest run of the name, if it is a canary of the same work.
    """
    if newest and newest.manifest.posts >= canary.posts:
        return f"the canary {newest.run_id} exists, so no new canary would be submitted"
    return f"a canary labels the first {counted(canary.posts, 'post')} of these before the others"


def describe_speed_changes(canary: Run, keys: Sequence[str]) -> str:
    """Return why the others may be faster or slower than a canary that is not repeated.

    Args:
        canary: the canary.
        keys: the keys that had other values then.
    """
    return (
        f"the canary {canary.run_id} used other values of {', '.join(keys)}, so the other posts "
        "may take more or less time than it shows. To measure again, ask for a canary of more than "
        f"{counted(canary.manifest.posts, 'post')}"
    )


def describe_canary(canary: CanaryResult) -> list[Block]:
    """Return a report on the canary itself."""
    words, tone = _OUTCOMES[canary.outcome]
    return [
        Line(f"canary {canary.run.run_id}: {canary.state}"),
        Table(rows=tuple(_facts(canary))),
        Line(words, tone),
    ]


def _facts(canary: CanaryResult) -> Iterator[tuple[str, str]]:
    reasons = ", ".join(f"{reason} {count:,}" for reason, count in canary.unlabelable.items())
    share = canary.labeled * 100 // canary.posts
    yield (
        "labeled",
        f"{canary.labeled:,} of {counted(canary.posts, 'post')} ({share} %)"
        + (f"; without a label: {reasons}" if reasons else ""),
    )
    if canary.most_attempts > 1:
        yield "attempts", f"up to {canary.most_attempts} for a shard: hpc logs says why"
    if canary.pace:
        yield "speed", describe_speed(canary.pace)
    if canary.memory_mb is not None:
        requested = canary.run.cluster.resources.task_mem_gb
        of = f" of {format_memory(requested * 1024)} requested" if requested else ""
        yield "memory", f"up to {format_memory(canary.memory_mb)} per task{of}"
    if canary.tokens is not None and canary.sent:
        yield "tokens", f"{canary.tokens / canary.sent:,.0f} per post, {canary.tokens:,} in all"
    if canary.cost is not None and canary.currency and canary.sent:
        many = format_money(1000 * canary.cost / canary.sent, canary.currency)
        yield "cost", f"{many} per 1,000 posts, {format_money(canary.cost, canary.currency)} in all"


def describe_rest(
    spec: RunSpec,
    rest: RunDraft,
    pace: RunPace | None,
    size: ShardSize | None,
    time_limit: int | None,
) -> list[Block]:
    """Return what the other posts will take.

    Args:
        spec: the configuration.
        rest: the other posts.
        pace: how fast the tasks of the canary were; None if nothing was measured.
        size: the size of shards that follows from it; None if nothing was measured.
        time_limit: how many minutes a task may take; None if no limit is enforced.
    """
    if not rest.counts.posts:
        return [Line("no other post is left to label")]
    blocks: list[Block] = [
        Line(f"the rest: {counted(rest.counts.posts, 'post')}"),
        Table(rows=tuple(_estimates(spec, rest, pace, size))),
    ]
    minutes = workload(spec, rest, pace).shard_minutes if pace else None
    if minutes and time_limit and minutes > time_limit:
        blocks.append(
            Line(
                f"a task takes {estimated_duration(60 * minutes)} for such a shard, and "
                f"cluster.time_min allows {format_duration(60 * time_limit)}: set "
                "sharding.target_minutes: 20 instead of rows_per_shard, or more time",
                Tone.PENDING,
            )
        )
    return blocks


def _estimates(
    spec: RunSpec, rest: RunDraft, pace: RunPace | None, size: ShardSize | None
) -> Iterator[tuple[str, str]]:
    sizes = rest.sizes
    if pace:
        yield "time", describe_duration(workload(spec, rest, pace))
    estimate = estimate_cost(spec.cost_options, rest.posts_to_ask, rest.paid)
    if estimate.cost is not None and estimate.currency:
        yield "cost", f"about {format_money(estimate.cost, estimate.currency)}"
    yield "shards", f"{sizes.count:,} of up to {counted(sizes.largest, 'post')}"
    if size is None:
        return
    if rest.shard_size:
        yield "shard size", size.reason
        return
    if pace is None or not _is_slower(spec, rest, pace, size):
        yield (
            "suggested",
            f"sharding.target_minutes: 20, which makes shards of {counted(size.rows, 'post')} now",
        )


def _is_slower(spec: RunSpec, rest: RunDraft, pace: RunPace, size: ShardSize) -> bool:
    """Tell whether shards of this size take longer together, as fewer tasks than may run would."""
    work = workload(spec, rest, pace)
    resized = replace(work, shards=math.ceil(rest.counts.posts / size.rows))
    return (estimate_minutes(resized) or 0.0) > (estimate_minutes(work) or 0.0)
