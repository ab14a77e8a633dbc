"""Strata share a sample so that a larger sample contains the smaller one."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.sampling.allocate import Allocation, allocate

POPULATIONS = st.dictionaries(
    st.sampled_from("abcdefgh"), st.integers(1, 30) | st.integers(1, 10**9), min_size=1
)


def by_definition(populations: dict[str, int], size: int, allocation: Allocation) -> dict[str, int]:
    """Give out one post after the other."""
    sizes = dict.fromkeys(populations, 0)

    def due(stratum: str) -> tuple[object, ...]:
        posts, drawn = populations[stratum], sizes[stratum]
        if allocation is Allocation.EQUAL or drawn < 2:
            return (0 if drawn < 2 else 1, drawn, -posts, stratum)
        return (1, -Fraction(posts, 2 * drawn + 1), -posts, stratum)

    for _ in range(size):
        sizes[min((s for s in populations if sizes[s] < populations[s]), key=due)] += 1
    return sizes


@given(populations=POPULATIONS, allocation=st.sampled_from(Allocation), data=st.data())
def test_each_post_goes_to_the_stratum_that_it_is_due_to(
    populations: dict[str, int], allocation: Allocation, data: st.DataObject
) -> None:
    most = min(sum(populations.values()), 100)
    size = data.draw(st.integers(len(populations), max(len(populations), most)))
    assert allocate(populations, size, allocation) == by_definition(populations, size, allocation)


@given(populations=POPULATIONS, allocation=st.sampled_from(Allocation), data=st.data())
def test_a_larger_sample_has_no_fewer_posts_of_any_stratum(
    populations: dict[str, int], allocation: Allocation, data: st.DataObject
) -> None:
    sizes = st.integers(len(populations), sum(populations.values()))
    small, large = sorted((data.draw(sizes), data.draw(sizes)))
    fewer = allocate(populations, small, allocation)
    more = allocate(populations, large, allocation)
    assert sum(fewer.values()) == small
    assert all(1 <= fewer[each] <= more[each] <= populations[each] for each in populations)


def test_the_populations_of_the_alabama_paradox_lose_no_post() -> None:
    # By largest remainders, `c` has 2 posts of 10 and 1 post of 11.
    populations = {"a": 6, "b": 6, "c": 2}
    for size in range(3, 14):
        fewer = allocate(populations, size, Allocation.PROPORTIONAL)
        more = allocate(populations, size + 1, Allocation.PROPORTIONAL)
        assert all(fewer[each] <= more[each] for each in populations)


@pytest.mark.parametrize(
    ("allocation", "sizes"),
    [
        (Allocation.PROPORTIONAL, {"may": 790, "june": 198, "july": 10, "rare": 2}),
        (Allocation.EQUAL, {"may": 330, "june": 330, "july": 330, "rare": 10}),
    ],
)
def test_sizes_are_proportional_or_equal_and_no_stratum_is_empty(
    allocation: Allocation, sizes: dict[str, int]
) -> None:
    populations = {"may": 800_000, "june": 200_000, "july": 10_000, "rare": 10}
    assert allocate(populations, 1_000, allocation) == sizes
