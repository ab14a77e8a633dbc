"""Compute a name's watermark: the time up to which every planned post has its row.

A gathered shard that begins before, or ends after, the first post of a shard that is not gathered
does not count. A run that chose its posts by another name's labels left out the posts between
them: its shards can hold the watermark back, and never advance it.
"""

from datetime import datetime

import duckdb


def watermarks_query(
    *, chosen_by: str = "only_labelled_by", first_waiting: str = "NULL::TIMESTAMP"
) -> str:
    """Return SQL that yields `name` and `watermark` (UTC) of every name that has one.

    Args:
        chosen_by: an expression, not NULL for runs that chose their posts by another name's labels.
        first_waiting: an expression, the first post of shards that the database does not know of.
    """
    return f"""
    WITH named AS (
        SELECT name, {chosen_by} IS NULL AS took_every_post, shards.*
        FROM shards JOIN runs USING (run_id)),
    names AS (
        SELECT name, least(
            min(min_preprocessing_timestamp) FILTER (gathered_at IS NULL), {first_waiting}
        ) AS first_missing
        FROM named GROUP BY name)
    SELECT name, max(max_preprocessing_timestamp) AS watermark
    FROM named JOIN names USING (name)
    WHERE gathered_at IS NOT NULL AND took_every_post
      AND (first_missing IS NULL OR max_preprocessing_timestamp < first_missing)
    GROUP BY name"""


def read_watermark(
    connection: duckdb.DuckDBPyConnection, name: str, first_waiting: datetime | None
) -> datetime | None:
    """Return a name's watermark in UTC, or None where it has none yet.

    Args:
        connection: the database, which an older version of this program may have written.
        name: whose watermark.
        first_waiting: the first post (UTC) of shards that the database may not know of.
    """
    columns = connection.execute(
        "SELECT column_name FROM duckdb_columns() "
        "WHERE database_name = current_database() AND table_name = 'runs'"
    ).fetchall()
    if not columns:
        return None
    # A database without this column has no run that chose its posts by another name's labels.
    chosen_by = "only_labelled_by" if ("only_labelled_by",) in columns else "NULL"
    query = watermarks_query(chosen_by=chosen_by, first_waiting="$first_waiting::TIMESTAMP")
    rows = connection.execute(
        f"SELECT watermark FROM ({query}) WHERE name = $name",
        {"name": name, "first_waiting": first_waiting},
    ).fetchall()
    return rows[0][0] if rows else None
