"""Which posts a run takes: those of the source that have no label and are in no unfinished run,
oldest first, each uri once. DuckDB does the work, within a login node's share of memory.

The source is read once, into a staging database beside the run: a SQLite table may be growing
while we read, and a second pass would see another backlog.
"""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import duckdb
import pyarrow as pa

from pipeline.backlog.scan import TIMESTAMP, Scan
from pipeline.backlog.sources import Source
from pipeline.errors import InputError
from pipeline.sql import literal
from pipeline.text import counted

MEMORY_LIMIT = "1GB"
THREADS = 2


@dataclass(frozen=True, kw_only=True, slots=True)
class BacklogCounts:
    """Where the rows went: `rows == posts + duplicates + taken + older + left_out + outside`.

    `rows` were read, which may be fewer than the source has where it could be asked for those since
    the watermark only; `older` ones are from before it, and have no label; `outside` ones are not
    among those that were asked for. `before` counts the rows that were not even read, where that is
    cheap.
    """

    rows: int
    duplicates: int
    taken: int
    older: int = 0
    left_out: int
    posts: int
    before: int | None = None
    outside: int = 0


@contextmanager
def staging(folder: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """A DuckDB of its own in `folder`, which spills there instead of filling the memory."""
    connection = duckdb.connect(str(folder / "staging.duckdb"))
    try:
        connection.execute(f"SET memory_limit = '{MEMORY_LIMIT}'")
        connection.execute(f"SET threads = {THREADS}")
        connection.execute(f"SET temp_directory = {literal(str(folder / 'spill'))}")
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute("SET enable_progress_bar = false")
        yield connection
    finally:
        connection.close()


def stage(
    connection: duckdb.DuckDBPyConnection,
    source: Source,
    *,
    taken: str | None,
    since: datetime | None = None,
    limit: int | None = None,
    only: str | None = None,
) -> BacklogCounts:
    """Makes table `staged` of the posts to label: those of `since` (UTC) and later, or all.

    `taken` is SQL that yields uris to leave out, `only` SQL that yields those to choose from.
    Raises InputError for a null uri or a timestamp that cannot be read, with source, row, value.
    """
    anti_join = f" ANTI JOIN ({taken}) AS taken USING (uri)" if taken else ""
    semi_join = f" SEMI JOIN ({only}) AS chosen USING (uri)" if only else ""
    timestamp = TIMESTAMP.format("raw_timestamp")
    with closing(Scan(connection, source, since)) as scan, _in_our_words(source, scan):
        connection.execute(
            "CREATE TABLE staged AS SELECT uri, coalesce(text, '') AS text, "
            f"{timestamp} AS preprocessing_timestamp FROM ({scan.relation()})"
            + (semi_join or anti_join)
        ).fetchall()
        rows, before = scan.count(), scan.count_before()
    outside = 0
    if only:  # taken out afterwards, to tell how many of the chosen ones are
        outside = rows - _number(connection, "SELECT count(*) FROM staged")
        if taken:
            connection.execute(f"DELETE FROM staged WHERE uri IN ({taken})")
    _refuse_bad_rows(connection, source, semi_join + anti_join)
    staged = _number(connection, "SELECT count(*) FROM staged")
    older = _drop_older(connection, since) if since else 0
    with _in_our_words(source):
        duplicates = _drop_duplicates(connection)
    posts = staged - older - duplicates
    chosen = posts if limit is None else min(posts, limit)
    return BacklogCounts(
        rows=rows,
        duplicates=duplicates,
        taken=rows - outside - staged,
        older=older,
        left_out=posts - chosen,
        posts=chosen,
        before=before,
        outside=outside,
    )


def oldest_first(
    connection: duckdb.DuckDBPyConnection, counts: BacklogCounts, rows: int
) -> pa.RecordBatchReader:
    """The staged posts by (preprocessing_timestamp, uri), in batches of at most `rows`."""
    return connection.sql(
        "SELECT uri, text, preprocessing_timestamp FROM staged "
        f"ORDER BY preprocessing_timestamp, uri LIMIT {counts.posts}"
    ).to_arrow_reader(rows)


def _drop_older(connection: duckdb.DuckDBPyConnection, since: datetime) -> int:
    """The watermark's own second stays: other posts of it may not have been there then."""
    deleted = connection.execute("DELETE FROM staged WHERE preprocessing_timestamp < ?", [since])
    return int(deleted.fetchall()[0][0])


def _drop_duplicates(connection: duckdb.DuckDBPyConnection) -> int:
    """Keeps the oldest copy of each uri (ties: the smaller text), wherever it stands in the source.

    Only the copies go through a window function; over all rows it costs twice the plan.
    """
    deleted = connection.execute(
        "DELETE FROM staged WHERE rowid IN (SELECT id FROM (SELECT staged.rowid AS id, "
        "row_number() OVER (PARTITION BY uri ORDER BY preprocessing_timestamp, text, staged.rowid)"
        " AS copy FROM staged SEMI JOIN (SELECT uri FROM staged GROUP BY uri HAVING count(*) > 1)"
        " USING (uri)) WHERE copy > 1)"
    ).fetchall()
    return int(deleted[0][0])


_BAD = "(uri IS NULL OR uri = '' OR preprocessing_timestamp IS NULL)"


def _refuse_bad_rows(connection: duckdb.DuckDBPyConnection, source: Source, joins: str) -> None:
    bad = _number(connection, f"SELECT count(*) FROM staged WHERE {_BAD}")
    if not bad:
        return
    names = source.backlog.columns
    more = f" (and {counted(bad - 1, 'more row')} like it)" if bad > 1 else ""
    for path in source.files:
        found = _first_bad_row(connection, source, path, joins)
        if found is None:
            continue
        row, uri, raw = found
        if not uri:
            raise InputError(
                f"{path}, row {row}: column {names.uri!r} is null or empty{more}; "
                "every post needs a uri"
            )
        raise InputError(
            f"{path}, row {row}: column {names.preprocessing_timestamp!r} is {raw!r}, which is "
            f"no timestamp like 2024-05-31-13:00:00 or ISO 8601 (uri {uri}){more}"
        )
    raise InputError(
        f"{source} changed while it was read: {counted(bad, 'row')} had no uri or timestamp"
    )


def _first_bad_row(
    connection: duckdb.DuckDBPyConnection, source: Source, path: Path, joins: str
) -> tuple[int, str | None, str | None] | None:
    """Row number (from 1, of the rows that `where` keeps), uri and raw timestamp."""
    timestamp = TIMESTAMP.format("raw_timestamp")
    with closing(Scan(connection, source)) as scan, _in_our_words(source, scan):
        rows = connection.execute(
            "SELECT row, uri, raw_timestamp FROM (SELECT row_number() OVER () AS row, uri, "
            f"raw_timestamp, {timestamp} AS preprocessing_timestamp "
            f"FROM ({scan.relation((path,))})){joins} WHERE {_BAD} ORDER BY row LIMIT 1"
        ).fetchall()
    return (int(rows[0][0]), rows[0][1], rows[0][2]) if rows else None


def _number(connection: duckdb.DuckDBPyConnection, query: str) -> int:
    return int(connection.execute(query).fetchall()[0][0])


@contextmanager
def _in_our_words(source: Source, scan: Scan | None = None) -> Iterator[None]:
    """A full disk or memory is no fault of the source; anything else names it."""
    try:
        yield
    except duckdb.Error as error:
        if isinstance(error, duckdb.OutOfMemoryException) or "No space left" in str(error):
            raise OSError(28, f"No space left for planning: {error}") from None
        failure = scan.failure if scan else None
        raise failure or InputError(f"backlog.source: {source}: {error}") from None
