"""Krippendorff's alpha is that of the package krippendorff."""

import math

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from pipeline.analysis.coder_agreement import Level, measure_agreement

CODERS = "abc"
CODINGS = st.lists(
    st.dictionaries(st.sampled_from(CODERS), st.integers(-3, 4), max_size=3),
    min_size=1,
    max_size=12,
)


@given(CODINGS, st.sampled_from(Level))
def test_alpha_is_that_of_the_package(codings: list[dict[str, int]], level: Level) -> None:
    krippendorff = pytest.importorskip("krippendorff")
    paired = [values for values in codings if len(values) > 1]
    assume(len({value for values in paired for value in values.values()}) > 1)
    measured = measure_agreement("x", level, list(map(dict, codings)))
    table = [[values.get(coder, math.nan) for values in codings] for coder in CODERS]
    expected = krippendorff.alpha(reliability_data=table, level_of_measurement=str(level))
    assert measured.alpha == pytest.approx(expected, abs=1e-9)
    assert measured.units == len(paired)
    assert measured.identical == sum(len(set(values.values())) == 1 for values in paired)


def test_alpha_of_words_is_one_exactly_where_all_agree() -> None:
    agreed = [{"a": "left", "b": "left"}, {"a": "right", "b": "right"}, {"a": "left"}]
    assert measure_agreement("side", Level.NOMINAL, agreed).alpha == 1
    differing = [*agreed, {"a": "left", "b": "right"}]
    assert measure_agreement("side", Level.NOMINAL, differing).alpha == pytest.approx(4 / 9)


@pytest.mark.parametrize("codings", [[], [{"a": True}, {"b": False}], [{"a": 1, "b": 1}] * 3])
def test_alpha_is_not_defined_without_pairs_or_without_differences(
    codings: list[dict[str, bool | int]],
) -> None:
    for level in Level:
        measured = measure_agreement("x", level, list(map(dict, codings)))
        assert measured.alpha is None
        assert measured.why
