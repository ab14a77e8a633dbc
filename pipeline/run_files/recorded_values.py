"""Check values in records beyond their types. Pure.

A record may be restored from a bad copy, or edited. What a type lets through would otherwise end
in the middle of a command, with an error of Python or of the database.
"""

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta

import msgspec

_LONGEST_NAME = 255
# A digest in quotes may have as many digits.
_MANY_DIGITS = re.compile(rb"[:,\[\s]-?[0-9]{19}")
_INTEGERS = range(-(2**63), 2**63)
# Delays and time zones are added to a recorded time. Python ends with the year 9999.
_EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
_LATEST = datetime(9990, 1, 1, tzinfo=UTC)


def check_folder_name(name: str) -> str:
    """Return what keeps a text from being the name of a folder in another one."""
    is_plain = "/" not in name and "\0" not in name and name not in ("", ".", "..")
    if is_plain and len(name.encode(errors="surrogateescape")) <= _LONGEST_NAME:
        return ""
    return f"should be the name of a folder, not {_shown(name)}"


def check_time(value: datetime) -> str:
    """Return what is wrong with a time that has its offset from UTC."""
    if value.tzinfo is None or value.utcoffset() != timedelta(0):
        return f"should be a time in UTC, not {value.isoformat()}"
    if not _EARLIEST <= value <= _LATEST:
        return f"should be a time from {_EARLIEST.year} to {_LATEST.year}, not {value.isoformat()}"
    return ""


def check_naive_time(text: str) -> str:
    """Return what is wrong with a time in UTC that is written as text, without an offset."""
    try:
        value = datetime.fromisoformat(text)
    except ValueError:
        value = None
    if value is None or value.tzinfo is not None:
        return f"should be a time in UTC such as 2026-11-29T09:44:23, not {_shown(text)}"
    return ""


def check_path(text: str) -> str:
    """Return what keeps a text from being a path."""
    return "holds a NUL character, which no path can hold" if "\0" in text else ""


def find_with_nul(value: object, path: str) -> str | None:
    """Return the path of a text with a NUL character in a JSON value; None if it has none."""
    leaves = _leaves(value, path)
    return next((place for place, text in leaves if isinstance(text, str) and "\0" in text), None)


def find_large_number(content: bytes) -> str | None:
    """Return the path of an integer that has more than 64 bits; None if JSON has no such one.

    Neither the database nor Slurm takes one. Raises what `msgspec.json.decode` raises.
    """
    if not _MANY_DIGITS.search(content):
        return None
    leaves = _leaves(msgspec.json.decode(content), "")
    return next(
        (path for path, value in leaves if type(value) is int and value not in _INTEGERS), None
    )


def _leaves(value: object, path: str) -> Iterator[tuple[str, object]]:
    if isinstance(value, Mapping):
        for name, item in value.items():
            yield from _leaves(item, f"{path}.{name}" if path else str(name))
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from _leaves(item, f"{path}[{index}]")
    else:
        yield path, value


def _shown(text: str) -> str:
    return repr(text if len(text) <= _LONGEST_NAME else f"{text[:_LONGEST_NAME]}…")
