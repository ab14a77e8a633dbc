"""Records as Python literals are parsed, never evaluated, and within limits."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.backlog.records.python_literals import (
    MAX_RECORD_CHARACTERS,
    NO_SUCH_KEY,
    NOT_A_LITERAL,
    parse_literals,
    value_at,
)

SCALARS = st.none() | st.booleans() | st.integers() | st.text() | st.binary() | st.floats(-9, 9)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=10
)


def parse(text: str) -> object:
    return next(parse_literals([text]))


@given(record=st.dictionaries(st.text(), VALUES))
def test_what_str_makes_of_a_record_is_read_back(record: dict[str, Any]) -> None:
    assert parse(str(record)) == record


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').system('true')",
        "{'at': datetime.datetime(2024, 5, 31)}",
        "{'text': 'a'.upper()}",
        "{'text': f'{1}'}",
        "{'text': name}",
        "{'likes': nan}",
        "{**{'text': 'a'}}",
        "{'text': 'cut",
        "{[]: 1}",
        "{'text': '\0'}",
        "lambda: 1",
        "1; 2",
        "",
    ],
)
def test_everything_else_is_no_literal(text: str) -> None:
    assert parse(text) is NOT_A_LITERAL


@pytest.mark.parametrize(
    "text",
    ["[" * 300 + "]" * 300, "-" * 50_000 + "1", "~" * 5000 + "1", "1+" * 20_000 + "1j", "9" * 5000],
)
def test_a_text_that_would_exhaust_the_parser_is_no_literal(text: str) -> None:
    assert parse(text) is NOT_A_LITERAL


def test_a_record_beyond_the_limit_is_no_literal() -> None:
    fits = str({"text": "a" * (MAX_RECORD_CHARACTERS - len(str({"text": ""})))})
    assert parse(fits) != NOT_A_LITERAL
    assert parse(f"{fits} ") is NOT_A_LITERAL


def test_one_text_says_nothing_about_the_next() -> None:
    assert list(parse_literals(["{'a': 1}", "oops(", "{'a': 2}"])) == [
        {"a": 1},
        NOT_A_LITERAL,
        {"a": 2},
    ]


@pytest.mark.parametrize(
    ("keys", "value"),
    [
        ((), {"a": [{"b": 1}, None], "1": "key", "n": None}),
        (("a", "0", "b"), 1),
        (("a", "1"), None),
        (("1",), "key"),
        (("n",), None),
        (("a", "2"), NO_SUCH_KEY),
        (("a", "-1"), NO_SUCH_KEY),
        (("a", "b"), NO_SUCH_KEY),
        (("n", "x"), NO_SUCH_KEY),
        (("missing",), NO_SUCH_KEY),
    ],
)
def test_keys_lead_to_a_value_or_to_nothing(keys: tuple[str, ...], value: object) -> None:
    assert value_at({"a": [{"b": 1}, None], "1": "key", "n": None}, keys) == value
