"""Estimate what a run will take of a quota and of money before it begins. Pure."""

import math
from dataclasses import dataclass, replace

from hpc.display.run.usage import cost_of, format_money
from pipeline.text import counted, format_duration
from pipeline.usage import CostOptions, UsedTokens


@dataclass(frozen=True, kw_only=True, slots=True)
class CostEstimate:
    """What labeling some posts will take; None where nobody can know."""

    requests: int | None = None
    """Requests, if each is answered at the first try."""
    requests_per_minute: int | None = None
    minutes: float | None = None
    """Minutes that the quota needs for the requests, if nothing else uses it."""
    cost: float | None = None
    """Money in `currency`, judging by the tokens of `known_posts` posts."""
    currency: str | None = None
    known_posts: int = 0


def estimate_cost(options: CostOptions, posts: int, paid: UsedTokens | None) -> CostEstimate:
    """Estimate what a number of posts will take.

    Args:
        options: what the classifier's options say about cost.
        posts: how many posts are to be labeled.
        paid: the tokens that posts with comparable labels have used; None if unknown.
    """
    estimate = CostEstimate()
    per_minute = options.requests_per_minute
    if per_minute is not None and per_minute > 0:
        requests = math.ceil(posts / options.posts_together) * options.requests_per_post
        estimate = CostEstimate(
            requests=requests, requests_per_minute=per_minute, minutes=requests / per_minute
        )
    price = options.price
    cost = cost_of(paid.sums, price) if paid else None
    if paid is None or price is None or cost is None:
        return estimate
    return replace(
        estimate,
        cost=cost / paid.posts * posts,
        currency=price.currency,
        known_posts=paid.posts,
    )


def quota_in_posts(options: CostOptions) -> float | None:
    """Return how many posts a minute the quota allows all tasks together; None without a quota."""
    if not options.requests_per_minute or options.requests_per_minute < 0:
        return None
    return options.requests_per_minute * options.posts_together / options.requests_per_post


def describe_estimate(estimate: CostEstimate) -> list[str]:
    """Return a line for each thing that is known."""
    lines = []
    if estimate.requests and estimate.requests_per_minute and estimate.minutes is not None:
        take = "takes" if estimate.requests == 1 else "take"
        lines.append(
            f"at {estimate.requests_per_minute:,} requests/min, "
            f"{counted(estimate.requests, 'request')} {take} "
            f"at least {format_duration(estimate.minutes * 60)}"
        )
    if estimate.cost is not None and estimate.currency:
        lines.append(
            f"about {format_money(estimate.cost, estimate.currency)}, judging by the tokens of "
            f"{counted(estimate.known_posts, 'post')} with this configuration"
        )
    return lines
