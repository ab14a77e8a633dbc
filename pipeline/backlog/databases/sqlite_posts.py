"""Read the posts of one SQLite table as Arrow batches."""

from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path

import pyarrow as pa

from pipeline.backlog.column_path import ColumnPath
from pipeline.backlog.databases import sqlite_query
from pipeline.backlog.databases.sqlite_catalog import find_table
from pipeline.backlog.databases.sqlite_connection import SqliteConnection
from pipeline.backlog.databases.sqlite_query import State
from pipeline.backlog.databases.sqlite_rejections import (
    STATES_WITH_KEY,
    TEXT_STATES,
    URI_STATES,
    find_problem,
    table_without_text,
)
from pipeline.backlog.databases.sqlite_values import (
    Values,
    decode,
    read_literals,
    reasons_of,
    texts_of,
    times_of,
)
from pipeline.backlog.databases.sqlite_where import check_where
from pipeline.backlog.sources import Source
from pipeline.config.sections import PYTHON_RECORDS
from pipeline.errors import InputError, RunError
from pipeline.sql import literal, quoted, where_all

SCHEMA = pa.schema([(name, pa.string()) for name in ("uri", "text", "raw_timestamp", "reason")])
_ENCODINGS = {"UTF-8": "utf-8", "UTF-16le": "utf-16-le", "UTF-16be": "utf-16-be"}


class SqlitePosts:
    """One open table: its rows as columns `uri`, `text`, `raw_timestamp` and `reason`, all text.

    `rows_read` counts the rows that were handed over. `failure` is the error that ended the
    stream; DuckDB wraps it in a traceback.

    The driver, ADBC, reads 1M posts in 0.67 s, the standard library's sqlite3 in 2.57 s.
    """

    def __init__(self, source: Source, path: Path) -> None:
        """Open the table, in one transaction that lasts until `close`.

        Raises:
            BusyError: another process has locked the file for too long.
            InputError: the file, the table or a column cannot be read.
            RunError: the disk or its locks fail.
        """
        self._source = source
        self._path = path
        self.rows_read = 0
        self.failure: InputError | RunError | None = None
        self._connection = SqliteConnection(path)
        try:
            self._table = find_table(self._connection, source)
            ((encoding,),) = self._connection.rows("PRAGMA encoding")
            if source.backlog.where:
                check_where(self._connection, self._table, source.backlog.where)
        except (InputError, RunError):
            self.close()
            raise
        self._encoding = _ENCODINGS[str(encoding)]
        self._has_text = False

    def close(self) -> None:
        """Close the table; readers of it live no longer."""
        self._connection.close()

    def recent(self, day: date) -> str:
        """Return a condition for rows that may be of a day or later; '' if all may be.

        Rows without a readable timestamp may be: they are rejected later, by name.
        """
        path = self._table.timestamp
        if path.keys and self._is_python:
            return ""
        value = quoted(path.column)
        if path.keys:
            value = f"CAST({sqlite_query.value_of(path)} AS TEXT)"
        return f"{value} >= {literal(day.isoformat())} OR {value} = '' OR {value} IS NULL"

    def count(self, conditions: Sequence[str], limit: str) -> int:
        """Count the rows that fulfill some conditions.

        Args:
            conditions: SQL conditions.
            limit: a LIMIT clause, so that no more rows than that are counted; '' for none.

        Raises:
            InputError: the file cannot be read.
            RunError: the disk or its locks fail.
        """
        rows = f"SELECT 1 FROM {self._from}{where_all(conditions)}{limit}"
        ((number,),) = self._connection.rows(f"SELECT count(*) FROM ({rows})")
        return int(str(number))

    def read(self, conditions: Sequence[str]) -> pa.RecordBatchReader:
        """Return the rows that fulfill some conditions, to be read once, in SCHEMA."""
        return pa.RecordBatchReader.from_batches(SCHEMA, self._stream(conditions))

    def _stream(self, conditions: Sequence[str]) -> Iterator[pa.RecordBatch]:
        try:
            for uris, texts, timestamps in self._values(conditions):
                self._reject_unreadable(uris, texts, conditions)
                self._has_text = self._has_text or texts.has(*STATES_WITH_KEY)
                columns = [uris.texts, texts_of(texts), times_of(timestamps), reasons_of(texts)]
                yield pa.record_batch(columns, schema=SCHEMA)
                self.rows_read += len(uris.texts)
            self._reject_table_without_text()
        except (InputError, RunError) as error:
            self.failure = error
            raise

    @property
    def _from(self) -> str:
        return quoted(self._table.name)

    @property
    def _is_python(self) -> bool:
        return self._source.backlog.record_format == PYTHON_RECORDS

    def _values(self, conditions: Sequence[str]) -> Iterator[tuple[Values, Values, Values]]:
        """Yield uris, texts and timestamps, batch by batch."""
        for batch in self._connection.batches(self._query(conditions)):
            columns = [self._decode_values(batch, i) for i in range(len(self._selected))]
            by_path = dict(zip(self._selected, columns, strict=True))
            for column in self._records:
                paths = [path for path in self._table.paths if path.keys and path.column == column]
                read = read_literals(by_path[ColumnPath(column=column)], [p.keys for p in paths])
                by_path |= dict(zip(paths, read, strict=True))
            uris, texts, timestamps = (by_path[path] for path in self._table.paths)
            yield uris, texts, timestamps

    def _decode_values(self, batch: pa.RecordBatch, i: int) -> Values:
        as_bytes = None if self._encoding == "utf-8" else batch[f"bytes_{i}"]
        return decode(batch[f"value_{i}"], batch[f"state_{i}"], self._encoding, as_bytes)

    @property
    def _records(self) -> list[str]:
        """The columns with records that Python parses."""
        paths = self._table.paths if self._is_python else ()
        return list(dict.fromkeys(path.column for path in paths if path.keys))

    @property
    def _selected(self) -> list[ColumnPath]:
        """What SQLite selects: the values, or the records that hold them."""
        if not self._is_python:
            return list(dict.fromkeys(self._table.paths))
        return list(dict.fromkeys(ColumnPath(column=path.column) for path in self._table.paths))

    def _query(self, conditions: Sequence[str], more: str = "") -> str:
        expressions = [more] if more else []
        for i, path in enumerate(self._selected):
            expressions.append(f"{sqlite_query.value_of(path)} AS value_{i}")
            is_uri = path == self._table.uri
            expressions.append(f"{sqlite_query.state_of(path, checks_numbers=is_uri)} AS state_{i}")
            if self._encoding != "utf-8":
                expressions.append(f"{sqlite_query.is_stored_as_bytes(path)} AS bytes_{i}")
        return f"SELECT {', '.join(expressions)} FROM {self._from}{where_all(conditions)}"

    def _reject_unreadable(self, uris: Values, texts: Values, conditions: Sequence[str]) -> None:
        """Raise InputError for a uri that nothing can be joined by, and for a text with keys."""
        for problem in (
            find_problem(uris, self._table.uri, URI_STATES, checks_bytes=True),
            find_problem(texts, self._table.text, TEXT_STATES),
        ):
            if problem:
                place = self._place(problem.row, conditions)
                raise InputError(f"{place}: {problem.describe(self._source.backlog)}")

    def describe_row(self, row: int, conditions: Sequence[str]) -> str:
        """Return the number of a row, and its rowid if that is another number.

        Args:
            row: its number, from 1, among the rows that the conditions keep.
            conditions: SQL conditions.
        """
        rowid = self._rowid(row, conditions)
        return f"row {row}" if rowid in ("", str(row)) else f"row {row} (rowid {rowid})"

    def _place(self, row: int, conditions: Sequence[str]) -> str:
        """Return where a row of the current batch is: file, table and row."""
        number = self.rows_read + row + 1
        place = f"{self._path}, table {self._table.name}, row {number}"
        rowid = self._rowid(number, conditions)
        return f"{place} (rowid {rowid})" if rowid else place

    def _rowid(self, row: int, conditions: Sequence[str]) -> str:
        if not self._table.rowid:
            return ""
        query = self._query(conditions, f"{quoted(self._table.rowid)} AS number")
        rowids = self._connection.rows(f"SELECT number FROM ({query} LIMIT 1 OFFSET {row - 1})")
        return str(rowids[0][0]) if rowids else ""

    def _reject_table_without_text(self) -> None:
        """Raise InputError if no row of the table has the key of the text.

        The rows that `where` keeps may all lack it by chance.
        """
        path = self._table.text
        if not path.keys or self._has_text or not self.rows_read:
            return
        example = ""
        for _, texts, _ in self._values(()):
            if texts.has(*STATES_WITH_KEY):
                return
            row = texts.first_row(State.MALFORMED)
            example = example or ("" if row is None else texts.texts[row].as_py())
        raise table_without_text(
            f"{self._path}, table {self._table.name}", path, example, self._source.backlog
        )
