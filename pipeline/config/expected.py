"""Describe what a declared type accepts, for messages and the reference page."""

import typing
from collections.abc import Mapping
from datetime import datetime
from enum import Enum
from typing import Any

from msgspec import Meta

from pipeline.config.keys import choices, expectation, members, metadata, not_null, unwrap_type

_WORDS: Mapping[Any, str] = {
    str: "text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    dict: "a mapping",
    datetime: "a time in ISO 8601, with its offset from UTC",
    type(None): "null",
}


def describe_expected(annotation: Any) -> str:
    """Return, for example, "a whole number, 1 or more"; without null, which leaves a key out."""
    if words := expectation(annotation):
        return words
    alternatives = [member for member in members(annotation) if member is not type(None)]
    if alternatives:
        return " or ".join(describe_expected(member) for member in alternatives)
    values = choices_of(annotation)
    if values:
        return f"one of {', '.join(values)}"
    inner = unwrap_type(annotation)
    origin = typing.get_origin(inner)
    if origin in (tuple, list):
        items = _how_many(metadata(annotation)) + _plural(typing.get_args(inner)[0])
        return f"a list of {items.removeprefix('of ')}"
    if origin in (dict, Mapping):
        least = _how_many(metadata(annotation))
        return f"a mapping of {least}keys" if least else "a mapping"
    word = _WORDS.get(inner, "a mapping of keys")
    return ", ".join([word, *ranges(annotation)])


def choices_of(annotation: Any) -> tuple[str, ...]:
    """Return the values of an enum or of `one_of` as text, nothing for any other type."""
    inner = unwrap_type(annotation)
    if isinstance(inner, type) and issubclass(inner, Enum):
        return tuple(str(member.value) for member in inner)
    return choices(annotation)


def ranges(annotation: Any) -> list[str]:
    """Return the limits of a number in words, such as "1 or more"."""
    words = []
    for meta in metadata(annotation):
        limits = (
            (meta.ge, "{} or more"),
            (meta.gt, "more than {}"),
            (meta.le, "at most {}"),
            (meta.lt, "less than {}"),
        )
        words += [text.format(f"{limit:,}") for limit, text in limits if limit is not None]
    return words


def _how_many(metas: tuple[Meta, ...]) -> str:
    least = max((meta.min_length or 0 for meta in metas), default=0)
    return f"{least} or more " if least else ""


def _plural(item: Any) -> str:
    item = not_null(item)
    if values := choices_of(item):
        return f"of {', '.join(values)}"
    words = {str: "texts", int: "whole numbers", float: "numbers"}
    return words.get(unwrap_type(item), "mappings of keys")
