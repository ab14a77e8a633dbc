"""Batches by token count: every post once, bounded cost, little padding."""

import math
from itertools import chain, pairwise

from hypothesis import given
from hypothesis import strategies as st

from pipeline.classifiers.batching import batches, padded_tokens

LENGTHS = st.lists(st.integers(1, 600), max_size=400)
MOST = st.integers(1, 4_000)


def test_an_example() -> None:
    lengths = [3, 9, 4, 9, 1, 3]
    assert batches(lengths, most_tokens=20) == [[1, 3], [2, 0, 5, 4]]
    assert [padded_tokens([lengths[at] for at in one]) for one in batches(lengths, most_tokens=20)
            ] == [18, 16]  # fmt: skip


def test_no_posts_are_no_batches() -> None:
    assert batches([], most_tokens=100) == []
    assert padded_tokens([]) == 0


@given(LENGTHS, MOST)
def test_every_post_is_in_one_batch_once(lengths: list[int], most: int) -> None:
    found = batches(lengths, most_tokens=most)
    assert sorted(chain.from_iterable(found)) == list(range(len(lengths)))
    assert all(found)


@given(LENGTHS, MOST)
def test_a_batch_costs_no_more_than_allowed_unless_it_is_one_post(
    lengths: list[int], most: int
) -> None:
    for batch in batches(lengths, most_tokens=most):
        assert len(batch) == 1 or padded_tokens([lengths[at] for at in batch]) <= most


@given(LENGTHS, MOST)
def test_the_longest_come_first_and_batches_are_as_large_as_may_be(
    lengths: list[int], most: int
) -> None:
    found = batches(lengths, most_tokens=most)
    in_order = [lengths[at] for at in chain.from_iterable(found)]
    assert in_order == sorted(lengths, reverse=True)
    for batch, _ in pairwise(found):
        assert (len(batch) + 1) * lengths[batch[0]] > most


@given(LENGTHS.filter(bool), MOST)
def test_padding_is_bounded_however_many_posts_there_are(lengths: list[int], most: int) -> None:
    found = batches(lengths, most_tokens=most)
    cost = sum(padded_tokens([lengths[at] for at in batch]) for batch in found)
    assert cost - sum(lengths) <= most * math.log(max(lengths) / min(lengths)) + 1e-6
