"""Count the posts of runs that have no published result yet, by their own time.

A run labels the oldest posts first, and posts with the same text together. So a day whose posts are
not all labeled may hold nothing but copies of earlier answers, and its shares are no estimate.
"""

from collections.abc import Sequence
from datetime import date, datetime

import duckdb

from hpc.html_report.facts import Period
from hpc.html_report.observe.labels_view import IS_EARLY, is_later, post_time
from hpc.run.model.run import Run
from hpc.run.outputs import verify_outputs
from pipeline.run_files.manifest import shard_path
from pipeline.sql import parquet_rows


def inputs_without_output(runs: Sequence[Run]) -> list[str]:
    """Return the files of the shards whose output is not published, without those that are gone."""
    paths = (
        shard_path(run.folder, shard.index)
        for run in runs
        for shard, check in zip(run.manifest.shards, verify_outputs(run), strict=True)
        if not check.verified
    )
    return [str(path) for path in paths if path.is_file()]


def missing_span(
    connection: duckdb.DuckDBPyConnection, inputs: Sequence[str], until: datetime
) -> tuple[date | None, date | None]:
    """Return the times of the first and the last of these posts up to `until`; None for none."""
    if not inputs:
        return None, None
    first, last = connection.execute(
        f"SELECT min(moment), max(moment) FROM {_posts(inputs, until)}"
    ).fetchall()[0]
    return first, last


def count_missing(
    connection: duckdb.DuckDBPyConnection, inputs: Sequence[str], period: Period, until: datetime
) -> dict[date, int]:
    """Return how many of these posts are of each period, by its first day."""
    if not inputs:
        return {}
    return dict(
        connection.execute(
            f"SELECT date_trunc('{period}', moment)::DATE, count(*) FROM {_posts(inputs, until)} "
            "WHERE moment IS NOT NULL GROUP BY 1"
        ).fetchall()
    )


def count_odd_times(
    connection: duckdb.DuckDBPyConnection, inputs: Sequence[str], until: datetime
) -> tuple[int, int]:
    """Return how many of these posts have a timestamp later than `until`, and too early."""
    if not inputs:
        return 0, 0
    later, early = connection.execute(
        f"SELECT count(*) FILTER ({is_later(until)}), count(*) FILTER ({IS_EARLY}) "
        f"FROM {parquet_rows(inputs)}"
    ).fetchall()[0]
    return later, early


def _posts(inputs: Sequence[str], until: datetime) -> str:
    return f"(SELECT {post_time(until)} AS moment FROM {parquet_rows(inputs)})"
