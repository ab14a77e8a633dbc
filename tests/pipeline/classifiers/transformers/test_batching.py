"""Batches by token count: every post once, bounded cost, little padding, a bounded pool."""

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, pairwise

from hypothesis import given
from hypothesis import strategies as st

from pipeline.classifiers.transformers.batching import batches, padded_tokens

LENGTHS = st.lists(st.integers(1, 600), max_size=400)
MOST, POOL = st.integers(1, 4_000), st.integers(1, 20_000)


@dataclass(frozen=True, slots=True)
class Item:
    position: int
    length: int


class Source:
    """Items of these lengths, one after the other; counts the tokens that were taken."""

    def __init__(self, lengths: list[int]) -> None:
        self.lengths = lengths
        self.taken = 0

    def __iter__(self) -> Iterator[Item]:
        for position, length in enumerate(self.lengths):
            self.taken += length
            yield Item(position, length)


def made(lengths: list[int], most: int, pool: int) -> list[list[Item]]:
    given = iter(Source(lengths))
    return list(batches(given, max_tokens=lambda: most, pool_tokens=lambda: pool))


def cost(batch: list[Item]) -> int:
    return padded_tokens([item.length for item in batch])


def test_a_sweep_goes_from_the_longest_to_the_shortest_and_the_next_takes_what_came_above() -> None:
    """A pool of 20 tokens: 3, 9, 4 and 9 at first; 8 and 2 come when the nines have gone."""
    found = made([3, 9, 4, 9, 8, 2], most=18, pool=20)
    assert [[item.length for item in batch] for batch in found] == [[9, 9], [8, 4], [3, 2]]
    found = made([9, 9, 4, 9, 3, 3], most=9, pool=20)
    assert [[item.length for item in batch] for batch in found] == [[9], [9], [9], [4, 3], [3]]
    found = made([5, 5, 9, 4], most=10, pool=10)
    assert [[item.length for item in batch] for batch in found] == [[5, 5], [4], [9]]


def test_no_posts_are_no_batches() -> None:
    assert made([], most=100, pool=100) == []
    assert padded_tokens([]) == 0


@given(LENGTHS, MOST, POOL)
def test_every_post_is_in_one_batch_once(lengths: list[int], most: int, pool: int) -> None:
    found = made(lengths, most, pool)
    items = list(chain.from_iterable(found))
    assert sorted(item.position for item in items) == list(range(len(lengths)))
    assert all(item.length == lengths[item.position] for item in items)
    assert all(found)


@given(LENGTHS, MOST, POOL)
def test_a_batch_costs_no_more_than_allowed_unless_it_is_one_post(
    lengths: list[int], most: int, pool: int
) -> None:
    for batch in made(lengths, most, pool):
        assert len(batch) == 1 or cost(batch) <= most
        assert batch[0].length == max(item.length for item in batch)


@given(LENGTHS, MOST, POOL)
def test_no_more_is_taken_than_the_pool_holds(lengths: list[int], most: int, pool: int) -> None:
    source = Source(lengths)
    given = 0
    for batch in batches(iter(source), max_tokens=lambda: most, pool_tokens=lambda: pool):
        assert source.taken - given < pool + max(lengths)
        given += sum(item.length for item in batch)


@given(LENGTHS.filter(bool), MOST, POOL)
def test_padding_is_bounded_sweep_by_sweep(lengths: list[int], most: int, pool: int) -> None:
    found = made(lengths, most, pool)
    sweeps = 1 + sum(later[0].length > earlier[-1].length for earlier, later in pairwise(found))
    padding = sum(map(cost, found)) - sum(lengths)
    spread = math.log(max(lengths) / min(lengths))
    assert padding <= sweeps * most * spread + 1e-6
    assert sweeps <= sum(lengths) / pool + 2


def test_of_posts_as_long_as_posts_are_a_twentieth_is_padding() -> None:
    chance = random.Random(1)
    lengths = [min(300, 2 + int(35 * chance.lognormvariate(0, 0.8))) for _ in range(20_000)]
    padded = sum(map(cost, made(lengths, most=2_048, pool=16 * 2_048)))
    assert padded / sum(lengths) < 1.06


def test_a_limit_that_falls_on_the_way_holds_from_the_next_batch_on() -> None:
    limit = [100]
    found = batches(iter(Source([10] * 30)), max_tokens=lambda: limit[0], pool_tokens=lambda: 1_000)
    assert len(next(found)) == 10
    limit[0] = 45
    assert [len(batch) for batch in found] == [4, 4, 4, 4, 4]
