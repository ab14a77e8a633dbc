"""Write a section of the configuration with a comment for each key."""

import textwrap
from collections.abc import Collection, Iterator, Mapping
from enum import Enum

from msgspec import NODEFAULT

from hpc.initialize.files.yaml_values import yaml_value
from pipeline.config.keys import Key, is_section, keys_of, not_null, section_in, unwrap_type

WIDTH = 98
_INDENT = "  "


def commented_keys(
    section: type, given: Mapping[str, object], *, without: Collection[str] = ()
) -> list[str]:
    """Return the lines of a section: the keys that are given, then the others behind a `#`.

    A key behind `#` has its default, so removing the `#` changes nothing.

    Args:
        section: declares the keys.
        given: the values by key; a mapping for a section inside this one.
        without: keys that are left out.
    """
    keys = [
        key
        for name, key in keys_of(section).items()
        if not key.facts.recorded and name not in without
    ]
    lines: list[str] = []
    for key in sorted(keys, key=lambda key: key.name not in given):
        if key.name in given:
            lines += _given_key(key, given[key.name])
        else:
            lines += _key_at_default(key)
    return lines


def comment(text: str, width: int = WIDTH) -> list[str]:
    """Return a text as lines of a comment."""
    return [f"# {line}" for line in textwrap.wrap(text, width, break_on_hyphens=False)]


def indent(lines: list[str]) -> list[str]:
    """Return lines one level deeper."""
    return [_INDENT + line for line in lines]


def _given_key(key: Key, value: object) -> Iterator[str]:
    yield from comment(_describe(key, with_default=False))
    inner = _single_section(key)
    if inner and isinstance(value, Mapping):
        yield f"{key.name}:"
        yield from indent(commented_keys(inner, value))
    elif isinstance(value, tuple | list) and _is_long(value):
        yield f"{key.name}:"
        yield from (f"{_INDENT}- {yaml_value(item)}" for item in value)
    else:
        yield f"{key.name}: {yaml_value(value)}"


def _is_long(values: tuple[object, ...] | list[object]) -> bool:
    """Report whether each item of a list gets a line of its own."""
    return any(isinstance(value, Mapping) or " " in str(value) for value in values)


def _key_at_default(key: Key) -> Iterator[str]:
    inner = _single_section(key)
    if inner and key.default is not None and key.default is not NODEFAULT:
        yield from comment(_describe(key, with_default=False))
        yield f"{key.name}:"
        yield from indent(commented_keys(inner, {}))
        return
    yield from comment(_describe(key, with_default=True))
    literal = _literal(key)
    yield f"#{key.name}: {literal}" if literal else f"#{key.name}:"


def _single_section(key: Key) -> type | None:
    """Return the section that a key holds by itself, not in a list."""
    inner = unwrap_type(not_null(key.annotation))
    return inner if is_section(inner) else None


def _describe(key: Key, *, with_default: bool) -> str:
    words = [key.description]
    if key.facts.unit:
        words.append(f"Unit: {key.facts.unit}.")
    if with_default and key.facts.default:
        words.append(f"Default: {key.facts.default}.")
    if with_default and (inner := section_in(key.annotation)):
        words.append(f"Its keys: {', '.join(keys_of(inner))}.")
    return " ".join(word for word in words if word)


def _literal(key: Key) -> str:
    """Return the default as YAML; '' if it is said in words, or is nothing."""
    default = key.default
    if key.facts.default or default is NODEFAULT or default is None or default == "":
        return ""
    if isinstance(default, Enum):
        return yaml_value(default.value)
    return yaml_value(default)
