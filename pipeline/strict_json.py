"""Parse JSON that others wrote, without guessing, and without trusting its size or depth."""

import json
import re
from collections import Counter
from typing import Any

import msgspec

from pipeline.limits import JSON_LEVELS

# A string, or what is left of one that does not end. Possessive, so that it takes linear time.
_STRING = re.compile(r'"[^"\\]*+(?:\\(?:.|\Z)[^"\\]*+)*+(?:"|\Z)', re.DOTALL)
_NO_BRACKET = re.compile(r"[^\[\]{}]+")
_NOT_STRUCTURE = bytes(set(range(256)) - set(b'[]{}"'))


class InvalidJson(ValueError):
    """Text that is not JSON, or that is nested deeper than `JSON_LEVELS`."""


class Duplicate:
    """The value of a key that an object has twice: which of the two was meant is not guessed."""

    def __repr__(self) -> str:
        return "given twice"


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """What a text holds."""

    value: Any
    """The value. Where an object has a key twice, that key's value is a `Duplicate`."""

    has_duplicates: bool
    """Whether any object in it has a key twice."""


def parse(text: str) -> Document:
    """Return what a JSON text holds.

    NaN, Infinity and 1e999 are numbers here, as in Python's own reader: who uses a number has to
    check it anyway.

    Raises:
        InvalidJson: it is not JSON, has a number of more than 4,300 digits, or is nested too deep.
    """
    if is_too_deep(text):
        raise InvalidJson(f"nested more than {JSON_LEVELS} levels deep")
    has_duplicates = False

    def to_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal has_duplicates
        values = dict(pairs)
        if len(values) < len(pairs):
            has_duplicates = True
            counts = Counter(name for name, _ in pairs)
            values |= {name: Duplicate() for name, count in counts.items() if count > 1}
        return values

    try:
        value = json.loads(text, object_pairs_hook=to_object)
    except (ValueError, RecursionError) as error:
        raise InvalidJson(str(error)) from None
    return Document(value=value, has_duplicates=has_duplicates)


def is_too_deep(text: str | bytes) -> bool:
    """Report whether objects and lists lie deeper in one another than `JSON_LEVELS`.

    Parsers end with a RecursionError somewhere near 1,000 levels, or let a value pass that the
    next function which walks it cannot. How many that are depends on the caller's own depth.

    Args:
        text: the JSON; as bytes in UTF-8, with or without errors.
    """
    content = text if isinstance(text, bytes) else text.encode(errors="replace")
    structure = content.translate(None, _NOT_STRUCTURE)
    if structure.count(b"[") + structure.count(b"{") <= JSON_LEVELS:
        return False
    brackets = _brackets(content, structure)
    levels = 0
    while levels < JSON_LEVELS and (outer := _without_innermost(brackets)) != brackets:
        brackets, levels = outer, levels + 1
    # Brackets are left if there are more levels, or in text that is not JSON.
    return levels + brackets.count("[") + brackets.count("{") > JSON_LEVELS


def _without_innermost(brackets: str) -> str:
    # The blanks keep what is around a pair from becoming one in the same pass.
    return brackets.replace("[]", " ").replace("{}", " ").replace(" ", "")


def _brackets(content: bytes, structure: bytes) -> str:
    """Return the brackets that are not in a string.

    The manifest of 10,000 shards has 2 MB. Without an escape in it, every second part between
    quotes is a string, and dropping these takes a fifth of the time of the expressions.
    """
    if b"\\" in content:
        return _NO_BRACKET.sub("", _STRING.sub("", content.decode(errors="replace")))
    return b"".join(structure.split(b'"')[::2]).decode("ascii")
