"""One SQLite table as a stream of Arrow batches, by the ADBC driver."""

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import adbc_driver_sqlite.dbapi as sqlite

from pipeline.backlog.sources import Source, chosen_table, missing_column
from pipeline.sql import literal, quoted, where_all


def cursor_of(
    connection: sqlite.Connection, source: Source, path: Path, conditions: Sequence[str]
) -> sqlite.Cursor:
    """Streams one SQLite table by ADBC (1M posts in 0.67 s; the standard library takes 2.57 s).

    The cursor's reader lives as long as the cursor, no longer.
    """
    tables = _column_of(connection, "SELECT name FROM sqlite_master WHERE type IN ('table','view')")
    table = chosen_table(source, path, tables)
    columns = _column_of(connection, f"SELECT name FROM pragma_table_info({literal(table)})")
    names = source.backlog.columns
    for name in names.values():
        if name not in columns:
            raise missing_column(f"{path}, table {table}", name, columns)
    # The driver fixes a column's type by its first 1,024 rows; a cast and no NULL keep it text.
    selected = ", ".join(
        f"ifnull(CAST({quoted(name)} AS TEXT), '') AS {alias}"
        for name, alias in zip(names.values(), ("uri", "text", "raw_timestamp"), strict=True)
    )
    cursor = connection.cursor()
    cursor.execute(f"SELECT {selected} FROM {quoted(table)}{where_all(conditions)}")
    return cursor


def _column_of(connection: sqlite.Connection, query: str) -> tuple[str, ...]:
    with closing(connection.cursor()) as cursor:
        cursor.execute(query)
        return tuple(row[0] for row in cursor.fetchall())
