"""Compute a name's watermark: the time up to which every planned post has its row.

A gathered shard that ends after the first post of a shard that is not gathered counts up to its own
first post, if that is before. Such shards are common: the posts of one text are in one shard,
whenever they were written. A run that chose its posts, by another name's labels or as a sample,
left out the posts between them: its shards can hold the watermark back, and never advance it.

A post with a timestamp from the future says nothing about the posts that arrive before that time.
A shard that ends later than its run was created, or later than now, counts up to its first post
only, or not at all. Both times are needed: a run's clock may have been ahead as well.
"""

from datetime import datetime

import duckdb

# The columns of `runs` that say how a run chose its posts.
_CHOOSING = ("only_labelled_by", "sample")
# Also right where the session's time zone is not UTC, and without DuckDB's extension icu.
_NOW = "make_timestamp(epoch_us(now()))"


def watermarks_query(
    *,
    chosen_by: str = f"coalesce({', '.join(_CHOOSING)})",
    first_waiting: str = "NULL::TIMESTAMP",
    now: str = _NOW,
) -> str:
    """Return SQL that yields `name` and `watermark` (UTC) of every name that has one.

    Args:
        chosen_by: an expression, not NULL for runs that chose their posts.
        first_waiting: an expression, the first post of shards that the database does not know of.
        now: an expression, the time (UTC).
    """
    return f"""
    WITH named AS (
        SELECT name, {chosen_by} IS NULL AS took_every_post, least(created_at, {now}) AS credible,
            shards.*
        FROM shards JOIN runs USING (run_id)),
    names AS (
        SELECT name, least(
            min(min_preprocessing_timestamp) FILTER (gathered_at IS NULL), {first_waiting}
        ) AS first_missing
        FROM named GROUP BY name),
    ends AS (
        SELECT *, max_preprocessing_timestamp AS reaches FROM named
        UNION ALL SELECT *, min_preprocessing_timestamp AS reaches FROM named)
    SELECT name, max(reaches) AS watermark
    FROM ends JOIN names USING (name)
    WHERE gathered_at IS NOT NULL AND took_every_post AND reaches <= credible
      AND (first_missing IS NULL OR reaches < first_missing)
    GROUP BY name"""


def read_watermark(
    connection: duckdb.DuckDBPyConnection,
    name: str,
    first_waiting: datetime | None,
    now: datetime | None = None,
) -> datetime | None:
    """Return a name's watermark in UTC, or None where it has none yet.

    Args:
        connection: the database, which an older version of this program may have written.
        name: whose watermark.
        first_waiting: the first post (UTC) of shards that the database may not know of.
        now: the time (UTC); by default, that of the clock.
    """
    columns = connection.execute(
        "SELECT column_name FROM duckdb_columns() "
        "WHERE database_name = current_database() AND table_name = 'runs'"
    ).fetchall()
    if not columns:
        return None
    # A database without one of these columns has no run that chose its posts in that way.
    known = [column for column in _CHOOSING if (column,) in columns]
    query = watermarks_query(
        chosen_by=f"coalesce({', '.join([*known, 'NULL'])})",
        first_waiting="$first_waiting::TIMESTAMP",
        now=f"coalesce($now::TIMESTAMP, {_NOW})",
    )
    rows = connection.execute(
        f"SELECT watermark FROM ({query}) WHERE name = $name",
        {"name": name, "first_waiting": first_waiting, "now": now},
    ).fetchall()
    return rows[0][0] if rows else None
