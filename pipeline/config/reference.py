"""Write the tables of the reference page from the declared keys."""

import inspect
from collections.abc import Iterator

from msgspec import NODEFAULT

from pipeline.config.expected import describe_expected
from pipeline.config.keys import Key, Section, keys_of, not_null, section_in

_HEAD = "| key | value | default | changes labels | meaning |\n|---|---|---|---|---|"


def describe_section(section: type[Section], path: str = "", *, level: int = 2) -> Iterator[str]:
    """Yield Markdown: a section's description, a table of its keys, and the sections in it.

    Args:
        section: its keys are declared with `key` and `label_key`.
        path: where it lies in the file, '' for the file itself.
        level: of its heading.
    """
    keys = [key for key in keys_of(section).values() if not key.facts.recorded]
    yield f"{'#' * level} `{path}`" if path else f"{'#' * level} The file"
    yield ""
    yield " ".join((inspect.getdoc(section) or "").split())
    yield ""
    if keys:
        yield from describe_keys(keys)
        yield ""
    for key in keys:
        inner = section_in(key.annotation)
        if inner:
            is_list = "[]" if section_in(not_null(key.annotation)) and _is_list(key) else ""
            yield from describe_section(inner, _join(path, key.name) + is_list, level=level)


def describe_keys(keys: list[Key]) -> Iterator[str]:
    """Yield the lines of a table, required keys first."""
    yield _HEAD
    for key in sorted(keys, key=lambda key: not key.required):
        yield f"| {' | '.join(_cells(key))} |"


def _cells(key: Key) -> tuple[str, ...]:
    facts = key.facts
    value = describe_expected(not_null(key.annotation))
    if facts.unit:
        value += f" ({facts.unit})"
    meaning = key.description
    if facts.null:
        meaning += f" null: {facts.null}."
    changes = "yes" if facts.changes_labels else "no"
    if section_in(key.annotation):
        value, changes = "keys of its own, below", "see below"
        value = f"a list of mappings, {value}" if _is_list(key) else value
    cells = (f"`{key.name}`", value, _default(key), changes, meaning)
    return tuple(cell.replace("|", "\\|") for cell in cells)


def _default(key: Key) -> str:
    if key.facts.default:
        return key.facts.default
    if key.default is NODEFAULT:
        return "**required**"
    if section_in(key.annotation):
        return ""
    return _literal(key.default)


def _literal(value: object) -> str:
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, float):
        return f"`{value:g}`"
    if isinstance(value, tuple | list):
        return f"`[{', '.join(map(str, value))}]`"
    if value is None or value == "":
        return "none"
    return f"`{value}`"


def _is_list(key: Key) -> bool:
    return describe_expected(not_null(key.annotation)).startswith("a list")


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name
