"""Results are joined to their texts only if they prove their own order."""

import itertools
import random
from collections.abc import Iterator, Sequence
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from pipeline.classifiers.moderation.arrangement import FEWEST_POSTS, Arrangement, arrange
from pipeline.classifiers.moderation.reply import Result

SENTENCE = -1


def result(number: int) -> Result:
    """Return the result of a post, unlike that of every other."""
    return Result(scores={"hate": (number + 1) / 64}, flags={}, flagged=None)


def truth(posts: int) -> tuple[Result, ...]:
    return tuple(map(result, range(posts)))


def joined(arrangement: Arrangement, order: Sequence[int]) -> tuple[Result, ...] | None:
    """Return what is joined if the result at each place is that of the text at another place."""
    results = [result(arrangement.order[place]) for place in order]
    return arrangement.join(results, result(SENTENCE))


@given(st.integers(1, 15), st.randoms(use_true_random=False))
def test_results_in_order_are_joined_to_their_posts(posts: int, rng: random.Random) -> None:
    arrangement = arrange(posts, rng.shuffle)
    texts = arrangement.texts([str(number) for number in range(posts)], "sentence")
    assert sorted(texts) == sorted([*map(str, range(posts)), *map(str, range(posts)), "sentence"])
    assert joined(arrangement, range(2 * posts + 1)) == truth(posts)


@given(st.data(), st.integers(FEWEST_POSTS, 15), st.randoms(use_true_random=False))
def test_two_results_that_changed_places_are_never_joined_to_the_wrong_posts(
    data: st.DataObject, posts: int, rng: random.Random
) -> None:
    arrangement = arrange(posts, rng.shuffle)
    order = list(range(2 * posts + 1))
    one, other = data.draw(st.tuples(st.sampled_from(order), st.sampled_from(order)))
    order[one], order[other] = order[other], order[one]
    assert joined(arrangement, order) in (None, truth(posts))


@given(st.integers(FEWEST_POSTS, 15), st.randoms(use_true_random=False))
def test_the_results_of_another_request_are_not_joined_even_if_it_has_the_same_order(
    posts: int, rng: random.Random
) -> None:
    arrangement = arrange(posts, rng.shuffle)
    others = [result(number + 20) for number in arrangement.order]
    assert arrangement.join(others, result(SENTENCE)) is None


def arrangements(posts: int) -> Iterator[Arrangement]:
    """Yield every arrangement of these posts, but for the posts' own numbers."""
    size = 2 * posts + 1

    def fill(order: list[int], number: int) -> Iterator[Arrangement]:
        if number == posts:
            yield Arrangement(tuple(order))
            return
        first = order.index(-2)
        for second in range(first + 1, size):
            if order[second] == -2:
                pair = list(order)
                pair[first] = pair[second] = number
                yield from fill(pair, number + 1)

    for place in range(size):
        yield from fill([SENTENCE if at == place else -2 for at in range(size)], 0)


def cycle_types(size: int, longest: int) -> Iterator[tuple[int, ...]]:
    """Yield every way to divide places into cycles, as the cycles' lengths."""
    if not size:
        yield ()
    for length in range(min(size, longest), 0, -1):
        for rest in cycle_types(size - length, length):
            yield (length, *rest)


def reordering(lengths: tuple[int, ...]) -> list[int]:
    """Return an order whose cycles have these lengths; all such orders are equally likely to pass,
    because an arrangement is as likely as each of its shuffles."""
    order: list[int] = []
    for length in lengths:
        start = len(order)
        order += [start + (step + 1) % length for step in range(length)]
    return order


def test_a_reordering_blind_to_the_texts_passes_as_rarely_as_the_module_says() -> None:
    size = 2 * FEWEST_POSTS + 1
    every = list(arrangements(FEWEST_POSTS))
    assert len(every) == 9 * 7 * 5 * 3
    chances = {}
    for lengths in itertools.islice(cycle_types(size, size), 29):  # the last one changes nothing
        order = reordering(lengths)
        found = [joined(arrangement, order) for arrangement in every]
        wrong = sum(one not in (None, truth(FEWEST_POSTS)) for one in found)
        chances[lengths] = Fraction(wrong, len(every))
    likeliest = max(chances, key=lambda lengths: chances[lengths])
    assert likeliest == (2, 2, 1, 1, 1, 1, 1)
    assert chances[likeliest] == Fraction(2, size * (size - 2))
