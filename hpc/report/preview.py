"""A first look at the labels: how many, which, and a few of them."""

import json
from pathlib import Path

import duckdb

from pipeline.database import duckdb_file, label_tables
from pipeline.model import ENVELOPE, PROVENANCE
from pipeline.sql import quoted
from pipeline.terminal import one_line
from pipeline.text import counted

SHOWN_VALUES = 6
COUNT_TYPE = "UINTEGER"  # what an answer cost: no label
SHOWN_ROWS = 5
LOOKED_AT = 20
SHOWN_COLUMNS = 8
TEXT_WIDTH = 56
VALUE_WIDTH = 24


def describe_labels(database: str, name: str) -> str:
    """A few lines about table `labels_<name>`. Raises BusyError where the database is in use."""
    none = f"{database}: no labels under the name {name} yet"
    if not Path(database).exists():
        return none
    with duckdb_file.opened(Path(database), read_only=True) as labels:
        if not label_tables.count(labels, name):
            return none
        table = quoted(label_tables.labels_table(name))
        ours = {field.name for field in (*ENVELOPE, *PROVENANCE)}
        described = labels.execute(f"DESCRIBE {table}").fetchall()
        columns = [
            (column, kind)
            for column, kind, *_ in described
            if column not in ours and kind != COUNT_TYPE
            if not (kind == "VARCHAR" and _is_json(labels, table, column))
        ]
        lines = [f"{database}, table {label_tables.labels_table(name)}:", *_counts(labels, table)]
        lines += [_column(labels, table, column, kind) for column, kind in columns]
        lines += _rows(labels, table, [column for column, _ in columns][:SHOWN_COLUMNS])
    return "\n".join(lines)


def _counts(labels: duckdb.DuckDBPyConnection, table: str) -> list[str]:
    rows = labels.execute(
        f"SELECT regexp_extract(reason, '^[^:]*'), count(*) FROM {table} GROUP BY 1 "
        "ORDER BY 2 DESC, 1"
    ).fetchall()
    total = sum(count for _, count in rows)
    labelled = sum(count for reason, count in rows if reason is None)
    reasons = ", ".join(f"{reason} {count:,}" for reason, count in rows if reason is not None)
    rest = f", {total - labelled:,} cannot be ({reasons})" if reasons else ""
    return [f"  {counted(total, 'post')}: {labelled:,} labelled{rest}"]


def _column(labels: duckdb.DuckDBPyConnection, table: str, column: str, kind: str) -> str:
    name = quoted(column)
    where = f"FROM {table} WHERE was_successfully_labeled"
    if kind in ("DOUBLE", "BIGINT"):
        low, mean, high = labels.execute(
            f"SELECT min({name}), avg({name}), max({name}) {where}"
        ).fetchall()[0]
        if mean is None:
            return f"  {column}: none"
        return f"  {column}: from {low:.3f} to {high:.3f}, mean {mean:.3f}"
    rows = labels.execute(
        f"SELECT {name}, count(*) {where} GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT {SHOWN_VALUES + 1}"
    ).fetchall()
    if all(value is None for value, _ in rows):
        return f"  {column}: none"
    shown = ", ".join(f"{_shown(value)} {count:,}" for value, count in rows[:SHOWN_VALUES])
    return f"  {column}: {shown}{', …' if len(rows) > SHOWN_VALUES else ''}"


def _is_json(labels: duckdb.DuckDBPyConnection, table: str, column: str) -> bool:
    """Probabilities of each label, spans: values of which no two are alike, and none is a label."""
    name = quoted(column)
    some = labels.execute(
        f"SELECT {name} FROM {table} WHERE {name} IS NOT NULL LIMIT {LOOKED_AT}"
    ).fetchall()
    return bool(some) and all(map(_is_composed, (text for (text,) in some)))


def _is_composed(text: str) -> bool:
    try:
        return text[:1] in ("{", "[") and isinstance(json.loads(text), dict | list)
    except ValueError:
        return False


def _rows(labels: duckdb.DuckDBPyConnection, table: str, columns: list[str]) -> list[str]:
    """Every so-and-so-many-th post, so that not the oldest author fills the picture."""
    names = ", ".join(quoted(column) for column in columns)
    rows = labels.execute(
        f"SELECT text, {names} FROM {table} WHERE was_successfully_labeled "
        f"ORDER BY hash(uri), uri LIMIT {SHOWN_ROWS}"
    ).fetchall()
    lines = []
    for post, *values in rows:
        lines.append(f"    {'  '.join(map(_shown, values)):<18}  {one_line(post, TEXT_WIDTH)}")
    return lines


def _shown(value: object) -> str:
    return f"{value:.3f}" if isinstance(value, float) else one_line(str(value), VALUE_WIDTH)
