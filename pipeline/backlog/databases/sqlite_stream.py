"""Stream one SQLite table as Arrow batches, by the ADBC driver."""

from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

import adbc_driver_sqlite.dbapi as sqlite
import pyarrow as pa
from adbc_driver_manager import Error as SqliteError

from pipeline.backlog.catalog import choose_table, missing_column
from pipeline.backlog.sources import Source
from pipeline.errors import InputError
from pipeline.model import NO_TEXT
from pipeline.sql import literal, quoted, where_all

COLUMNS = ("uri", "text", "raw_timestamp")


class SqliteStream:
    """One open table, as `reader`: columns `uri`, `text`, `raw_timestamp` and `reason`, all text.

    `reason` is empty for a post that can be sent.

    `rows_read` counts the rows that were handed over, exactly, also if the table grows meanwhile.
    `failure` is the error that ended the stream; DuckDB wraps it in a traceback.

    ADBC reads 1M posts in 0.67 s, the standard library's sqlite3 in 2.57 s.
    """

    def __init__(self, source: Source, path: Path, conditions: Sequence[str]) -> None:
        """Open the table and begin the query.

        Raises:
            InputError: the file, the table or a column cannot be read.
        """
        self._path = path
        self._open: list[sqlite.Connection | sqlite.Cursor] = []
        self.rows_read = 0
        self.failure: InputError | None = None
        try:
            connection = _connect(path)
            self._open.append(connection)
            cursor = connection.cursor()
            self._open.append(cursor)
            cursor.execute(_query(_table(connection, source, path), source, conditions))
            batches = cursor.fetch_record_batch()
        except SqliteError as error:
            self.close()
            raise InputError(f"backlog.source: {path}: {error}") from None
        except InputError:
            self.close()
            raise
        self.reader = pa.RecordBatchReader.from_batches(batches.schema, self._counted(batches))

    def close(self) -> None:
        """Close the table; the reader lives no longer."""
        while self._open:
            self._open.pop().close()

    def _counted(self, batches: pa.RecordBatchReader) -> Iterator[pa.RecordBatch]:
        try:
            for batch in batches:
                self.rows_read += batch.num_rows
                yield batch
        except (SqliteError, OSError, pa.ArrowException) as error:
            self.failure = InputError(f"backlog.source: {self._path}: {str(error).strip()}")
            raise self.failure from None


def count_rows(source: Source, path: Path, conditions: Sequence[str], limit: str) -> int:
    """Count the rows of a table that fulfill some conditions.

    Args:
        source: the backlog.
        path: one of its files.
        conditions: SQL conditions.
        limit: a LIMIT clause, so that no more rows than that are counted; '' for none.

    Raises:
        InputError: the file, the table or a column cannot be read.
    """
    try:
        with _connect(path) as connection, closing(connection.cursor()) as cursor:
            table = _table(connection, source, path)
            rows = f"SELECT 1 FROM {quoted(table)}{where_all(conditions)}{limit}"
            cursor.execute(f"SELECT count(*) FROM ({rows})")
            return int(cursor.fetchall()[0][0])
    except SqliteError as error:
        raise InputError(f"backlog.source: {path}: {error}") from None


def _connect(path: Path) -> sqlite.Connection:
    return sqlite.connect(f"file:{quote(str(path))}?mode=ro")


def _table(connection: sqlite.Connection, source: Source, path: Path) -> str:
    """Return the table to read, which has all the columns; raise InputError if there is none."""
    tables = _first_column(
        connection, "SELECT name FROM sqlite_master WHERE type IN ('table','view')"
    )
    table: str = choose_table(source, path, tables)
    columns = _first_column(connection, f"SELECT name FROM pragma_table_info({literal(table)})")
    for name in source.backlog.columns.values():
        if name not in columns:
            raise missing_column(f"{path}, table {table}", name, columns)
    return table


def _query(table: str, source: Source, conditions: Sequence[str]) -> str:
    names = source.backlog.columns
    # The driver fixes a column's type by its first 1,024 rows. A cast, and no NULL, keep it text.
    selected = ", ".join(
        f"ifnull(CAST({quoted(name)} AS TEXT), '') AS {alias}"
        for name, alias in zip(names.values(), COLUMNS, strict=True)
    )
    reason = f"CASE WHEN {quoted(names.text)} IS NULL THEN {literal(NO_TEXT)} ELSE '' END AS reason"
    return f"SELECT {selected}, {reason} FROM {quoted(table)}{where_all(conditions)}"


def _first_column(connection: sqlite.Connection, query: str) -> tuple[str, ...]:
    with closing(connection.cursor()) as cursor:
        cursor.execute(query)
        return tuple(row[0] for row in cursor.fetchall())
