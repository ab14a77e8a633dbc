"""Open a SQLite file for reading, in one transaction, and wait where another process locked it."""

import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

import adbc_driver_sqlite.dbapi as sqlite
import pyarrow as pa
from adbc_driver_manager import Error as SqliteError
from adbc_driver_sqlite import StatementOptions

from pipeline.backlog.databases import sqlite_problems
from pipeline.backlog.databases.lock_wait import wait_for_lock
from pipeline.backlog.databases.sqlite_problems import explain, sqlite_message
from pipeline.errors import BusyError, InputError, RunError

_BATCH_ROWS = 8192


class SqliteConnection:
    """A read transaction on one file: every query sees the database as it was at the beginning.

    The locks of SQLite belong to the process. While this is open, nothing else in this process may
    open and close the file, or the locks are gone.
    """

    def __init__(self, path: Path) -> None:
        """Open the file and begin to read, waiting for up to LOCK_WAIT_S.

        Raises:
            BusyError: another process holds a lock for longer than that.
            InputError: the file is not a SQLite database, or cannot be read as it is.
            RunError: the disk or its locks fail.
        """
        self.path = path
        self._fingerprint: tuple[int, ...] | None = None
        self._cursors: list[sqlite.Cursor] = []
        self._connection = wait_for_lock(path, self._open)

    def close(self) -> None:
        """End the transaction and close the file, whatever is still being read."""
        while self._cursors:
            self._cursors.pop().close()
        self._connection.close()

    def rows(self, query: str, what: str = "the query of its rows") -> list[tuple[object, ...]]:
        """Return all rows of a query.

        Args:
            query: the query.
            what: what SQLite rejects if it rejects the query.

        Raises:
            InputError: SQLite rejects the query, or cannot read the file.
            RunError: the disk or its locks fail.
        """
        try:
            with closing(self._connection.cursor()) as cursor:
                cursor.execute(query)
                return [tuple(row) for row in cursor.fetchall()]
        except (SqliteError, OSError, pa.ArrowException) as error:
            raise self.explain_error(error, what) from None

    def batches(self, query: str) -> Iterator[pa.RecordBatch]:
        """Yield the rows of a query; the query runs as they are taken.

        Its columns need a type in every row, as the driver fixes it by the first batch.

        Raises:
            BusyError: another process has changed a file that was read without locks.
            InputError: SQLite rejects the query, or cannot read the file.
            RunError: the disk or its locks fail.
        """
        try:
            cursor = self._connection.cursor()
            self._cursors.append(cursor)
            cursor.adbc_statement.set_options(
                **{StatementOptions.BATCH_ROWS.value: str(_BATCH_ROWS)}
            )
            cursor.execute(query)
            yield from cursor.fetch_record_batch()
        except (SqliteError, OSError, pa.ArrowException) as error:
            raise self.explain_error(error) from None
        self._check_unchanged()

    def explain_error(
        self, error: Exception, what: str = "the query of its rows"
    ) -> InputError | RunError:
        """Return the error that a person reads, given that of the driver."""
        message = sqlite_message(error)
        return explain(self.path, message) or InputError(
            f"backlog.source: {self.path}: SQLite rejects {what}: {message}"
        )

    def _open(self, patience_s: float) -> sqlite.Connection:
        try:
            return _connect(self.path, "mode=ro", patience_s)
        except SqliteError as error:
            message = sqlite_message(error)
            if not (sqlite_problems.cannot_open(message) and _is_at_rest(self.path)):
                raise self.explain_error(error) from None
        # SQLite cannot make its shared memory file for the log. It needs none if nothing is
        # written, and reads without locks then.
        self._fingerprint = _fingerprint(self.path)
        try:
            return _connect(self.path, "mode=ro&immutable=1", patience_s)
        except SqliteError as error:
            raise self.explain_error(error) from None

    def _check_unchanged(self) -> None:
        """Raise BusyError if a file that is read without locks has been written to."""
        if self._fingerprint and self._fingerprint != _fingerprint(self.path):
            raise BusyError(
                f"backlog.source: {self.path} was changed by another process while it was read "
                "without locks, because its folder cannot be written to here: run the command "
                "again when nobody writes to it"
            )


def _connect(path: Path, options: str, patience_s: float) -> sqlite.Connection:
    connection = sqlite.connect(f"file:{quote(str(path))}?{options}")
    try:
        with closing(connection.cursor()) as cursor:
            cursor.execute(f"PRAGMA busy_timeout = {max(0, round(patience_s * 1000))}")
            # The connection is in a transaction, and the first read gets its lock or its snapshot.
            cursor.execute("SELECT count(*) FROM sqlite_schema")
            cursor.fetchall()
    except SqliteError:
        connection.close()
        raise
    return connection


def _is_at_rest(path: Path) -> bool:
    """Tell whether nothing can be written beside the file here, and nothing is left to merge."""
    can_write = os.access(path.resolve().parent, os.W_OK)
    return not can_write and sqlite_problems.sidecars_of(path).with_content is None


def _fingerprint(path: Path) -> tuple[int, ...]:
    state, wal = path.stat(), sqlite_problems.sidecars_of(path).wal
    return state.st_mtime_ns, state.st_size, wal.stat().st_size if wal.exists() else 0
