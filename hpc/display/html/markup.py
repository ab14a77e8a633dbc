"""Write HTML: every text is cleaned and escaped, and nothing else is markup."""

import re
from collections.abc import Iterable, Mapping

from pipeline.terminal import clean

# The elements of HTML that have no end.
_VOID = frozenset({"meta", "link", "br", "hr"})
_ESCAPED = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#x27;"})
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9:-]*")


class Markup(str):
    """HTML that this module wrote."""

    __slots__ = ()


def escape(text: str) -> Markup:
    """Return a text as HTML that shows it. What is HTML already stays."""
    return text if isinstance(text, Markup) else Markup(clean(text).translate(_ESCAPED))


def join(parts: Iterable[str]) -> Markup:
    """Return texts and HTML one after the other."""
    return Markup("".join(map(escape, parts)))


def tag(name: str, *children: str, attributes: Mapping[str, str] | None = None) -> Markup:
    """Return an element.

    Args:
        name: of the element.
        children: texts and HTML in it.
        attributes: their values are texts; an empty one is written without a value.
    """
    assert _NAME.fullmatch(name)
    opening = name
    for key, value in (attributes or {}).items():
        assert _NAME.fullmatch(key)
        opening += f' {key}="{clean(value).translate(_ESCAPED)}"' if value else f" {key}"
    if name in _VOID:
        return Markup(f"<{opening}>")
    return Markup(f"<{opening}>{join(children)}</{name}>")
