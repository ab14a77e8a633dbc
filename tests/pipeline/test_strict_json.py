"""How deep JSON is nested is found in the text, before any parser sees it."""

import json
from collections.abc import Iterator

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pipeline import strict_json

LEVELS = 3
TEXTS = st.text(st.sampled_from('[]{}"\\a'))
JSON_VALUES = st.recursive(
    TEXTS | st.integers(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
)


@pytest.fixture(autouse=True, scope="module")
def few_levels() -> Iterator[None]:
    patch = pytest.MonkeyPatch()
    patch.setattr(strict_json, "JSON_LEVELS", LEVELS)
    yield
    patch.undo()


def depth(value: object) -> int:
    match value:
        case list():
            return 1 + max(map(depth, value), default=0)
        case dict():
            return 1 + max(map(depth, value.values()), default=0)
    return 0


@given(JSON_VALUES, st.booleans())
@example([[["]"]]], True)
@example([[[["]", "["]]]], False)
@example({"{run}": [{}, {"a": [[]]}]}, False)
@example([[[['\\"', [1]]]]], False)
def test_only_brackets_outside_of_texts_count(value: object, as_bytes: bool) -> None:
    text = json.dumps(value)
    is_too_deep = strict_json.is_too_deep(text.encode() if as_bytes else text)
    assert is_too_deep == (depth(value) > LEVELS)


@pytest.mark.parametrize("text", ["[[[[", '[[[["a', "]]]][[[[", '{"a": [[[{]', "[[[\ud800["])
def test_brackets_without_their_other_half_count_as_levels(text: str) -> None:
    assert strict_json.is_too_deep(text)
