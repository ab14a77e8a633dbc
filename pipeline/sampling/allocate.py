"""Decide how many posts of each stratum a sample has. Pure.

Each allocation gives out one post after the other in an order that does not depend on the size of
the sample. So a larger sample has at least as many posts of each stratum as a smaller one. The
usual method, largest remainders, does not: a stratum can lose a post when the sample grows (the
Alabama paradox).
"""

import heapq
from collections.abc import Mapping
from enum import StrEnum
from fractions import Fraction

# With two posts, the variance within a stratum can be estimated.
LEAST = 2


class Allocation(StrEnum):
    """How the posts of a sample are divided among the strata."""

    PROPORTIONAL = "proportional"
    """As the posts of the population are, by Sainte-Laguë's method, but at least LEAST each."""
    EQUAL = "equal"
    """As many posts of each stratum, as far as it has them."""


def allocate(populations: Mapping[str, int], size: int, allocation: Allocation) -> dict[str, int]:
    """Return how many posts are drawn from each stratum; they add up to `size`.

    Args:
        populations: how many posts each stratum has, at least one.
        size: how many posts to draw: at least one for each stratum, and no more than there are.
        allocation: how to divide them.
    """
    assert len(populations) <= size <= sum(populations.values())
    largest_first = dict(sorted(populations.items(), key=lambda item: (-item[1], item[0])))
    if allocation is Allocation.EQUAL or size <= sum(_least(largest_first).values()):
        return _allocate_equally(largest_first, size)
    return _allocate_proportionally(largest_first, size)


def _least(populations: Mapping[str, int]) -> dict[str, int]:
    return {stratum: min(LEAST, posts) for stratum, posts in populations.items()}


def _allocate_equally(populations: Mapping[str, int], size: int) -> dict[str, int]:
    """Give each stratum one post in each round, as long as it has one."""
    low, high = 0, size  # this many rounds can be completed
    while low < high:
        rounds = (low + high + 1) // 2
        if sum(min(posts, rounds) for posts in populations.values()) <= size:
            low = rounds
        else:
            high = rounds - 1
    sizes = {stratum: min(posts, low) for stratum, posts in populations.items()}
    rest = size - sum(sizes.values())
    for stratum in [name for name, posts in populations.items() if posts > low][:rest]:
        sizes[stratum] += 1
    return sizes


def _allocate_proportionally(populations: Mapping[str, int], size: int) -> dict[str, int]:
    """Give the least to all, and each further post to the stratum that it is due to next.

    That is the one with the largest population / (2 × its posts so far + 1).
    """
    least = _least(populations)

    def divide(divisor: int) -> dict[str, int]:
        """Return the sizes once all posts are given for which that ratio is at least this large.

        The ratio is divisor / (2 × size).
        """
        return {
            stratum: max(least[stratum], (posts * 2 * size // divisor + 1) // 2)
            for stratum, posts in populations.items()
        }

    low, high = sum(populations.values()), 2 * size * max(populations.values()) + 1
    while low < high:  # the smallest divisor that gives out no more posts than there are
        divisor = (low + high) // 2
        if sum(divide(divisor).values()) <= size:
            high = divisor
        else:
            low = divisor + 1
    sizes = divide(low)
    due = [(-Fraction(posts, 2 * sizes[stratum] + 1), -posts, stratum)
           for stratum, posts in populations.items() if sizes[stratum] < posts]  # fmt: skip
    heapq.heapify(due)
    for _ in range(size - sum(sizes.values())):
        _, minus_posts, stratum = heapq.heappop(due)  # the heap has its smallest item first
        sizes[stratum] += 1
        if sizes[stratum] < -minus_posts:
            ratio = Fraction(minus_posts, 2 * sizes[stratum] + 1)
            heapq.heappush(due, (ratio, minus_posts, stratum))
    return sizes
