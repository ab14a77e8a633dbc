"""What a run will take of a quota and of money, as far as it can be told before it begins. Pure."""

import math
from dataclasses import dataclass, replace

from hpc.report.usage import cost_of, format_money
from pipeline.text import counted, estimated_duration
from pipeline.usage import CostOptions, UsedTokens


@dataclass(frozen=True, kw_only=True, slots=True)
class CostEstimate:
    """None: nobody can know. `requests` as if each were answered at the first try; `minutes` that
    the quota needs for them, with nobody else using it; `cost`, in `currency`, at the tokens that
    `known_posts` posts of the same question took."""

    requests: int | None = None
    requests_per_minute: int | None = None
    minutes: float | None = None
    cost: float | None = None
    currency: str | None = None
    known_posts: int = 0


def estimate_cost(options: CostOptions, posts: int, paid: UsedTokens | None) -> CostEstimate:
    """For so many posts.

    Args:
        options: what the classifier's options say about cost.
        paid: what posts of the same question have used before.
    """
    told = CostEstimate()
    per_minute = options.requests_per_minute
    if per_minute is not None and per_minute > 0:
        requests = math.ceil(posts / options.posts_per_prompt)
        told = CostEstimate(
            requests=requests, requests_per_minute=per_minute, minutes=requests / per_minute
        )
    price = options.price
    cost = cost_of(paid.sums, price) if paid else None
    if paid is None or price is None or cost is None:
        return told
    return replace(
        told,
        cost=cost / paid.posts * posts,
        currency=price.currency,
        known_posts=paid.posts,
    )


def describe_estimate(told: CostEstimate) -> list[str]:
    """For a person; nothing of what is not known."""
    said = []
    if told.requests and told.requests_per_minute and told.minutes is not None:
        said.append(
            f"at {counted(told.requests_per_minute, 'request')} a minute, the quota gives "
            f"{counted(told.requests, 'request')} in "
            f"{estimated_duration(told.minutes * 60)}, if nothing else uses it"
        )
    if told.cost is not None and told.currency:
        said.append(
            f"about {format_money(told.cost, told.currency)}, at the tokens that "
            f"{counted(told.known_posts, 'post')} of this configuration took before"
        )
    return said
