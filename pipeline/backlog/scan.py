"""A source as SQL: a streamed SELECT of uri, text and the raw timestamp, for each kind of file.

Text formats are read with every column as text, and timestamps are parsed here, by one rule for
all sources: a type guessed from the first rows fails on the ten-thousandth.
"""

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from pathlib import Path
from urllib.parse import quote

import adbc_driver_sqlite.dbapi as sqlite
import duckdb
import pyarrow as pa
from adbc_driver_manager import Error as SqliteError

from pipeline.backlog.sources import DATABASES, Kind, Source, chosen_table, missing_column
from pipeline.backlog.sqlite import cursor_of
from pipeline.errors import InputError
from pipeline.sql import file_list, literal, quoted, where_all

# `%Y-%m-%d-%H:%M:%S` is the lab's own; the cast reads ISO 8601, in a session whose time zone is
# UTC. It goes by TIMESTAMPTZ: straight to TIMESTAMP, DuckDB 2.0 drops an offset [ran]. The guard is
# against what DuckDB also takes for dates: 'infinity', 'epoch', years before Christ. The eleventh
# character tells the spellings apart: the wrong reading, tried first, doubles the time.
TIMESTAMP = (
    "CASE WHEN regexp_matches({0}, '^[12][0-9]{{3}}-[^(]*$') THEN "
    "CASE WHEN {0}[11] = '-' THEN try_strptime({0}, '%Y-%m-%d-%H:%M:%S') ELSE coalesce("
    "try_cast({0} AS TIMESTAMPTZ) AT TIME ZONE 'UTC', "
    "try_strptime({0}, '%Y-%m-%d-%H:%M:%S')) END END"
)

# Said, not guessed: DuckDB infers quotes from the first 20,480 rows, and posts without any, or
# all in single quotes, make it read the later ones wrongly.
_CSV = (
    "header=true, all_varchar=true, union_by_name=true, quote='\"', escape='\"', comment='', skip=0"
)


class Scan:
    """Reads one source on one DuckDB connection.

    `rows_seen` counts what SQLite handed over, exactly, while its table may still grow; `failure`
    is what ended that stream, which DuckDB wraps in a traceback. `since` (UTC) lets a source leave
    out rows by what it knows of them (Parquet's statistics, an index): coarsely, up to a day older
    ones still come.
    """

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        source: Source,
        since: datetime | None = None,
    ) -> None:
        self._connection = connection
        self._source = source
        self._since = since
        self._names = 0
        self._attached: list[str] = []
        self._sql = ""
        self._open: list[sqlite.Connection | sqlite.Cursor] = []
        self._before: list[str] = []
        self.rows_seen = 0
        self.failure: InputError | None = None

    def close(self) -> None:
        while self._open:
            self._open.pop().close()
        while self._attached:
            self._connection.execute(f"DETACH {self._attached.pop()}")

    def relation(self, files: tuple[Path, ...] | None = None) -> str:
        """SQL that yields columns `uri`, `text`, `raw_timestamp`, all VARCHAR, each read once.

        Raises InputError where a table or column is missing, or a file cannot be read.
        """
        paths = files or self._source.files
        if self._source.kind in DATABASES:
            one = self._sqlite if self._source.kind is Kind.SQLITE else self._duckdb
            self._sql = " UNION ALL ".join(one(path) for path in paths)
        elif self._source.kind is Kind.JSON_LINES and not any(p.stat().st_size for p in paths):
            self._sql = "SELECT '' AS uri, '' AS text, '' AS raw_timestamp WHERE false"
        else:
            self._refuse_files_without_text(paths)
            self._sql = self._select(self._table_function(paths), str(paths[0]))
        return self._sql

    def count(self) -> int:
        """Rows of the relation. For SQLite only after it was read."""
        if self._source.kind is Kind.SQLITE:
            return self.rows_seen
        row = self._connection.execute(f"SELECT count(*) FROM ({self._sql})").fetchall()[0]
        return int(row[0])

    def count_before(self) -> int | None:
        """Rows of the source that the relation leaves out as older than `since`, where the source
        can count them by their times alone; None where it would have to be read whole."""
        if not self._before:
            return None
        counted = (self._connection.execute(one).fetchall()[0][0] for one in self._before)
        return sum(map(int, counted))

    def _table_function(self, paths: tuple[Path, ...]) -> str:
        names = file_list(paths)
        match self._source.kind:
            case Kind.PARQUET:
                return f"read_parquet({names}, union_by_name=true)"
            case Kind.CSV:
                tabs = ".tsv" in (suffix.lower() for suffix in paths[0].suffixes)
                return f"read_csv({names}, {_CSV}, delim='{chr(9) if tabs else ','}')"
            case _:
                # DuckDB guesses types from a sample; only the names are taken from it.
                guessed = f"read_json({names}, format='newline_delimited')"
                found = self._columns(guessed, str(paths[0]))
                if tuple(found) == ("json",):
                    raise InputError(f"backlog.source: {paths[0]}: no line of it is a JSON object")
                columns = ", ".join(f"{literal(name)}: 'VARCHAR'" for name in found)
                return f"read_json({names}, format='newline_delimited', columns={{{columns}}})"

    def _refuse_files_without_text(self, paths: tuple[Path, ...]) -> None:
        """Among others, such a file would give posts without a text, and they'd be labelled so. One
        without a uri or a timestamp is refused by its rows."""
        if len(paths) == 1 or self._source.kind is Kind.JSON_LINES:
            return
        suspects = paths
        if self._source.kind is Kind.PARQUET:
            rows = self._connection.execute(
                f"SELECT file_name FROM parquet_schema({file_list(paths)}) GROUP BY file_name "
                "HAVING NOT bool_or(name = ?) ORDER BY file_name LIMIT 1",
                [self._source.backlog.columns.text],
            ).fetchall()
            suspects = tuple(Path(row[0]) for row in rows)
        for path in suspects:
            self._select(self._table_function((path,)), str(path))

    def _select(self, table: str, where_from: str) -> str:
        types = self._columns(table, where_from)
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
        own, recent = self._conditions(types[names.preprocessing_timestamp])
        if recent and self._source.kind in (Kind.PARQUET, Kind.DUCKDB):
            older = where_all([*own, f"NOT ({recent})"])
            self._before.append(f"SELECT count(*) FROM {table}{older}")
        return (
            f"SELECT CAST({uri} AS VARCHAR) AS uri, CAST({text} AS VARCHAR) AS text, "
            f"CAST({timestamp} AS VARCHAR) AS raw_timestamp FROM {table}"
            + where_all([*own, *recent_only(recent)])
        )

    def _conditions(self, kind: str) -> tuple[list[str], str]:
        """A person's own condition, and which rows may be recent enough, '' where all are. Rows
        without a readable timestamp may be: they are refused later, by name."""
        own = self._source.backlog.where
        name = quoted(self._source.backlog.columns.preprocessing_timestamp)
        recent = ""
        if self._since and kind.startswith(("VARCHAR", "TIMESTAMP", "DATE")):
            day = literal(f"{day_before(self._since):%Y-%m-%d}")
            typed, empty = (day, f" OR {name} = ''") if kind == "VARCHAR" else (f"DATE {day}", "")
            recent = f"{name} >= {typed}{empty} OR {name} IS NULL"
        return [own] if own else [], recent

    def _columns(self, table: str, where_from: str) -> dict[str, str]:
        try:
            rows = self._connection.execute(f"DESCRIBE SELECT * FROM {table}").fetchall()
        except duckdb.Error as error:
            raise InputError(f"backlog.source: {where_from}: {error}") from None
        return {row[0]: row[1] for row in rows}

    def _duckdb(self, path: Path) -> str:
        alias = self._new_name()
        try:
            self._connection.execute(f"ATTACH {literal(str(path))} AS {alias} (READ_ONLY)")
        except duckdb.Error as error:
            raise InputError(f"backlog.source: {path} cannot be opened: {error}") from None
        self._attached.append(alias)
        rows = self._connection.execute(
            "SELECT table_name FROM information_schema.tables WHERE table_catalog = ?", [alias]
        ).fetchall()
        table = chosen_table(self._source, path, tuple(row[0] for row in rows))
        return self._select(f"{alias}.{quoted(table)}", f"{path}, table {table}")

    def _sqlite(self, path: Path) -> str:
        name = self._new_name()
        own, recent = self._conditions("VARCHAR")
        try:
            connection = sqlite.connect(f"file:{quote(str(path))}?mode=ro")
            self._open.append(connection)
            cursor = cursor_of(connection, self._source, path, [*own, *recent_only(recent)])
            self._open.append(cursor)
            reader = cursor.fetch_record_batch()
        except SqliteError as error:
            raise InputError(f"backlog.source: {path}: {error}") from None
        counted = pa.RecordBatchReader.from_batches(reader.schema, self._counting(reader, path))
        self._connection.register(name, counted)
        # Of an empty result the driver makes numbers.
        columns = ("uri", "text", "raw_timestamp")
        return f"SELECT {', '.join(f'CAST({c} AS VARCHAR) AS {c}' for c in columns)} FROM {name}"

    def _new_name(self) -> str:
        self._names += 1
        return f"source_{self._names}"

    def _counting(self, reader: pa.RecordBatchReader, path: Path) -> Iterator[pa.RecordBatch]:
        try:
            for batch in reader:
                self.rows_seen += batch.num_rows
                yield batch
        except (SqliteError, OSError, pa.ArrowException) as error:
            self.failure = InputError(f"backlog.source: {path}: {str(error).strip()}")
            raise self.failure from None


def day_before(since: datetime) -> date:
    """From when on rows may be of `since` or later: a text's or a native value's offset from UTC
    may be as much as a day."""
    return (since - timedelta(days=1)).date()


def recent_only(recent: str) -> list[str]:
    return [recent] if recent else []
