"""Overrides arrive in the configuration as the values that they are."""

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpc.api.call.overrides import OverrideValue, override_texts
from pipeline.config.yaml_file import apply_override
from pipeline.errors import InputError

TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=20)
PLAIN = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | TEXTS
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.recursive(
    PLAIN | NUMBERS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=5,
)


@given(VALUES)
def test_a_value_is_read_as_it_was_given(value: OverrideValue) -> None:
    (text,) = override_texts({"cluster.key": value})
    read: dict[str, object] = {}
    apply_override(read, text)
    assert read == {"cluster": {"key": value}}


def test_a_path_becomes_a_text_and_texts_stay() -> None:
    assert override_texts({"backlog.source": Path("/posts")}) == ('backlog.source="/posts"',)
    assert override_texts(["a.b=1"]) == ("a.b=1",)


@pytest.mark.parametrize("value", [math.nan, math.inf, {1, 2}, b"x", object()])
def test_a_value_that_yaml_cannot_hold_is_an_input_error(value: object) -> None:
    with pytest.raises(InputError, match=r"cluster\.key"):
        override_texts({"cluster.key": value})  # type: ignore[dict-item]


def test_a_single_text_is_not_taken_for_a_list_of_letters() -> None:
    with pytest.raises(InputError):
        override_texts("a.b=1")
