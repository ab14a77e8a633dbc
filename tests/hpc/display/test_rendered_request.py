"""A request on the screen is the JSON that is sent, shortened, and safe to print."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpc.display.rendered_request import WIDTH, describe_request, shorten_values
from pipeline.classifiers.base import RenderedRequest
from pipeline.terminal import clean

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8"), max_size=40),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=30,
)  # fmt: skip


def shown(body: dict[str, Any], **more: Any) -> list[str]:
    return describe_request(RenderedRequest(url="https://h/v1/chat", body=body, **more), 1)


@given(st.dictionaries(st.text(max_size=5), JSON, max_size=4))
def test_what_is_not_shortened_is_shown_as_valid_json_that_means_the_same(
    body: dict[str, Any],
) -> None:
    _, *lines = shown(body)
    text = "\n".join(lines)
    if shorten_values(body) == body:
        assert json.loads(text) == body
    assert clean(text) == text


def test_a_line_is_as_wide_as_a_screen_unless_one_text_is_wider() -> None:
    body = {"messages": [{"role": "system", "content": "x " * 20}] * 3, "seed": 7, "a": {"b": []}}
    _, *lines = shown(body)
    assert max(map(len, lines)) <= WIDTH
    assert lines == [
        "{",
        '  "messages": [',
        *[f'    {json.dumps(message)},' for message in body["messages"][:2]],  # type: ignore[index]
        f'    {json.dumps(body["messages"][2])}',  # type: ignore[index]
        "  ],",
        '  "seed": 7,',
        '  "a": {"b": []}',
        "}",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("value", "short"),
    [
        ("a" * 600, "a" * 600),
        ("a" * 400 + "b" * 1234 + "c" * 200, "a" * 400 + " […1,234 characters…] " + "c" * 200),
        ([1] * 12, [1] * 12),
        ([1] * 15, [*[1] * 12, "… 3 more"]),
        ({"a": [{"b": "x" * 601}]}, {"a": [{"b": "x" * 400 + " […1 character…] " + "x" * 200}]}),
        (None, None),
    ],
)
def test_long_texts_and_lists_are_shortened_and_keep_their_ends(value: Any, short: Any) -> None:
    assert shorten_values(value) == short


def test_the_lines_say_where_it_goes_how_much_it_is_about_and_what_is_not_shown() -> None:
    body = {"a": "x" * 700}
    first, *_, last = shown(body)
    assert first == "the first request, about the oldest post: POST https://h/v1/chat"
    assert last == "long values are shortened here; the result has the whole request"
    request = RenderedRequest(url="/v1/chat", body={"a": 1}, note="it may differ")
    assert describe_request(request, 5) == [
        "the first request, about the oldest 5 posts: POST /v1/chat of the task's own server",
        '{"a": 1}',
        "it may differ",
    ]
