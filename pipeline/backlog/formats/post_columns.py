"""Turn the columns of a table into SQL for the uri, the text and the time of a post.

A type that cannot be what the configuration says is rejected: a record is not a text, and a
floating-point number is not a uri.
"""

from collections.abc import Mapping, Sequence
from enum import StrEnum

import msgspec
from duckdb.sqltypes import DuckDBPyType

from pipeline.backlog.catalog import LacksPostsError, missing_column
from pipeline.backlog.clean_copies.marks import DECODE_MARKED, has_mark, without_marks
from pipeline.backlog.column_path import find_path, join_parts, json_pointer
from pipeline.backlog.records.literal_records import LITERAL_AS_JSON
from pipeline.config.sections import (
    JSON_RECORDS,
    PYTHON_RECORDS,
    SOURCE_COLUMNS,
    SourceColumns,
)
from pipeline.errors import InputError
from pipeline.model import INVALID_TEXT, NO_TEXT
from pipeline.sql import literal, quoted
from pipeline.text import did_you_mean, nearest

Types = Mapping[str, DuckDBPyType]
"""The columns of a table with their types."""

_NESTED = ("struct", "list", "map", "array", "union", "variant")
_INTEGERS = (
    *("tinyint", "smallint", "integer", "bigint", "hugeint"),
    *("utinyint", "usmallint", "uinteger", "ubigint", "uhugeint"),
)
_TEXTS = ("varchar", "enum", "uuid", "blob", "null")
_JSON_NESTED = "('OBJECT', 'ARRAY')"
_MOST_FIELDS_SHOWN = 8

BAD_VALUE = "the uri, the text or the time of a row cannot be used"
"""The error that SQL raises for such a row. It leads to a diagnosis, and nobody reads it."""


class Value(msgspec.Struct, frozen=True, kw_only=True):
    """Where the uri, the text or the time of a post is in a table."""

    sql: str
    """SQL for the value as VARCHAR."""
    has_marks: bool = False
    """Whether the value has marks where its bytes are not text."""
    nested: str = ""
    """SQL that tells whether a row's value is a JSON object or array; '' if it cannot be one."""
    exists: str = ""
    """SQL that tells whether a row has the keys of the value; '' if every row has."""


class Fault(StrEnum):
    """Why a row cannot be used."""

    NESTED = "nested"
    """A value is a JSON object or array."""
    NOT_TEXT = "not text"
    """The bytes of a value are not text."""
    BROKEN = "broken"
    """A row of JSON is not an object, or has a key twice."""


class PostColumns(msgspec.Struct, frozen=True, kw_only=True):
    """Where the three values of a post are in a table."""

    uri: Value
    text: Value
    time: Value
    broken: str = ""
    """SQL that tells whether a row is not a JSON object without repeated keys; '' if none can."""

    def values(self) -> dict[str, Value]:
        """Return the values by their keys in the configuration."""
        return dict(zip(SOURCE_COLUMNS, (self.uri, self.text, self.time), strict=True))

    def select(self, *, null_is_empty: bool = False) -> str:
        """Return the columns of a SELECT that yields `uri`, `text`, `raw_timestamp` and `reason`.

        They raise an error for a row with a fault.

        Args:
            null_is_empty: NULL is an empty text, as in CSV.
        """
        uri, text = self.uri.sql, self.text.sql
        faults = list(self.faults().values())
        if faults:
            uri = f"CASE WHEN {' OR '.join(faults)} THEN error({literal(BAD_VALUE)}) ELSE {uri} END"
        is_empty = null_is_empty and not self.text.exists
        reasons = "" if is_empty else f" WHEN {text} IS NULL THEN {literal(NO_TEXT)}"
        if self.text.has_marks:
            reasons += f" WHEN {has_mark(text)} THEN {literal(INVALID_TEXT)}"
            text = without_marks(text)
        reason = f"CASE{reasons} END" if reasons else "CAST(NULL AS VARCHAR)"
        return f"{uri} AS uri, {text} AS text, {self.time.sql} AS raw_timestamp, {reason} AS reason"

    def faults(self) -> dict[tuple[str, Fault], str]:
        """Return SQL that tells whether a row has a fault, by the value and the fault."""
        values = self.values()
        faults = {
            (key, Fault.NESTED): value.nested for key, value in values.items() if value.nested
        }
        for key, value in values.items():
            if value.has_marks and value is not self.text:
                faults[key, Fault.NOT_TEXT] = f"coalesce({has_mark(value.sql)}, false)"
        if self.broken:
            faults["uri", Fault.BROKEN] = self.broken
        return faults


def post_columns(
    types: Types,
    names: SourceColumns,
    place: str,
    *,
    has_marks: bool = False,
    record_format: str = JSON_RECORDS,
) -> PostColumns:
    """Return where the values of a post are in a table with columns of these types.

    Args:
        types: the columns of the table.
        names: the configured names of the three columns.
        place: the table, for messages.
        has_marks: whether texts have marks where their bytes were not text.
        record_format: how texts hold records, as in `backlog.record_format`.

    Raises:
        InputError: a column is missing, or its type cannot be what it is configured as.
    """
    uri, text, time = (
        _find(types, name, key, place)
        for key, name in zip(SOURCE_COLUMNS, names.values(), strict=True)
    )
    if uri.type.id not in (*_TEXTS, *_INTEGERS) and not _is_whole_decimal(uri.type):
        raise _unsuitable(uri, "uri", place, "a uri is a text or a whole number")
    if text.type.id not in _TEXTS:
        raise _unsuitable(text, "text", place, "that is not a text")
    return PostColumns(
        uri=_value(uri, has_marks=has_marks, record_format=record_format),
        text=_value(text, has_marks=has_marks, record_format=record_format),
        time=_value(time, has_marks=has_marks, record_format=record_format),
    )


class _Found(msgspec.Struct, frozen=True, kw_only=True):
    """A configured value in a table."""

    name: str
    """Its configured name."""
    column: str
    fields: tuple[str, ...]
    """The fields of structs that lead to a value of `type`."""
    keys: tuple[str, ...]
    """The keys inside that value, which is JSON then."""
    type: DuckDBPyType


def _find(types: Types, name: str, key: str, place: str) -> _Found:
    path = find_path(name, types)
    if path is None:
        raise missing_column(place, name, tuple(types))
    fields: tuple[str, ...] = ()
    keys, reached = path.keys, types[path.column]
    while keys and reached.id == "struct":
        inner_types = _fields(reached)
        inner = find_path(join_parts(keys), inner_types)
        if inner is None:
            present = _field_names((path.column, *fields), tuple(inner_types))
            raise LacksPostsError(
                f"backlog.columns: {place} has no {name!r}{did_you_mean(name, present)}; it has "
                f"{_list_names(present)}",
                column=name,
                nearest_column=nearest(name, present),
            )
        fields, keys, reached = (*fields, inner.column), inner.keys, inner_types[inner.column]
    if keys and reached.id != "varchar":
        raise InputError(
            f"backlog.columns: {place} has no {name!r}: "
            f"{join_parts((path.column, *fields))} is of type {reached}, which has no fields"
        )
    if reached.id in _NESTED:
        inner_names = tuple(dict(reached.children)) if reached.id == "struct" else ()
        raise nested_value(place, key, (path.column, *fields), inner_names)
    return _Found(name=name, column=path.column, fields=fields, keys=keys, type=reached)


def _fields(struct: DuckDBPyType) -> dict[str, DuckDBPyType]:
    return {name: kind for name, kind in struct.children if isinstance(kind, DuckDBPyType)}


def nested_value(
    place: str, key: str, parts: tuple[str, ...], inner_names: Sequence[str]
) -> InputError:
    """Return the error for a column that is nested, with the fields that it has.

    Args:
        place: the file or table, and perhaps the row.
        key: the key of the configuration that names the column, such as `text`.
        parts: the column, and fields inside it.
        inner_names: the fields of the nested value; none for a list.
    """
    name = join_parts(parts)
    if not inner_names:
        return InputError(
            f"backlog.columns.{key}: {place}: {name} is a list or a map, not a single value; "
            f"set backlog.columns.{key} to a column with one value for each post"
        )
    present = _field_names(parts, tuple(inner_names))
    best = key if key in inner_names else inner_names[0]
    return InputError(
        f"backlog.columns.{key}: {place}: {name} is nested; it has {_list_names(present)}: "
        f"set backlog.columns.{key} to one of these, such as {join_parts((*parts, best))}"
    )


def _field_names(parts: tuple[str, ...], inner_names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(join_parts((*parts, name)) for name in inner_names)


def _list_names(names: Sequence[str]) -> str:
    more = ", …" if len(names) > _MOST_FIELDS_SHOWN else ""
    return ", ".join(names[:_MOST_FIELDS_SHOWN]) + more


def _unsuitable(found: _Found, key: str, place: str, why: str) -> InputError:
    return InputError(
        f"backlog.columns.{key}: {place}: column {found.name!r} is of type {found.type}, and "
        f"{why}; set backlog.columns.{key} to another column, or store this one as text"
    )


def _is_whole_decimal(sql_type: DuckDBPyType) -> bool:
    return sql_type.id == "decimal" and dict(sql_type.children)["scale"] == 0


def _value(found: _Found, *, has_marks: bool, record_format: str) -> Value:
    sql = quoted(found.column)
    for field in found.fields:
        sql = f"struct_extract({sql}, {literal(field)})"
    if found.keys and record_format == PYTHON_RECORDS and str(found.type) != "JSON":
        return json_value(f"{LITERAL_AS_JSON}({sql})", found.keys, has_marks=True)
    if found.type.id == "blob":
        return Value(sql=f"coalesce(try(decode({sql})), {DECODE_MARKED}({sql}))", has_marks=True)
    if str(found.type) == "JSON" or found.keys:
        return json_value(sql, found.keys, has_marks=has_marks, is_json=str(found.type) == "JSON")
    if found.type.id == "timestamp with time zone":
        sql = f"{sql} AT TIME ZONE 'UTC'"
    return Value(sql=f"CAST({sql} AS VARCHAR)", has_marks=has_marks)


def json_value(
    document: str, keys: tuple[str, ...], *, has_marks: bool, is_json: bool = True
) -> Value:
    """Return how a value inside a JSON document is read.

    Args:
        document: SQL for the document.
        keys: the keys that lead to the value.
        has_marks: whether the document has marks where its bytes were not text.
        is_json: whether the document is always JSON; else it is a text that may be JSON.
    """
    pointer = literal(json_pointer(keys))
    if not is_json:
        document = f"(CASE WHEN json_valid({document}) THEN {document} END)"
    return Value(
        sql=f"json_extract_string({document}, {pointer})",
        has_marks=has_marks,
        nested=f"coalesce(json_type({document}, {pointer}) IN {_JSON_NESTED}, false)",
        exists=f"coalesce(json_exists({document}, {pointer}), false)" if keys else "",
    )
