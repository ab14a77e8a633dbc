"""What a run's answers have cost so far, and will in all: tokens, and money where a price is
configured. Pure.

What is summed is kept, in outputs and in checkpoint parts. What a task paid for and lost, because
it was killed between two parts, nobody has counted.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hpc.run.model import ShardFacts
from pipeline.usage import CACHED, COMPLETION, PROMPT

MILLION = 1_000_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Usage:
    """None: unknown. `cached_tokens` are some of the prompt's; the rate, of prompt and completion
    together, is that of the running tasks' last minutes; `cost_estimate` is that of all posts."""

    prompt_tokens: int | None
    cached_tokens: int | None
    completion_tokens: int | None
    tokens_per_second: float | None
    cost: float | None
    cost_estimate: float | None
    currency: str | None


def usage_of(
    shards: Sequence[ShardFacts], *, posts: int, price: Mapping[str, Any] | None
) -> Usage | None:
    """Of a run of so many posts; None while no answer has told what it cost.

    Args:
        price: as `pipeline.usage.freeze_price` gives it.
    """
    rows = 0
    sums: dict[str, int] = {}
    for shard in shards:
        answered, counts = _of(shard)
        rows += answered if counts else 0
        for name, count in counts.items():
            sums[name] = sums.get(name, 0) + count
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
        currency=price["currency"] if price else None,
    )


def usage_line(used: Usage, *, complete: bool) -> str:
    """One line; money in all only where there is more to come."""
    counts = [
        f"{count:,} {kind}"
        for kind, count in (("prompt", used.prompt_tokens), ("completion", used.completion_tokens))
        if count is not None
    ]
    said = [f"{' and '.join(counts)} tokens"] if counts else []
    if used.tokens_per_second:
        said.append(f"{used.tokens_per_second:,.0f} tokens/s")
    if used.cost is not None and used.currency:
        now = money(used.cost, used.currency)
        said.append(now if complete else f"{now} so far")
        if used.cost_estimate is not None and not complete:
            said.append(f"about {money(used.cost_estimate, used.currency)} in all")
    return ", ".join(said)


def _of(shard: ShardFacts) -> tuple[int, Mapping[str, int]]:
    """How many answers of a shard were counted, and what they cost."""
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


def cost_of(sums: Mapping[str, int], price: Mapping[str, Any] | None) -> float | None:
    """Where it is not known how many prompt tokens were cached, none was: rather too much."""
    if price is None or PROMPT not in sums or COMPLETION not in sums:
        return None
    cached = sums.get(CACHED, 0)
    return float(
        (sums[PROMPT] - cached) * price["prompt"]
        + cached * price["cached"]
        + sums[COMPLETION] * price["completion"]
    ) / MILLION  # fmt: skip


def money(amount: float, currency: str) -> str:
    """In cents, or where it is less than one, in hundredths of them."""
    shown = f"{amount:,.2f}" if amount >= 0.01 or not amount else f"{amount:.4f}"
    return f"${shown}" if currency == "USD" else f"{shown} {currency}"
