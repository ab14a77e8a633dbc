"""Turn a source into SQL that yields the uri, text, raw timestamp and reason of every post.

Text formats are read with every column as text, and timestamps are parsed here, by one rule for
all sources. A type guessed from the first rows would fail on the ten-thousandth.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb

from pipeline.backlog.catalog import LacksPostsError, find_column
from pipeline.backlog.databases.duckdb_tables import attach_table
from pipeline.backlog.databases.import_driver import import_with_driver
from pipeline.backlog.file_formats import DATABASES, SourceKind
from pipeline.backlog.formats.diagnose import find_fault
from pipeline.backlog.formats.file_posts import FilePosts
from pipeline.backlog.formats.file_table import Reading, first_line
from pipeline.backlog.formats.post_columns import Types
from pipeline.backlog.formats.row_places import describe_row
from pipeline.backlog.formats.table_posts import read_table
from pipeline.backlog.formats.try_reading import reject_failing_where
from pipeline.backlog.records.literal_records import register_literals
from pipeline.backlog.sources import Source
from pipeline.config.sections import JSON_RECORDS, PYTHON_RECORDS
from pipeline.errors import InputError, RunError
from pipeline.sql import fetch_number, literal, quoted, raise_lack_of_space, where_all

if TYPE_CHECKING:
    from pipeline.backlog.databases.sqlite_posts import SqlitePosts

# `%Y-%m-%d-%H:%M:%S` is the lab's own format. The cast reads ISO 8601, in a session whose time
# zone is UTC. It goes through TIMESTAMPTZ, because a cast straight to TIMESTAMP drops an offset in
# DuckDB 2.0 [ran]. The guard rejects what DuckDB takes for a date too: 'infinity', 'epoch', years
# before Christ or with other than four digits. A regular expression for it takes as long as the
# rest. The eleventh character tells the two formats apart: trying the wrong one first doubles the
# time.
_TIMESTAMP = (
    "CASE WHEN raw_timestamp BETWEEN '0' AND ':' AND strpos(raw_timestamp, '-') = 5 "
    "AND NOT contains(raw_timestamp, '(') THEN "
    "CASE WHEN raw_timestamp[11] = '-' THEN try_strptime(raw_timestamp, '%Y-%m-%d-%H:%M:%S') "
    "ELSE coalesce(try_cast(raw_timestamp AS TIMESTAMPTZ) AT TIME ZONE 'UTC', "
    "try_strptime(raw_timestamp, '%Y-%m-%d-%H:%M:%S')) END END"
)
# Years 1 to 9999. Python has no others, and an offset from UTC can lead out of them.
_IN_RANGE = "BETWEEN TIMESTAMP '0001-01-01' AND TIMESTAMP '9999-12-31 23:59:59.999999'"

# A source with at most this many older rows is read whole, so that each late post is counted.
# 2 million rows take some three seconds.
ROWS_TO_READ_ANYWAY = 2_000_000

_SECOND_DAY = datetime(1, 1, 2)


class Scan:
    """Reads one source on one DuckDB connection."""

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        source: Source,
        since: datetime | None = None,
    ) -> None:
        """Prepare to read; nothing is opened yet. Another thread than this one may read.

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
        self._streams: list[SqlitePosts] = []
        self._readings: list[Reading] = []
        self._unread = 0
        self._counted = 0
        """The rows of readings that were counted as the relation was made."""
        self._uncounted: list[str] = []
        """SQL for the other readings."""
        # Here, because the import can keep Ctrl-C as it is in the main thread only.
        if SourceKind.SQLITE in source.kinds:
            self._sqlite_posts = import_with_driver("pipeline.backlog.databases.sqlite_posts")
        self._files = {
            kind: FilePosts(
                connection,
                kind,
                [file for file in source.source_files if file.kind is kind],
                source.backlog,
            )
            for kind in source.kinds
            if kind not in DATABASES
        }

    @property
    def failure(self) -> InputError | RunError | None:
        """The error that ended a SQLite stream; DuckDB wraps it in a traceback."""
        return next((stream.failure for stream in self._streams if stream.failure), None)

    def close(self) -> None:
        """Close and detach what the relation has opened, and delete copies of files."""
        for stream in self._streams:
            stream.close()
        while self._attached:
            # After a fatal error, which is the one to show, every statement fails.
            with suppress(duckdb.Error):
                self._connection.execute(f"DETACH DATABASE IF EXISTS {self._attached.pop()}")
        for posts in self._files.values():
            posts.close()

    def read(
        self, statement: Callable[[str], str], files: tuple[Path, ...] | None = None
    ) -> list[tuple[Any, ...]]:
        """Execute a statement on the posts, and return the rows that it yields.

        A file with bytes that are not text is read again, in a slower way.

        Args:
            statement: returns SQL, given that of the relation.
            files: some of the source's files; all of them by default.

        Raises:
            InputError: a table or a column is missing, or a row cannot be used; the message has
                the file, the row and what to do.
            OSError: memory or disk is full.
        """
        try:
            return self._read(statement, files)
        except LacksPostsError as error:
            if len(self._source.files) == 1:
                raise
            advice = "if the file holds no posts, exclude it with backlog.ignore"
            raise LacksPostsError(f"{error}; {advice}") from None

    def _read(
        self, statement: Callable[[str], str], files: tuple[Path, ...] | None
    ) -> list[tuple[Any, ...]]:
        while True:
            try:
                return self._connection.execute(statement(self.relation(files))).fetchall()
            except duckdb.Error as error:
                raise_lack_of_space(error, "planning")
                if self.failure:
                    raise self.failure from None
                if not self._improve(files):
                    raise InputError(
                        f"backlog.source: {self._source} cannot be read: {first_line(error)}"
                    ) from None

    def relation(self, files: tuple[Path, ...] | None = None) -> str:
        """Return SQL that yields columns `uri`, `text`, `raw_timestamp` and `reason`, all VARCHAR.

        It can be read once. `reason` says why a post cannot be sent, such as NO_TEXT for one whose
        text is null; it is NULL for all other posts.

        Args:
            files: some of the source's files; all of them by default.

        Raises:
            InputError: a table or a column is missing, or a file cannot be read.
        """
        self._prepare_records()
        chosen = self._source.select(files)
        self._unread = self._counted = 0
        self._uncounted = []
        if not chosen:
            return "SELECT '' AS uri, '' AS text, '' AS raw_timestamp, '' AS reason WHERE false"
        if SourceKind.SQLITE in self._source.kinds:
            return " UNION ALL ".join(self._sqlite(file.path) for file in chosen)
        self._readings = [
            self._duckdb(file.path) for file in chosen if file.kind is SourceKind.DUCKDB
        ]
        for kind, posts in self._files.items():
            if some := [file for file in chosen if file.kind is kind]:
                self._readings += posts.readings(some)
        return " UNION ALL ".join(map(self._select, self._readings))

    def _prepare_records(self) -> None:
        """Prepare for records that are Python literals, which DuckDB cannot read itself."""
        if self._source.backlog.record_format != PYTHON_RECORDS:
            return
        if SourceKind.JSON_LINES in self._source.kinds:
            raise InputError(
                f"backlog.record_format: {self._source} has JSON Lines, whose records are JSON: "
                f"remove the key, or set it to {JSON_RECORDS}"
            )
        if SourceKind.SQLITE not in self._source.kinds:
            register_literals(self._connection)

    def _improve(self, files: tuple[Path, ...] | None) -> bool:
        """Have files be read in a slower way; False if that cannot help.

        Raises:
            InputError: a row has a fault that no way copes with.
        """
        if self._files:
            chosen = self._source.select(files)
            has_improved = [
                posts.improve([file for file in chosen if file.kind is kind])
                for kind, posts in self._files.items()
            ]
            return any(has_improved)
        for reading in self._readings:
            reject_failing_where(self._connection, reading)
            try:
                fault = find_fault(self._connection, reading, self._source.backlog)
            except duckdb.Error as error:
                raise_lack_of_space(error, "planning")
                fault = None
            if fault:
                raise fault
        return False

    def describe_row(self, row: int) -> str:
        """Return where a row of the last relation is in its only file.

        Args:
            row: its number, from 1, among the rows that `where` keeps.
        """
        if self._streams:
            return self._streams[-1].describe_row(row, self._own_condition())
        reading = self._readings[0]
        if reading.conditions:
            row = fetch_number(
                self._connection,
                "SELECT row FROM (SELECT row_number() OVER () AS row, * FROM "
                f"{reading.table}){where_all(reading.conditions)} ORDER BY row LIMIT 1 "
                f"OFFSET {row - 1}",
            )
        return describe_row(reading.files[0].file, row) if reading.files else f"row {row}"

    def count(self) -> int:
        """Return the number of rows of the relation; for SQLite only once it has been read."""
        if SourceKind.SQLITE in self._source.kinds:
            return sum(stream.rows_read for stream in self._streams)
        if not self._uncounted:
            return self._counted
        rows = fetch_number(
            self._connection, f"SELECT count(*) FROM ({' UNION ALL '.join(self._uncounted)})"
        )
        return rows + self._counted

    @property
    def unread(self) -> int:
        """How many rows the relation leaves out as older than `since`."""
        return self._unread

    def _select(self, reading: Reading) -> str:
        is_table = not reading.files or reading.files[0].file.kind is SourceKind.PARQUET
        recent = self._recent(reading.types) if is_table else ""
        if not recent:
            self._uncounted.append(reading.sql())
            return reading.sql()

        def count(*more: str) -> int:
            conditions = where_all([*reading.conditions, *more])
            query = f"SELECT count(*) FROM {reading.table}{conditions}"
            return fetch_number(self._connection, query)

        rows = count()
        older = count(f"NOT ({recent})") if rows > ROWS_TO_READ_ANYWAY else 0
        if older <= ROWS_TO_READ_ANYWAY:
            self._counted += rows
            return reading.sql()
        self._counted += rows - older
        self._unread += older
        return reading.sql(recent)

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

    def _recent(self, types: Types) -> str:
        """Return a condition for rows that may be recent enough; '' if all may be.

        Rows without a readable timestamp may be: they are rejected later, by name.
        """
        path = find_column(self._source.backlog.columns.preprocessing_timestamp, types)
        if not self._since or path is None or path.keys:
            return ""
        column_type = str(types[path.column])
        if not column_type.startswith(("VARCHAR", "TIMESTAMP", "DATE")):
            return ""
        name = quoted(path.column)
        day = literal(day_before(self._since).isoformat())
        if column_type == "VARCHAR":
            return f"{name} >= {day} OR {name} = '' OR {name} IS NULL"
        return f"{name} >= DATE {day} OR {name} IS NULL"

    def _duckdb(self, path: Path) -> Reading:
        alias = self._new_name()
        self._attached.append(alias)
        table = attach_table(self._connection, self._source, path, alias)
        return read_table(
            self._connection,
            f"{alias}.{table.sql}",
            f"{path}, table {table}",
            self._source.backlog,
        )

    def _sqlite(self, path: Path) -> str:
        name = self._new_name()
        posts: SqlitePosts = self._sqlite_posts.SqlitePosts(self._source, path)
        self._streams.append(posts)
        recent = self._leave_out_older(
            posts.recent(day_before(self._since)) if self._since else "", posts.count
        )
        self._connection.register(name, posts.read(self._conditions(recent)))
        return f"SELECT uri, text, raw_timestamp, reason FROM {name}"

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


def day_before(since: datetime) -> date:
    """Return the first day on which rows of `since` (UTC) or later can be.

    The offset of a text or of a native value from UTC may be as much as a day.
    """
    return max(since, _SECOND_DAY).date() - timedelta(days=1)
