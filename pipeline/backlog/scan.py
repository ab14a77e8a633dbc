"""Turn a source into SQL that yields the uri, text, raw timestamp and reason of every post.

Text formats are read with every column as text, and timestamps are parsed here, by one rule for
all sources. A type guessed from the first rows would fail on the ten-thousandth.
"""

import importlib
import tempfile
from collections.abc import Callable, Sequence
from datetime import date, datetime, timedelta
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import duckdb

from pipeline.backlog.catalog import missing_column
from pipeline.backlog.databases.duckdb_tables import attach_table
from pipeline.backlog.decompress import needs_unpacking, unpack
from pipeline.backlog.file_formats import DATABASES, FileFormat, SourceFile, SourceKind
from pipeline.backlog.sources import Source
from pipeline.errors import InputError
from pipeline.model import NO_TEXT
from pipeline.sql import fetch_number, file_list, literal, quoted, where_all

if TYPE_CHECKING:
    from pipeline.backlog.databases.sqlite_stream import SqliteStream

# `%Y-%m-%d-%H:%M:%S` is the lab's own format. The cast reads ISO 8601, in a session whose time
# zone is UTC. It goes through TIMESTAMPTZ, because a cast straight to TIMESTAMP drops an offset in
# DuckDB 2.0 [ran]. The guard rejects what DuckDB takes for a date too: 'infinity', 'epoch', years
# before Christ. The eleventh character tells the two formats apart: trying the wrong one first
# doubles the time.
_TIMESTAMP = (
    "CASE WHEN regexp_matches(raw_timestamp, '^[0-9]{4}-[^(]*$') THEN "
    "CASE WHEN raw_timestamp[11] = '-' THEN try_strptime(raw_timestamp, '%Y-%m-%d-%H:%M:%S') "
    "ELSE coalesce(try_cast(raw_timestamp AS TIMESTAMPTZ) AT TIME ZONE 'UTC', "
    "try_strptime(raw_timestamp, '%Y-%m-%d-%H:%M:%S')) END END"
)
# Years 1 to 9999. Python has no others, and an offset from UTC can lead out of them.
_IN_RANGE = "BETWEEN TIMESTAMP '0001-01-01' AND TIMESTAMP '9999-12-31 23:59:59.999999'"

# A source with at most this many older rows is read whole, so that each late post is counted.
# 2 million rows take some three seconds.
ROWS_TO_READ_ANYWAY = 2_000_000

# Stated, not guessed: DuckDB infers quotes from the first 20,480 rows. If these hold no quotes, or
# only single ones, it reads the later ones wrongly.
_CSV = (
    "header=true, all_varchar=true, union_by_name=true, quote='\"', escape='\"', comment='', skip=0"
)


_SECOND_DAY = datetime(1, 1, 2)


class Scan:
    """Reads one source on one DuckDB connection."""

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        source: Source,
        since: datetime | None = None,
    ) -> None:
        """Prepare to read; nothing is opened yet.

        Args:
            connection: where the relation is used; its time zone must be UTC.
            source: the files to read.
            since: lets a source with many rows leave out older ones (UTC) that it can tell by
                Parquet's statistics or an index. It does so coarsely: rows up to a day older still
                come.
        """
        self._connection = connection
        self._source = source
        self._since = since
        self._names = 0
        self._attached: list[str] = []
        self._sql = ""
        self._streams: list[SqliteStream] = []
        self._unread = 0
        self._copies: list[tempfile.TemporaryDirectory[str]] = []

    @property
    def failure(self) -> InputError | None:
        """The error that ended a SQLite stream; DuckDB wraps it in a traceback."""
        return next((stream.failure for stream in self._streams if stream.failure), None)

    def close(self) -> None:
        """Close and detach what the relation has opened."""
        for stream in self._streams:
            stream.close()
        while self._attached:
            self._connection.execute(f"DETACH DATABASE IF EXISTS {self._attached.pop()}")
        while self._copies:
            self._copies.pop().cleanup()

    def relation(self, files: tuple[Path, ...] | None = None) -> str:
        """Return SQL that yields columns `uri`, `text`, `raw_timestamp` and `reason`, all VARCHAR.

        It can be read once. `reason` says why a post cannot be sent, such as NO_TEXT for one whose
        text is null; it is NULL for all other posts.

        Args:
            files: some of the source's files; all of them by default.

        Raises:
            InputError: a table or a column is missing, or a file cannot be read.
        """
        chosen = self._unpacked(self._source.select(files))
        if not chosen:
            self._sql = (
                "SELECT '' AS uri, '' AS text, '' AS raw_timestamp, '' AS reason WHERE false"
            )
        elif self._source.kind in DATABASES:
            read_table = self._sqlite if self._source.kind is SourceKind.SQLITE else self._duckdb
            self._sql = " UNION ALL ".join(read_table(file.path) for file in chosen)
        else:
            by_format: dict[FileFormat, list[Path]] = {}
            for file in chosen:
                by_format.setdefault(file.format, []).append(file.path)
            self._sql = " UNION ALL ".join(
                self._read_files(tuple(paths), file_format)
                for file_format, paths in by_format.items()
            )
        return self._sql

    def count(self) -> int:
        """Return the number of rows of the relation; for SQLite only once it has been read."""
        if self._source.kind is SourceKind.SQLITE:
            return sum(stream.rows_read for stream in self._streams)
        return fetch_number(self._connection, f"SELECT count(*) FROM ({self._sql})")

    @property
    def unread(self) -> int:
        """How many rows the relation leaves out as older than `since`."""
        return self._unread

    def _unpacked(self, files: tuple[SourceFile, ...]) -> tuple[SourceFile, ...]:
        """Return the files, with decompressed copies of those that DuckDB cannot read."""
        if not any(map(needs_unpacking, files)):
            return files
        setting = "SELECT current_setting('temp_directory')"
        spill = Path(str(self._connection.execute(setting).fetchall()[0][0]))
        folder = spill.parent if spill.is_absolute() else None
        copies = tempfile.TemporaryDirectory(prefix="decompressed-", dir=folder)
        self._copies.append(copies)
        return tuple(
            unpack(file, Path(copies.name)) if needs_unpacking(file) else file for file in files
        )

    def _read_files(self, paths: tuple[Path, ...], file_format: FileFormat) -> str:
        self._reject_files_without_text(paths, file_format)
        return self._select(self._table_function(paths, file_format), str(paths[0]))

    def _table_function(self, paths: tuple[Path, ...], file_format: FileFormat) -> str:
        names = file_list(paths)
        compression = f"compression='{file_format.compression}'"
        match file_format.kind:
            case SourceKind.PARQUET:
                return f"read_parquet({names}, union_by_name=true)"
            case SourceKind.CSV:
                delimiter = literal(file_format.delimiter)
                return f"read_csv({names}, {_CSV}, {compression}, delim={delimiter})"
            case _:
                # DuckDB guesses types from a sample; only the names are taken from it.
                options = f"{names}, {compression}, format='{file_format.layout}'"
                types = self._column_types(f"read_json({options})", str(paths[0]))
                if tuple(types) == ("json",):
                    raise InputError(
                        f"backlog.source: {paths[0]}: none of its lines is a JSON object"
                    )
                columns = ", ".join(f"{literal(name)}: 'VARCHAR'" for name in types)
                return f"read_json({options}, columns={{{columns}}})"

    def _reject_files_without_text(self, paths: tuple[Path, ...], file_format: FileFormat) -> None:
        """Raise InputError for a file without the text column among files that have it.

        Its posts would have no text, and would be labeled as such. A file without a uri or a
        timestamp is rejected by its rows.
        """
        if len(paths) == 1 or file_format.kind is SourceKind.JSON_LINES:
            return
        suspects = paths
        if file_format.kind is SourceKind.PARQUET:
            rows = self._connection.execute(
                f"SELECT file_name FROM parquet_schema({file_list(paths)}) GROUP BY file_name "
                "HAVING NOT bool_or(name = ?) ORDER BY file_name LIMIT 1",
                [self._source.backlog.columns.text],
            ).fetchall()
            suspects = tuple(Path(row[0]) for row in rows)
        for path in suspects:
            self._select(self._table_function((path,), file_format), str(path))

    def _select(self, table: str, where_from: str) -> str:
        types = self._column_types(table, where_from)
        names = self._source.backlog.columns
        for name in names.values():
            if name not in types:
                raise missing_column(where_from, name, tuple(types))
        uri, text, timestamp = (
            f"decode({quoted(name)})" if types[name] == "BLOB" else quoted(name)
            for name in names.values()
        )
        if types[names.preprocessing_timestamp] == "TIMESTAMP WITH TIME ZONE":
            timestamp = f"{timestamp} AT TIME ZONE 'UTC'"
        recent = ""
        if self._source.kind in (SourceKind.PARQUET, SourceKind.DUCKDB):
            recent = self._leave_out_older(
                self._recent(types[names.preprocessing_timestamp]),
                lambda conditions, limit: fetch_number(
                    self._connection,
                    f"SELECT count(*) FROM (SELECT 1 FROM {table}{where_all(conditions)}{limit})",
                ),
            )
        return (
            f"SELECT CAST({uri} AS VARCHAR) AS uri, CAST({text} AS VARCHAR) AS text, "
            f"CAST({timestamp} AS VARCHAR) AS raw_timestamp, {self._reason(text)} AS reason "
            f"FROM {table}" + where_all(self._conditions(recent))
        )

    def _reason(self, text: str) -> str:
        """Return SQL for the reason of a post, given that for its text."""
        if self._source.kind is SourceKind.CSV:  # an empty field is read as NULL
            return "CAST(NULL AS VARCHAR)"
        return f"CASE WHEN {text} IS NULL THEN {literal(NO_TEXT)} END"

    def _own_condition(self) -> list[str]:
        return [self._source.backlog.where] if self._source.backlog.where else []

    def _conditions(self, recent: str) -> list[str]:
        return [*self._own_condition(), recent] if recent else self._own_condition()

    def _leave_out_older(self, recent: str, count: Callable[[Sequence[str], str], int]) -> str:
        """Return the condition that leaves out older rows; '' if these are few.

        Args:
            recent: a condition for rows that may be recent enough; '' if all may be.
            count: counts the rows that fulfill some conditions, up to a limit.
        """
        if not recent:
            return ""
        older = [*self._own_condition(), f"NOT ({recent})"]
        if count(older, f" LIMIT {ROWS_TO_READ_ANYWAY + 1}") <= ROWS_TO_READ_ANYWAY:
            return ""
        self._unread += count(older, "")
        return recent

    def _recent(self, column_type: str) -> str:
        """Return a condition for rows that may be recent enough; '' if all may be.

        Rows without a readable timestamp may be: they are rejected later, by name.
        """
        if not self._since or not column_type.startswith(("VARCHAR", "TIMESTAMP", "DATE")):
            return ""
        name = quoted(self._source.backlog.columns.preprocessing_timestamp)
        day = literal(day_before(self._since).isoformat())
        if column_type == "VARCHAR":
            return f"{name} >= {day} OR {name} = '' OR {name} IS NULL"
        return f"{name} >= DATE {day} OR {name} IS NULL"

    def _column_types(self, table: str, where_from: str) -> dict[str, str]:
        try:
            rows = self._connection.execute(f"DESCRIBE SELECT * FROM {table}").fetchall()
        except duckdb.Error as error:
            raise InputError(f"backlog.source: {where_from}: {error}") from None
        return {row[0]: row[1] for row in rows}

    def _duckdb(self, path: Path) -> str:
        alias = self._new_name()
        self._attached.append(alias)
        table = attach_table(self._connection, self._source, path, alias)
        return self._select(table.sql, f"{path}, table {table.name}")

    def _sqlite(self, path: Path) -> str:
        name = self._new_name()
        module = _import_sqlite()
        recent = self._leave_out_older(
            self._recent("VARCHAR"), partial(module.count_rows, self._source, path)
        )
        stream = module.SqliteStream(self._source, path, self._conditions(recent))
        self._streams.append(stream)
        self._connection.register(name, stream.reader)
        # The driver turns the columns of an empty result into numbers.
        columns = (f"CAST({column} AS VARCHAR) AS {column}" for column in module.COLUMNS)
        reason = "nullif(CAST(reason AS VARCHAR), '') AS reason"
        return f"SELECT {', '.join(columns)}, {reason} FROM {name}"

    def _new_name(self) -> str:
        self._names += 1
        return f"source_{self._names}"


def with_times(relation: str) -> str:
    """Return SQL that yields a relation's rows with `preprocessing_timestamp`, a TIMESTAMP in UTC.

    It is NULL where `raw_timestamp` is not a timestamp.
    """
    return (
        f"SELECT * EXCLUDE moment, CASE WHEN moment {_IN_RANGE} THEN moment END "
        f"AS preprocessing_timestamp FROM (SELECT *, {_TIMESTAMP} AS moment FROM ({relation}))"
    )


def _import_sqlite() -> ModuleType:
    """Import the module for SQLite, and with it its driver, when they are needed.

    The driver imports pyarrow.dataset, and that imports pandas if it is installed: more than all
    other imports of `submit` together.
    """
    return importlib.import_module("pipeline.backlog.databases.sqlite_stream")


def day_before(since: datetime) -> date:
    """Return the first day on which rows of `since` (UTC) or later can be.

    The offset of a text or of a native value from UTC may be as much as a day.
    """
    return max(since, _SECOND_DAY).date() - timedelta(days=1)
