"""Show a request to a service as a person can check it: the JSON that is sent, shortened."""

from collections.abc import Iterator
from json import dumps
from typing import Any

from pipeline.classifiers.base import RenderedRequest
from pipeline.messages.options import JSON
from pipeline.terminal import UNSAFE
from pipeline.text import counted

WIDTH = 78
LONGEST_HEAD, LONGEST_TAIL = 400, 200
"""Characters of a long text that are shown: from its beginning and from its end."""
MOST_ITEMS = 12
"""Items of a long list that are shown."""


def describe_request(request: RenderedRequest, posts: int) -> list[str]:
    """Return lines: what the request is about, its JSON, and what is not as it will be sent.

    Args:
        request: the request.
        posts: how many posts it is about.
    """
    about = "the oldest post" if posts == 1 else f"the oldest {counted(posts, 'post')}"
    where = request.url if "://" in request.url else f"{request.url} of the task's own server"
    shown = shorten_values(request.body)
    lines = [f"the first request, about {about}: POST {where}", *_lines(shown)]
    if shown != request.body:
        lines.append(f"long values are shortened here; {JSON} has the whole request")
    return [*lines, *filter(None, [request.note])]


def shorten_values(value: Any) -> Any:
    """Return a JSON value with long texts cut in the middle, and long lists at their end."""
    if isinstance(value, str) and len(value) > LONGEST_HEAD + LONGEST_TAIL:
        cut = len(value) - LONGEST_HEAD - LONGEST_TAIL
        middle = f" […{counted(cut, 'character')}…] "
        return value[:LONGEST_HEAD] + middle + value[-LONGEST_TAIL:]
    if isinstance(value, dict):
        return {name: shorten_values(item) for name, item in value.items()}
    if isinstance(value, list):
        items = [shorten_values(item) for item in value[:MOST_ITEMS]]
        left_out = len(value) - MOST_ITEMS
        return [*items, f"… {left_out:,} more"] if left_out > 0 else items
    return value


def _lines(value: Any, indent: str = "", before: str = "", after: str = "") -> Iterator[str]:
    """Yield JSON: what fits on a line on one line, and the rest with a line for each item."""
    plain = f"{indent}{before}{_json(value)}{after}"
    if len(plain) <= WIDTH or not value or not isinstance(value, dict | list):
        yield plain
        return
    opening, closing = "{}" if isinstance(value, dict) else "[]"
    yield f"{indent}{before}{opening}"
    items = (
        [(f"{_json(name)}: ", item) for name, item in value.items()]
        if isinstance(value, dict)
        else [("", item) for item in value]
    )
    for number, (name, item) in enumerate(items, start=1):
        yield from _lines(item, indent + "  ", name, "," if number < len(items) else "")
    yield f"{indent}{closing}{after}"


def _json(value: Any) -> str:
    """Return JSON in which no character can control a terminal, and which means the same."""
    text = dumps(value, ensure_ascii=False)
    return UNSAFE.sub(lambda match: dumps(match[0])[1:-1], text)
