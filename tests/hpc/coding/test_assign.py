"""Who codes what: everything, once or by all, in an order that says nothing."""

from hypothesis import given
from hypothesis import strategies as st

from hpc.coding.assign import assign


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
