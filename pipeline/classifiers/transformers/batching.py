"""From token counts to batches: posts of like length together, so that little of it is padding."""

import math
from bisect import bisect_left
from collections.abc import Callable, Iterator
from typing import Protocol, TypeVar


class Measured(Protocol):
    @property
    def length(self) -> int:
        """In tokens, 1 or more."""


T = TypeVar("T", bound=Measured)


def batches(
    incoming: Iterator[T], *, most_tokens: Callable[[], int], pool_tokens: Callable[[], int]
) -> Iterator[list[T]]:
    """Each of `incoming` in one batch, the longest of a batch first.

    A pool is kept filled, and swept from its longest to its shortest as a lift sweeps floors: what
    comes in above is taken by the next sweep. So a sweep chooses from twice as many as are ever
    held; which these are depends on their lengths and order alone, never on time.

    A batch is as many rows as its longest has tokens, padding included: at most `most_tokens`, but
    for a post that is longer alone. A sweep has at most `most_tokens * ln(longest / shortest)`
    tokens of padding, and at least `pool_tokens` others, until `incoming` ends.

    Args:
        most_tokens: asked before each batch, as a GPU's memory may turn out to be smaller.
        pool_tokens: no more of `incoming` is taken than what makes the pool so large.
    """
    pool: list[T] = []
    held = 0
    level: float = math.inf
    while True:
        before = len(pool)
        while held < pool_tokens() and (one := next(incoming, None)) is not None:
            pool.append(one)
            held += one.length
        if len(pool) > before:
            pool.sort(key=_longest_first)
        start = bisect_left(pool, -level, key=_longest_first)
        if start == len(pool):
            if not pool:
                return
            start = 0
        end = start + max(1, most_tokens() // pool[start].length)
        batch = pool[start:end]
        del pool[start:end]
        level = batch[-1].length
        held -= sum(one.length for one in batch)
        yield batch


def padded_tokens(lengths: list[int]) -> int:
    """What a batch of posts of these lengths costs."""
    return len(lengths) * max(lengths, default=0)


def _longest_first(one: Measured) -> int:
    return -one.length
