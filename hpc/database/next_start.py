"""Find the time from which the next run of a name takes posts."""

from collections.abc import Container, Mapping
from datetime import datetime

import duckdb

from hpc.run.model.run import Run
from pipeline.database import history
from pipeline.database.watermark import read_watermark


def read_start(
    labels: duckdb.DuckDBPyConnection, name: str, runs: list[Run], now: datetime | None = None
) -> datetime | None:
    """Return the time (UTC) from which the next run of a name takes posts.

    None: from the beginning.

    Args:
        labels: the labels' database.
        name: of the labels.
        runs: the runs of the name. The database may not know all of them yet, and its own watermark
            would then be too late.
        now: the time (UTC); by default, that of the clock.
    """
    return start_after(labels, name, runs, gathered_shards(labels, runs), now)


def start_after(
    labels: duckdb.DuckDBPyConnection,
    name: str,
    runs: list[Run],
    gathered: Mapping[str, Container[int]],
    now: datetime | None = None,
) -> datetime | None:
    """Return what `read_start` does, for a caller that knows the gathered shards by run id."""
    return read_watermark(labels, name, _oldest_missing(runs, gathered), now)


def gathered_shards(labels: duckdb.DuckDBPyConnection, runs: list[Run]) -> dict[str, set[int]]:
    """Return the gathered shards of each run, by run id."""
    return {run.run_id: set(history.gathered_shards(labels, run.run_id)) for run in runs}


def _oldest_missing(runs: list[Run], gathered: Mapping[str, Container[int]]) -> datetime | None:
    """Return the time of the oldest post in a shard that is not gathered."""
    times = (
        datetime.fromisoformat(shard.min_preprocessing_timestamp)
        for run in runs
        for shard in run.manifest.shards
        if shard.index not in gathered[run.run_id]
    )
    return min(times, default=None)
