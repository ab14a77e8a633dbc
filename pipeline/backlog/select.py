"""Select the posts that a run takes: unlabeled ones, oldest first, each uri once.

DuckDB does the work, within a login node's share of memory. The source is read once, into a
staging database beside the run. A SQLite table may grow while it is read, and a second pass would
see another backlog.
"""

import json
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path

import duckdb
import msgspec
import pyarrow as pa
from msgspec.structs import replace

from pipeline.backlog.records.reject_records import advice_for_time, reject_records
from pipeline.backlog.scan import Scan, with_times
from pipeline.backlog.sources import Source
from pipeline.backlog.times.leave_out import condition_without_bad_times
from pipeline.config.session_limits import LOGIN_NODE, SessionLimits
from pipeline.errors import InputError
from pipeline.messages.options import OVERRIDES
from pipeline.sql import configure_session, fetch_number, raise_lack_of_space, spill_folder
from pipeline.terminal import one_line
from pipeline.text import counted

# No post was preprocessed before this year. Such times are placeholders: year 1, 1900, 1970.
FIRST_CREDIBLE_YEAR = 1990


class OddTimes(msgspec.Struct, frozen=True, kw_only=True):
    """Posts whose timestamps cannot be right."""

    posts: int
    uri: str
    """One of them, the one that is furthest off."""
    moment: datetime
    """Its timestamp (UTC)."""


class BacklogCounts(msgspec.Struct, frozen=True, kw_only=True):
    """What became of the rows that were read.

    `rows == posts + duplicates + excluded + older + over_limit + not_chosen + not_drawn`.
    """

    rows: int
    """The rows that were read: those since the watermark, if the source left out others."""
    duplicates: int
    """Further copies of a uri, among the rows of the other posts."""
    excluded: int
    """Rows of posts that have a label, or are in an unfinished run; each copy is a row."""
    older: int = 0
    """Unlabeled posts from before the watermark, among the rows that were read."""
    over_limit: int
    """Posts beyond the limit."""
    posts: int
    """The posts to label."""
    unread: int = 0
    """Rows from before the watermark that were not even read, because there are so many."""
    not_chosen: int = 0
    """Rows of posts that are not among those to choose from."""
    not_drawn: int = 0
    """Posts that a sample was drawn from, and that are not in it."""


@contextmanager
def session(
    folder: Path, limits: SessionLimits = LOGIN_NODE
) -> Iterator[duckdb.DuckDBPyConnection]:
    """Yield a session without a database of its own, which spills to that of `limits`, or here."""
    with spill_folder(limits, folder) as place, closing(duckdb.connect()) as connection:
        configure_session(connection, limits, temp_directory=place / "session_spill")
        yield connection


@contextmanager
def staging(
    folder: Path, limits: SessionLimits = LOGIN_NODE
) -> Iterator[duckdb.DuckDBPyConnection]:
    """Yield a DuckDB database that spills beside itself instead of filling the memory.

    It is in the folder of `limits`, and in this one if a person chose none.
    """
    with (
        spill_folder(limits, folder) as place,
        closing(duckdb.connect(str(place / "staging.duckdb"))) as connection,
    ):
        configure_session(connection, limits, temp_directory=place / "spill")
        # The file lives for seconds. To find the best compression takes half of planning's time
        # [measured: 2.4 s of 6.0 s of CPU for 2 million posts, and 1.0 s without].
        connection.execute("SET force_compression = 'uncompressed'")
        yield connection


def stage_posts(
    connection: duckdb.DuckDBPyConnection,
    source: Source,
    *,
    exclude: str | None,
    since: datetime | None = None,
    limit: int | None = None,
    choose_from: str | None = None,
) -> BacklogCounts:
    """Create table `staged` with the posts to label, and count what became of the others.

    Args:
        connection: a staging database.
        source: the backlog.
        exclude: SQL that yields the uris to leave out.
        since: leave out older posts (UTC); None takes the whole backlog.
        limit: count at most this many posts; `oldest_first` yields them.
        choose_from: SQL that yields the uris to choose from; None chooses from all.

    Raises:
        InputError: a uri is null or a timestamp cannot be read; the message has source, row and
            value.
        OSError: the disk is full.
    """
    anti_join = f" ANTI JOIN ({exclude}) AS excluded USING (uri)" if exclude else ""
    semi_join = f" SEMI JOIN ({choose_from}) AS chosen USING (uri)" if choose_from else ""
    with closing(Scan(connection, source, since)) as scan, _readable_errors(source, scan):
        scan.read(
            lambda relation: (
                "CREATE TABLE staged AS SELECT uri, coalesce(text, '') AS text, "
                "preprocessing_timestamp, reason FROM "
                # The times of posts that are left out need not be parsed.
                f"({with_times(f'FROM ({relation}){semi_join or anti_join}')})"
            )
        )
        rows, unread = scan.count(), scan.unread
    not_chosen = 0
    if choose_from:  # excluded afterwards, to tell how many of the chosen ones are
        not_chosen = rows - fetch_number(connection, "SELECT count(*) FROM staged")
        if exclude:
            connection.execute(f"DELETE FROM staged WHERE uri IN ({exclude})")
    reject_records(connection, source)
    _reject_bad_rows(connection, source, semi_join + anti_join)
    staged = fetch_number(connection, "SELECT count(*) FROM staged")
    with _readable_errors(source):
        older = _drop_older(connection, since) if since else 0
        _drop_duplicates(connection)
    unlabeled = fetch_number(connection, "SELECT count(*) FROM staged")
    posts = unlabeled if limit is None else min(unlabeled, limit)
    return BacklogCounts(
        rows=rows,
        duplicates=staged - older - unlabeled,
        excluded=rows - not_chosen - staged,
        older=older,
        over_limit=unlabeled - posts,
        posts=posts,
        unread=unread,
        not_chosen=not_chosen,
    )


def keep_drawn(
    connection: duckdb.DuckDBPyConnection, counts: BacklogCounts, drawn: str, exclude: str | None
) -> BacklogCounts:
    """Keep those of the staged posts that were drawn and have no label yet; count the others.

    Args:
        connection: has the posts that the sample was drawn from in table `staged`.
        counts: of these posts, without a limit.
        drawn: SQL that yields the uris of the sample.
        exclude: SQL that yields the uris to leave out; None if there are none.
    """
    connection.execute(
        f"CREATE OR REPLACE TABLE staged AS FROM staged SEMI JOIN ({drawn}) AS drawn USING (uri)"
    )
    sample = fetch_number(connection, "SELECT count(*) FROM staged")
    if exclude:
        connection.execute(f"DELETE FROM staged WHERE uri IN ({exclude})")
    posts = fetch_number(connection, "SELECT count(*) FROM staged")
    return replace(
        counts,
        posts=posts,
        excluded=counts.excluded + sample - posts,
        not_drawn=counts.posts - sample,
    )


def oldest_first(
    connection: duckdb.DuckDBPyConnection, counts: BacklogCounts, rows: int
) -> pa.RecordBatchReader:
    """Return the staged posts in SHARD_SCHEMA, by (preprocessing_timestamp, uri).

    A batch holds at most `rows` posts.
    """
    return connection.sql(
        "SELECT uri, text, preprocessing_timestamp, reason FROM staged "
        f"ORDER BY preprocessing_timestamp, uri LIMIT {counts.posts}"
    ).to_arrow_reader(rows)


def posts_to_label(counts: BacklogCounts) -> str:
    """Return SQL for the relation of the staged posts that are within the limit."""
    if not counts.over_limit:
        return "staged"
    return f"(FROM staged ORDER BY preprocessing_timestamp, uri LIMIT {counts.posts})"


def _drop_older(connection: duckdb.DuckDBPyConnection, since: datetime) -> int:
    """Return how many posts are from before the watermark, and drop their rows.

    The watermark's own second stays: not all of its posts may have been there then. A post that
    has a copy since then is not left out.
    """
    older = fetch_number(
        connection,
        "SELECT count(*) FROM (SELECT uri FROM staged GROUP BY uri "
        "HAVING max(preprocessing_timestamp) < ?)",
        [since],
    )
    connection.execute("DELETE FROM staged WHERE preprocessing_timestamp < ?", [since])
    return older


def _drop_duplicates(connection: duckdb.DuckDBPyConnection) -> None:
    """Keep the oldest copy of each uri (in a tie the smaller text), wherever it is in the source.

    A copy with a text that can be read comes before one without.
    Only the copies go through a window function; over all rows it would double the time. Hashes
    show in half the time of a grouping by uri that there are none.
    """
    if fetch_number(connection, "SELECT count(*) = count(DISTINCT hash(uri)) FROM staged"):
        return
    connection.execute(
        "DELETE FROM staged WHERE rowid IN (SELECT id FROM (SELECT staged.rowid AS id, "
        "row_number() OVER (PARTITION BY uri ORDER BY reason IS NOT NULL, preprocessing_timestamp, "
        "text, reason, staged.rowid) AS copy FROM staged SEMI JOIN "
        "(SELECT uri FROM staged GROUP BY uri HAVING count(*) > 1) USING (uri)) WHERE copy > 1)"
    )


def find_future(connection: duckdb.DuckDBPyConnection, now: datetime) -> OddTimes | None:
    """Describe the staged posts with a timestamp later than now (UTC); None if there are none."""
    return _odd_times(connection, "> ?", now, "DESC")


def find_ancient(connection: duckdb.DuckDBPyConnection) -> OddTimes | None:
    """Describe the staged posts from before FIRST_CREDIBLE_YEAR; None if there are none."""
    return _odd_times(connection, "< ?", datetime(FIRST_CREDIBLE_YEAR, 1, 1), "ASC")


def _odd_times(
    connection: duckdb.DuckDBPyConnection, condition: str, moment: datetime, order: str
) -> OddTimes | None:
    rows = connection.execute(
        "SELECT count(*) OVER (), uri, preprocessing_timestamp FROM staged "
        f"WHERE preprocessing_timestamp {condition} "
        f"ORDER BY preprocessing_timestamp {order}, uri LIMIT 1",
        [moment],
    ).fetchall()
    return OddTimes(posts=rows[0][0], uri=rows[0][1], moment=rows[0][2]) if rows else None


_BAD = "(uri IS NULL OR uri = '' OR preprocessing_timestamp IS NULL)"


def _reject_bad_rows(connection: duckdb.DuckDBPyConnection, source: Source, joins: str) -> None:
    bad = fetch_number(connection, f"SELECT count(*) FROM staged WHERE {_BAD}")
    if not bad:
        return
    names = source.backlog.columns
    more = f" (and {counted(bad - 1, 'more row')} like it)" if bad > 1 else ""
    bad_row = _first_bad_row(connection, source, joins)
    if bad_row:
        place, uri, raw_timestamp = bad_row
        if not uri:
            raise InputError(
                f"{place}: column {names.uri!r} is null or empty{more}; every post needs a uri"
            )
        problem = (
            f"{one_line(repr(raw_timestamp))}, which is not a timestamp such as "
            "2024-05-31-13:00:00 or ISO 8601"
            if raw_timestamp is not None
            else "NULL, and every post needs a time"
        )
        advice = advice_for_time(raw_timestamp or "", source)
        if not advice:
            with _readable_errors(source):
                advice = _advice_to_leave_out(
                    condition_without_bad_times(connection, source, joins)
                )
        raise InputError(
            f"{place}: column {names.preprocessing_timestamp!r} is {problem} "
            f"(uri {one_line(uri)}){more}{advice}"
        )
    raise InputError(
        f"{source} changed while it was read: {counted(bad, 'row')} had no uri or timestamp"
    )


def _advice_to_leave_out(condition: str) -> str:
    """Return how to leave out rows, as the key is written in YAML; '' without a condition."""
    if not condition:
        return "; correct it, or leave such rows out by backlog.where"
    where = OVERRIDES.to_paste(f"backlog.where={json.dumps(condition, ensure_ascii=False)}")
    return f"; to leave such rows out, set backlog.where in the configuration, or add {where}"


def _first_bad_row(
    connection: duckdb.DuckDBPyConnection, source: Source, joins: str
) -> tuple[str, str | None, str | None] | None:
    """Return file and row, uri and raw timestamp; None if no row is bad."""
    with closing(Scan(connection, source)) as scan, _readable_errors(source, scan):
        for path in source.files:
            rows = scan.read(
                lambda relation: (
                    "SELECT row, uri, raw_timestamp FROM (SELECT row_number() OVER () AS row, * "
                    f"FROM ({with_times(relation)})){joins} WHERE {_BAD} ORDER BY row LIMIT 1"
                ),
                (path,),
            )
            if rows:
                row, uri, raw_timestamp = rows[0]
                return (f"{path}, {scan.describe_row(int(row))}", uri, raw_timestamp)
    return None


@contextmanager
def _readable_errors(source: Source, scan: Scan | None = None) -> Iterator[None]:
    """Turn DuckDB's errors into OSError for a full disk or memory, or else into InputError."""
    try:
        yield
    except duckdb.Error as error:
        raise_lack_of_space(error, "planning")
        failure = scan.failure if scan else None
        raise failure or InputError(f"backlog.source: {source}: {error}") from None
