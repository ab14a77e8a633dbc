"""Write the query that yields the bytes and the state of each value of a SQLite table.

Values come as bytes, because SQLite does not check that a text is one. Nested values are read from
JSON by SQLite itself.
"""

import json
from enum import IntEnum

from pipeline.backlog.column_path import ColumnPath
from pipeline.sql import literal, quoted

# What a message shows of a value that cannot be read.
_SHOWN_BYTES = 300
# Of json_valid: JSON as RFC 8259 has it, and SQLite's own binary form of it.
_JSON_OR_JSONB = 9
_JSONB = 8


class State(IntEnum):
    """What SQLite found where a value should be."""

    VALUE = 0
    NULL = 1
    ABSENT = 2
    """The record is null or does not have the key."""
    MALFORMED = 3
    """The column holds no record."""
    NESTED = 4
    """The value is a list or another record."""
    REAL = 5
    """The value is a number that may have lost digits."""


def value_of(path: ColumnPath) -> str:
    """Return SQL for the bytes of a value: empty for none, a part of the column if unreadable."""
    column = quoted(path.column)
    if not path.keys:
        return f"ifnull(CAST({column} AS BLOB), x'')"
    record, place = _record(column), _json_path(path)
    return (
        f"ifnull(CAST(CASE WHEN NOT json_valid({record}, {_JSON_OR_JSONB}) "
        f"THEN substr({column}, 1, {_SHOWN_BYTES}) "
        f"ELSE CASE json_type({record}, {place}) "
        f"WHEN 'text' THEN json_extract({record}, {place}) WHEN 'null' THEN NULL "
        f"WHEN 'object' THEN substr({record} -> {place}, 1, {_SHOWN_BYTES}) "
        f"WHEN 'array' THEN substr({record} -> {place}, 1, {_SHOWN_BYTES}) "
        f"ELSE {record} -> {place} END END AS BLOB), x'')"
    )


def state_of(path: ColumnPath, *, checks_numbers: bool) -> str:
    """Return SQL for the state of a value, a number.

    Args:
        path: where the value is.
        checks_numbers: whether a real number is a state of its own.
    """
    column = quoted(path.column)
    real = f"WHEN 'real' THEN {State.REAL:d} " if checks_numbers else ""
    if not path.keys:
        return f"CASE typeof({column}) WHEN 'null' THEN {State.NULL:d} {real}ELSE 0 END"
    record, place = _record(column), _json_path(path)
    return (
        f"CASE WHEN {column} IS NULL THEN {State.ABSENT:d} "
        f"WHEN NOT json_valid({record}, {_JSON_OR_JSONB}) THEN {State.MALFORMED:d} "
        f"ELSE CASE ifnull(json_type({record}, {place}), '') WHEN '' THEN {State.ABSENT:d} "
        f"WHEN 'null' THEN {State.NULL:d} WHEN 'object' THEN {State.NESTED:d} "
        f"WHEN 'array' THEN {State.NESTED:d} {real}ELSE 0 END END"
    )


def is_stored_as_bytes(path: ColumnPath) -> str:
    """Return SQL for whether a value is a BLOB: 1, or 0 for a text in the database's encoding."""
    return "0" if path.keys else f"typeof({quoted(path.column)}) = 'blob'"


def _record(column: str) -> str:
    """Return SQL for a record. Bytes are JSON text, unless they are SQLite's binary form."""
    return (
        f"CASE WHEN typeof({column}) = 'blob' AND NOT json_valid({column}, {_JSONB}) "
        f"THEN CAST({column} AS TEXT) ELSE {column} END"
    )


def _json_path(path: ColumnPath) -> str:
    """Return SQL for SQLite's path to a value. A number counts the items of a list, or is a key."""
    as_keys = "".join(f".{json.dumps(key, ensure_ascii=False)}" for key in path.keys)
    if not any(map(_is_index, path.keys)):
        return literal(f"${as_keys}")
    as_indices = "".join(
        f"[{key}]" if _is_index(key) else f".{json.dumps(key, ensure_ascii=False)}"
        for key in path.keys
    )
    indexed = literal(f"${as_indices}")
    return (
        f"CASE WHEN json_type({_record(quoted(path.column))}, {indexed}) IS NULL "
        f"THEN {literal(f'${as_keys}')} ELSE {indexed} END"
    )


def _is_index(key: str) -> bool:
    return key.isascii() and key.isdecimal()
