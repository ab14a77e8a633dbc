"""Who is drawn from and who codes what: equal, nested, and complete."""

from hypothesis import given
from hypothesis import strategies as st

from hpc.coding.allocation import allocate_equally, assign

SIZES = st.dictionaries(st.text(max_size=3), st.integers(1, 40), min_size=1, max_size=6)


@given(SIZES, st.data())
def test_strata_get_the_same_as_far_as_they_have_so_many(
    sizes: dict[str, int], data: st.DataObject
) -> None:
    size = data.draw(st.integers(0, sum(sizes.values())))
    drawn = allocate_equally(sizes, size)
    assert sum(drawn.values()) == size
    most = max(drawn.values())
    assert all(drawn[name] in (most, most - 1, sizes[name]) for name in sizes)
    assert all(drawn[name] <= sizes[name] for name in sizes)


@given(SIZES, st.data())
def test_a_larger_sample_draws_at_least_as_many_from_each_stratum(
    sizes: dict[str, int], data: st.DataObject
) -> None:
    size = data.draw(st.integers(0, sum(sizes.values()) - 1))
    smaller, larger = allocate_equally(sizes, size), allocate_equally(sizes, size + 1)
    assert all(smaller[name] <= larger[name] for name in sizes)


@given(st.sets(st.text(max_size=4), min_size=3, max_size=30), st.integers(0, 9), st.data())
def test_every_post_is_coded_and_only_the_overlap_by_all(
    uris: set[str], seed: int, data: st.DataObject
) -> None:
    overlap = data.draw(st.integers(0, len(uris)))
    assignment = assign(sorted(uris), ("a", "b", "c"), overlap, seed)
    files = [set(each) for each in assignment.coders.values()]
    assert set().union(*files) == uris
    assert len(set.intersection(*files)) == overlap
    assert sum(map(len, files)) == 2 * overlap + len(uris)
    rest = [len(each) - overlap for each in files]
    assert max(rest) - min(rest) <= 1
    assert assign(sorted(uris, reverse=True), ("a", "b", "c"), overlap, seed) == assignment
