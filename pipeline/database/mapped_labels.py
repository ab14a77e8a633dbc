"""Show a successor's labels on the scale of the classifier that it replaces, as a view.

The view computes the mapped scores from the knots with plain SQL, so that DuckDB 1.0 and R can read
it. Nothing is copied, and the labels themselves stay as they are.
"""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import duckdb

from pipeline.database.label_tables import has_labels, labels_table
from pipeline.errors import InputError
from pipeline.model import ENVELOPE, PROVENANCE
from pipeline.run_files.score_map import ColumnMap, ScoreMap
from pipeline.sql import literal, quoted

ORIGINAL = "_original"
"""The end of the name of a column of B whose name a mapped column has got."""
_FIXED = frozenset(field.name for field in (*ENVELOPE, *PROVENANCE))


def create_view(connection: duckdb.DuckDBPyConnection, score_map: ScoreMap, source: Path) -> bool:
    """Create the view of a map, or replace it; return False where B has no labels yet.

    Args:
        connection: the database, open for writing.
        score_map: the map.
        source: its file, for errors.

    Raises:
        InputError: labels have the view's name, or lack a column of the map.
    """
    view = labels_table(score_map.name)
    if has_labels(connection, score_map.name):
        raise InputError(
            f"{source}: {view} has gathered labels. Move the map away, or give the configuration "
            f"{score_map.name} another name"
        )
    if not has_labels(connection, score_map.b):
        return False
    rows = connection.execute(f"DESCRIBE {quoted(labels_table(score_map.b))}").fetchall()
    columns = tuple(row[0] for row in rows)
    missing = [each.b for each in score_map.columns if each.b not in columns]
    if missing:
        raise InputError(
            f"{source}: {labels_table(score_map.b)} has no column {', '.join(missing)}"
        )
    # A column that a later gather adds is not in the view before it is created again.
    connection.execute(f"CREATE OR REPLACE VIEW {quoted(view)} AS {_query(score_map, columns)}")
    return True


def is_shown(connection: duckdb.DuckDBPyConnection, name: str) -> bool:
    """Tell whether a database shows mapped labels of this name."""
    rows = connection.execute(
        "SELECT 1 FROM duckdb_views() WHERE database_name = current_database() AND view_name = ?",
        [labels_table(name)],
    ).fetchall()
    return bool(rows)


def mapped_value(column: ColumnMap, score: str) -> str:
    """Return SQL for a mapped score: NULL for no finite number, clipped outside the knots.

    Args:
        column: the map.
        score: SQL for a score of B.
    """
    (first, lowest), *_ = column.knots
    whens = [f"WHEN {score} <= {first!r}::DOUBLE THEN {lowest!r}::DOUBLE"]
    for (x0, y0), (x1, y1) in pairwise(column.knots):
        value = f"{y0!r}::DOUBLE"
        if y1 != y0:
            slope = (y1 - y0) / (x1 - x0)
            value = (
                f"least({y1!r}::DOUBLE, {value} + ({score} - {x0!r}::DOUBLE) * {slope!r}::DOUBLE)"
            )
        whens.append(f"WHEN {score} <= {x1!r}::DOUBLE THEN {value}")
    highest = column.knots[-1][1]
    return (
        f"CASE WHEN {score} IS NULL OR NOT isfinite({score}) THEN NULL {' '.join(whens)} "
        f"ELSE {highest!r}::DOUBLE END"
    )


def _query(score_map: ScoreMap, columns: Sequence[str]) -> str:
    """Return the view's SQL. Only rows of the setups that the map was fitted on are mapped."""
    mapped = {each.a: each for each in score_map.columns}
    hashes = ", ".join(map(literal, score_map.config_hashes_of_b))
    chosen = []
    for column in columns:
        if column in _FIXED:
            chosen.append(quoted(column))
            continue
        if column in mapped:
            chosen.append(f"{quoted(column)} AS {quoted(column + ORIGINAL)}")
        else:
            chosen.append(quoted(column))
    values = [
        f"CASE WHEN config_hash IN ({hashes}) THEN "
        f"{mapped_value(each, f'{quoted(each.b)}::DOUBLE')} END AS {quoted(each.a)}"
        for each in score_map.columns
    ]
    return f"SELECT {', '.join([*chosen, *values])} FROM {quoted(labels_table(score_map.b))}"
