"""Group posts of similar length into batches, so that little of each batch is padding."""

import math
from bisect import bisect_left
from collections.abc import Callable, Iterator
from typing import Protocol, TypeVar


class HasLength(Protocol):
    """Something that occupies a number of tokens."""

    @property
    def length(self) -> int:
        """In tokens, 1 or more."""


Item = TypeVar("Item", bound=HasLength)


def batches(
    incoming: Iterator[Item], *, max_tokens: Callable[[], int], pool_tokens: Callable[[], int]
) -> Iterator[list[Item]]:
    """Yield all of `incoming` in batches, the longest item of each batch first.

    A pool is kept full and swept from its longest item to its shortest, as an elevator sweeps
    floors. Items that come in above the current level wait for the next sweep. So a sweep chooses
    from twice as many items as are ever held. The batches depend on the items' lengths and order
    alone, never on time.

    A batch is as large as its number of rows times its longest row, padding included. This is at
    most `max_tokens`, unless a single item is longer. A sweep has at most
    `max_tokens * ln(longest / shortest)` tokens of padding, and at least `pool_tokens` others until
    `incoming` ends.

    Args:
        incoming: taken only as far as the pool has room.
        max_tokens: asked before each batch, because a GPU's memory may turn out to be smaller.
        pool_tokens: how many tokens the pool holds at most.
    """
    pool: list[Item] = []
    held_tokens = 0
    level: float = math.inf
    while True:
        size_before = len(pool)
        while held_tokens < pool_tokens() and (item := next(incoming, None)) is not None:
            pool.append(item)
            held_tokens += item.length
        if len(pool) > size_before:
            pool.sort(key=_longest_first)
        start = bisect_left(pool, -level, key=_longest_first)
        if start == len(pool):
            if not pool:
                return
            start = 0
        end = start + max(1, max_tokens() // pool[start].length)
        batch = pool[start:end]
        del pool[start:end]
        level = batch[-1].length
        held_tokens -= sum(item.length for item in batch)
        yield batch


def padded_tokens(lengths: list[int]) -> int:
    """Return how many tokens a batch of posts of these lengths costs, padding included."""
    return len(lengths) * max(lengths, default=0)


def _longest_first(item: HasLength) -> int:
    return -item.length
