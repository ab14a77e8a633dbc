"""Sum what a run's answers have cost so far, and estimate what all will cost. Pure.

The cost is in tokens, and in money where a price is configured. The sums come from outputs and
heartbeats. What a killed task had in flight, and paid for, is not counted.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hpc.run.model.shards import ShardFacts
from pipeline.classifiers.moderation.categories import REQUESTS
from pipeline.text import counted
from pipeline.usage import CACHED, COMPLETION, PROMPT, Price

MILLION = 1_000_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Usage:
    """What a run's answers have cost so far. None where it is not known."""

    prompt_tokens: int | None
    cached_tokens: int | None
    """Those of the prompt tokens that the server had in its cache."""
    completion_tokens: int | None
    tokens_per_second: float | None
    """Prompt and completion tokens in the last minutes of the running tasks."""
    cost: float | None
    cost_estimate: float | None
    """The cost of all posts of the run."""
    currency: str | None
    requests: int | None = None
    """Requests to a moderation endpoint; None for other classifiers."""


def usage_of(shards: Sequence[ShardFacts], *, posts: int, price: Price | None) -> Usage | None:
    """Return the usage of a run, or None until an answer reports what it cost.

    Args:
        shards: all shards of the run.
        posts: how many posts the run has.
        price: of tokens; None: not known.
    """
    rows = 0
    sums: Counter[str] = Counter()
    for shard in shards:
        answered, counts = _counts_of(shard)
        rows += answered if counts else 0
        sums.update(counts)
    if not sums:
        return None
    cost = cost_of(sums, price)
    return Usage(
        prompt_tokens=sums.get(PROMPT),
        cached_tokens=sums.get(CACHED),
        completion_tokens=sums.get(COMPLETION),
        tokens_per_second=_rate(shards),
        cost=cost,
        cost_estimate=None if cost is None or not rows else cost / rows * posts,
        currency=price.currency if price else None,
        requests=sums.get(REQUESTS),
    )


def describe_usage(usage: Usage, *, complete: bool) -> str:
    """Return one line; '' where only what no report knows is counted.

    The total cost is estimated only where the run is not complete.
    """
    counts = [
        f"{count:,} {kind}"
        for kind, count in (
            ("prompt", usage.prompt_tokens),
            ("completion", usage.completion_tokens),
        )
        if count is not None
    ]
    parts = [f"{' and '.join(counts)} tokens"] if counts else []
    if usage.requests is not None:
        parts.append(counted(usage.requests, "request"))
    if usage.tokens_per_second:
        parts.append(f"{usage.tokens_per_second:,.0f} tokens/s")
    if usage.cost is not None and usage.currency:
        so_far = format_money(usage.cost, usage.currency)
        parts.append(so_far if complete else f"{so_far} so far")
        if usage.cost_estimate is not None and not complete:
            parts.append(f"about {format_money(usage.cost_estimate, usage.currency)} in all")
    return ", ".join(parts)


def _counts_of(shard: ShardFacts) -> tuple[int, Mapping[str, int]]:
    """Return how many answers of a shard were counted, and what they cost together."""
    if shard.output.verified:
        return shard.posts, shard.output.counts
    beat = shard.heartbeat or shard.left_behind
    return (beat.rows, beat.counts) if beat else (0, {})


def _rate(shards: Sequence[ShardFacts]) -> float | None:
    rates = [
        sum(shard.heartbeat.counts_per_minute.get(name, 0.0) for name in (PROMPT, COMPLETION))
        for shard in shards
        if shard.heartbeat and shard.heartbeat.counts_per_minute and not shard.output.verified
    ]
    return round(sum(rates) / 60, 1) if rates else None


def cost_of(sums: Mapping[str, int], price: Price | None) -> float | None:
    """Return what tokens cost, or None where there is no price or no count.

    Where the number of cached tokens is not known, it is taken as 0, which gives the higher cost.
    """
    if price is None or PROMPT not in sums or COMPLETION not in sums:
        return None
    cached = sums.get(CACHED, 0)
    return float(
        (sums[PROMPT] - cached) * price.prompt
        + cached * (price.prompt if price.cached is None else price.cached)
        + sums[COMPLETION] * price.completion
    ) / MILLION  # fmt: skip


def format_money(amount: float, currency: str) -> str:
    """Return an amount rounded to cents, or to hundredths of a cent where it is below one cent."""
    shown = f"{amount:,.2f}" if amount >= 0.01 or not amount else f"{amount:.4f}"
    return f"${shown}" if currency == "USD" else f"{shown} {currency}"
