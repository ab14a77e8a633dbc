"""Describe columns by a sample of their values."""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal

import duckdb

from hpc.initialize.source.facts import ColumnFacts
from pipeline import strict_json
from pipeline.backlog.column_path import join_parts
from pipeline.backlog.scan import with_times
from pipeline.sql import configure_session
from pipeline.terminal import one_line

MOST_ROWS = 400
# A table of 1,000 columns is described by fewer rows, or this would take seconds.
_MOST_VALUES = 40_000
_FEWEST_ROWS = 20
_LONGEST_EXAMPLE = 60
# No time is longer; what is longer is not tried as one.
_LONGEST_TIME = 40
_NUMBER = re.compile(r"[+-]?\d+(?:\.\d*)?", re.ASCII)
_FRACTION = re.compile(r"[+-]?\d+\.\d*", re.ASCII)
_DEEPEST = 4

Value = object
Row = Sequence[Value]


def rows_to_sample(columns: int) -> int:
    """Return how many rows of a table with this many columns are looked at."""
    return max(_FEWEST_ROWS, min(MOST_ROWS, _MOST_VALUES // max(1, columns)))


def describe_columns(
    types: Mapping[str, str], rows: Sequence[Row], unique: Collection[str] = ()
) -> tuple[ColumnFacts, ...]:
    """Return what is known about each column, and about the fields of records in it.

    Args:
        types: the columns with their declared types, in order.
        rows: some rows, with a value for each column.
        unique: the columns of which the file says that no value occurs twice.
    """
    described: list[ColumnFacts] = []
    values: list[Sequence[Value]] = []
    for position, (name, declared) in enumerate(types.items()):
        column = [_as_record(row[position]) for row in rows]
        is_record = _is_record(column)
        described.append(_facts(name, declared, column, is_unique=name in unique))
        values.append([] if is_record else column)
        for path, inner in _fields(name, column) if is_record else ():
            described.append(_facts(path, "", inner, is_unique=False))
            values.append(inner)
    times = _count_times(values)
    return tuple(_with_times(column, count) for column, count in zip(described, times, strict=True))


def _facts(name: str, declared: str, values: Sequence[Value], *, is_unique: bool) -> ColumnFacts:
    filled = [value for value in values if value is not None and str(value).strip()]
    texts = [str(value) for value in filled]
    return ColumnFacts(
        name=name,
        type=declared,
        sampled=len(values),
        filled=len(filled),
        distinct=len(set(texts)),
        fractions=sum(isinstance(value, float) or _is_fraction(value) for value in filled),
        numbers=sum(map(_is_number, filled)),
        nested=sum(isinstance(value, dict | list) for value in filled),
        sentences=sum(" " in text.strip() for text in texts),
        mean_length=sum(map(len, texts)) / max(1, len(texts)),
        is_unique=is_unique,
        example=one_line(texts[0], _LONGEST_EXAMPLE) if texts else "",
    )


def _with_times(column: ColumnFacts, times: int) -> ColumnFacts:
    kept = {name: getattr(column, name) for name in ColumnFacts.__slots__}
    return ColumnFacts(**{**kept, "times": times})


def _is_number(value: Value) -> bool:
    if isinstance(value, bool):
        return False
    if isinstance(value, int | float | Decimal):
        return True
    return isinstance(value, str) and bool(_NUMBER.fullmatch(value.strip()))


def _is_fraction(value: Value) -> bool:
    return isinstance(value, str) and bool(_FRACTION.fullmatch(value.strip()))


def _as_record(value: Value) -> Value:
    """Return the record that a text holds as JSON, and any other value as it is."""
    if not isinstance(value, str) or not value.lstrip().startswith("{"):
        return value
    try:
        parsed: Value = strict_json.parse(value).value
    except strict_json.InvalidJson:
        return value
    return parsed if isinstance(parsed, dict) else value


def _is_record(values: Sequence[Value]) -> bool:
    filled = [value for value in values if value is not None]
    return bool(filled) and all(isinstance(value, dict) for value in filled)


def _fields(name: str, values: Sequence[Value]) -> Iterator[tuple[str, list[Value]]]:
    """Yield the path of each field inside the records of a column, with its values."""
    yield from _fields_below((name,), values)


def _fields_below(
    parts: tuple[str, ...], values: Sequence[Value]
) -> Iterator[tuple[str, list[Value]]]:
    keys = dict.fromkeys(key for value in values if isinstance(value, dict) for key in value)
    for key in map(str, keys):
        inner = [value.get(key) if isinstance(value, dict) else None for value in values]
        if _is_record(inner) and len(parts) < _DEEPEST:
            yield from _fields_below((*parts, key), inner)
        else:
            yield join_parts((*parts, key)), inner


def _count_times(columns: Sequence[Sequence[Value]]) -> list[int]:
    """Return how many values of each column can be read as times, by the rule of all sources."""
    native = [sum(isinstance(value, date | datetime) for value in column) for column in columns]
    texts = [
        (number, value)
        for number, column in enumerate(columns)
        for value in column
        if isinstance(value, str) and len(value) <= _LONGEST_TIME
    ]
    if not texts:
        return native
    connection = duckdb.connect()
    try:
        configure_session(connection)
        numbers, values = map(list, zip(*texts, strict=True))
        connection.execute(
            "CREATE TEMP TABLE sampled AS SELECT unnest($1::INTEGER[]) AS number, "
            "unnest($2::VARCHAR[]) AS raw_timestamp",
            [numbers, values],
        )
        relation = with_times("SELECT * FROM sampled")
        counts = dict(
            connection.execute(
                f"SELECT number, count(preprocessing_timestamp) FROM ({relation}) GROUP BY number"
            ).fetchall()
        )
    finally:
        connection.close()
    return [count + int(counts.get(number, 0)) for number, count in enumerate(native)]
