"""Preview the labels: how many there are, their values, and a few posts."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import duckdb

from hpc.display.blocks import Block, Line, Table, Tone
from pipeline import strict_json
from pipeline.database import duckdb_file, label_tables
from pipeline.database.duckdb_file import SHORT_PATIENCE, HeldDatabaseError
from pipeline.model import ENVELOPE, KIND_TYPES, PROVENANCE, ColumnKind
from pipeline.sql import quoted
from pipeline.strict_json import InvalidJson
from pipeline.terminal import one_line
from pipeline.text import counted

SHOWN_VALUES = 6
SHOWN_ROWS = 5
SHOWN_COLUMNS = 8
SAMPLED_VALUES = 20
"""How many values tell whether a column holds JSON."""
TEXT_WIDTH = 120
LEAST_TEXT_WIDTH = 32
"""So that the first words of a post can be read beside its labels."""
VALUE_WIDTH = 24
_TEXT = KIND_TYPES[ColumnKind.TEXT].duckdb
_COST = KIND_TYPES[ColumnKind.COUNT].duckdb
_NUMBERS = {KIND_TYPES[kind].duckdb for kind in (ColumnKind.NUMBER, ColumnKind.INTEGER)}


def describe_labels(database: str, name: str) -> list[Block]:
    """Return a summary of each label column of a name, and a few posts with their labels."""
    try:
        return _describe_labels(database, name)
    except HeldDatabaseError as error:
        return [Line(f"{error.where}: no preview of the labels now")]


def _describe_labels(database: str, name: str) -> list[Block]:
    missing = [Line(f"{database}: no labels under the name {name} yet")]
    if not Path(database).exists():
        return [*missing]
    with duckdb_file.open_database(
        Path(database), read_only=True, patience=SHORT_PATIENCE
    ) as labels:
        if not label_tables.count(labels, name):
            return [*missing]
        table = quoted(label_tables.labels_table(name))
        columns = _label_columns(labels, table)
        return [
            Line(f"{database}, table {label_tables.labels_table(name)}:"),
            Line(f"  {_describe_counts(labels, table)}"),
            *(Line(f"  {_describe_column(labels, table, *column)}") for column in columns.items()),
            *_sample(labels, table, [*columns]),
        ]


def describe_tables(database: str) -> list[Block]:
    """Return how many posts each name in a database has, and how many of them are labeled."""
    try:
        with duckdb_file.open_database(
            Path(database), read_only=True, patience=SHORT_PATIENCE
        ) as labels:
            (catalog,) = labels.execute("SELECT current_database()").fetchall()[0]
            tables = map(label_tables.labels_table, label_tables.names(labels, catalog))
            counts = {table: _describe_counts(labels, quoted(table)) for table in tables}
    except HeldDatabaseError as error:
        return [Line(f"{error.where}: no preview of the labels now")]
    return [
        Line(f"{database}:"),
        *(Line(f"  table {table}: {count}") for table, count in counts.items()),
    ]


def _label_columns(labels: duckdb.DuckDBPyConnection, table: str) -> dict[str, str]:
    """Return the types of the columns with labels: neither costs, nor JSON, nor the envelope."""
    envelope = {field.name for field in (*ENVELOPE, *PROVENANCE)}
    return {
        column: kind
        for column, kind, *_ in labels.execute(f"DESCRIBE {table}").fetchall()
        if column not in envelope and kind != _COST
        if not (kind == _TEXT and _holds_json(labels, table, column))
    }


def _describe_counts(labels: duckdb.DuckDBPyConnection, table: str) -> str:
    rows = labels.execute(
        f"SELECT regexp_extract(reason, '^[^:]*'), count(*) FROM {table} GROUP BY 1 "
        "ORDER BY 2 DESC, 1"
    ).fetchall()
    total = sum(count for _, count in rows)
    labeled = sum(count for reason, count in rows if reason is None)
    reasons = ", ".join(f"{reason} {count:,}" for reason, count in rows if reason is not None)
    rest = f", {total - labeled:,} without a label ({reasons})" if reasons else ""
    return f"{counted(total, 'post')}: {labeled:,} labeled{rest}"


def _describe_column(labels: duckdb.DuckDBPyConnection, table: str, column: str, kind: str) -> str:
    name = quoted(column)
    where = f"FROM {table} WHERE was_successfully_labeled"
    if kind in _NUMBERS:
        low, mean, high = labels.execute(
            f"SELECT min({name}), avg({name}), max({name}) {where}"
        ).fetchall()[0]
        if mean is None:
            return f"{column}: no values"
        if isinstance(low, int):
            return f"{column}: from {low:,} to {high:,}, mean {mean:z,.3f}"
        return f"{column}: from {low:z.3f} to {high:z.3f}, mean {mean:z.3f}"
    rows = labels.execute(
        f"SELECT {name}, count(*) {where} GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT {SHOWN_VALUES + 1}"
    ).fetchall()
    if all(value is None for value, _ in rows):
        return f"{column}: no values"
    shown = ", ".join(
        f"{'no value' if value is None else _shorten(value)} {count:,}"
        for value, count in rows[:SHOWN_VALUES]
    )
    return f"{column}: {shown}{', …' if len(rows) > SHOWN_VALUES else ''}"


def _holds_json(labels: duckdb.DuckDBPyConnection, table: str, column: str) -> bool:
    """Tell whether a column holds objects or lists, such as spans: each value is there once."""
    name = quoted(column)
    values = labels.execute(
        f"SELECT {name} FROM {table} WHERE {name} IS NOT NULL LIMIT {SAMPLED_VALUES}"
    ).fetchall()
    return bool(values) and all(_is_json(text) for (text,) in values)


def _is_json(text: str) -> bool:
    try:
        value = strict_json.parse(text).value if text[:1] in ("{", "[") else None
    except InvalidJson:
        return False
    return isinstance(value, dict | list)


def _sample(
    labels: duckdb.DuckDBPyConnection, table: str, columns: Sequence[str]
) -> Iterator[Block]:
    """Yield a few posts, chosen by a hash so that they are not all of one author."""
    names = ", ".join(quoted(column) for column in columns)
    rows = labels.execute(
        f"SELECT text, {names} FROM {table} WHERE was_successfully_labeled "
        f"ORDER BY hash(uri), uri LIMIT {SHOWN_ROWS}"
    ).fetchall()
    # A line above says which columns have no values; here they would only take room.
    kept = [
        place for place in range(len(columns)) if any(row[place + 1] is not None for row in rows)
    ]
    shown, more = kept[:SHOWN_COLUMNS], kept[SHOWN_COLUMNS:]
    yield Table(
        header=(*(columns[place] for place in shown), "text"),
        rows=tuple(
            (*(_shorten(row[place + 1]) for place in shown), one_line(row[0], TEXT_WIDTH))
            for row in rows
        ),
        indent=4,
        is_compact=True,
        least_last=LEAST_TEXT_WIDTH,
    )
    if more:
        yield Line(f"    {counted(len(more), 'more column')}, described above", Tone.FAINT)


def _shorten(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:z.3f}" if isinstance(value, float) else one_line(str(value), VALUE_WIDTH)
