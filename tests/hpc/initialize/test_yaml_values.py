"""Whatever a value is, every reader of the YAML gets it back."""

from typing import Any

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from hpc.initialize.files.yaml_values import yaml_value
from pipeline.config import strict_yaml

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
WORDS = st.sampled_from(
    ["yes", "No", "on", "~", "null", "True", "1", "1e5", "0x1F", "1_000", "4:00:00", ".inf", "-",
     "=", "<<", "*a", "&a", "!a", "%a", "@a", "`a`", "a: b", "a #b", "# a", "'", '"', "[a", "{a}",
     "2024-05-31", "a,b", " a", "a ", "a\nb", "\t", "\x85", "\ufeff", "\u2028", "\x7f", "🦋", "y",
     "e3", "_1"]
)  # fmt: skip
NUMBERS = st.integers(-(10**12), 10**12) | st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.recursive(
    TEXTS | WORDS | NUMBERS | st.booleans() | st.none(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS | WORDS, inner, max_size=3),
    max_leaves=6,
)


@given(VALUES)
@example(1e-05)
@example(1e22)
@example("é\u0301")
@example({"a": [1, {"b": None}]})
def test_a_value_reads_back_as_it_was(value: Any) -> None:
    assert strict_yaml.read(f"key: {yaml_value(value)}") == {"key": value}


@given(TEXTS | WORDS)
def test_a_text_is_a_text_for_other_readers_too(text: str) -> None:
    assert yaml.safe_load(f"- {yaml_value(text)}") == [text]


@pytest.mark.parametrize(
    ("value", "written"),
    [("posts.db", "posts.db"), ("a b", "a b"), (4.0, "4"), (0.5, "0.5"), ("4:00:00", '"4:00:00"')],
)
def test_what_needs_no_quotes_has_none(value: object, written: str) -> None:
    assert yaml_value(value) == written


def test_what_yaml_does_not_have_is_an_error() -> None:
    with pytest.raises(TypeError):
        yaml_value(object())
