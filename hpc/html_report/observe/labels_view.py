"""Open the labels that a page is about as a view, with the weight of each post."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import duckdb
import pyarrow as pa

from pipeline.backlog.select import FIRST_CREDIBLE_YEAR
from pipeline.config.session_limits import LOGIN_NODE, SessionLimits
from pipeline.database import duckdb_file
from pipeline.database.duckdb_file import SHORT_PATIENCE
from pipeline.database.label_tables import has_labels, labels_table
from pipeline.sql import literal, quoted

VIEW = "labels_of_report"
WEIGHT = "weight of report"
"""No label column has this name: a classifier's columns have no blanks in their names."""
_SAMPLE = "sample_of_report"
IS_EARLY = f"(preprocessing_timestamp < TIMESTAMP '{FIRST_CREDIBLE_YEAR}-01-01')"
"""SQL for whether a post has a timestamp that is only a placeholder."""
POST_TIME = quoted("time of report")
"""The column of the view with the time of a post; NULL where no chart can show it."""


def post_time(until: datetime) -> str:
    """Return the time of a post in SQL; NULL where it is later than `until` (UTC), or too early."""
    return f"CASE WHEN NOT {is_later(until)} AND NOT {IS_EARLY} THEN preprocessing_timestamp END"


def is_later(until: datetime) -> str:
    """Return SQL for whether a post has a timestamp later than `until` (UTC)."""
    return f"(preprocessing_timestamp > TIMESTAMP {literal(until.isoformat(sep=' '))})"


@contextmanager
def labels_view(
    database: Path,
    name: str,
    *,
    run_id: str,
    weights: pa.Table | None,
    until: datetime,
    limits: SessionLimits = LOGIN_NODE,
) -> Iterator[duckdb.DuckDBPyConnection | None]:
    """Yield a connection with the view VIEW: the rows of a name, or of one of its runs.

    The view has all columns of the labels, POST_TIME, and WEIGHT: how many posts of the population
    a row stands for. None where there is no row.

    Args:
        database: the database; it is only read.
        name: of the labels.
        run_id: the run whose rows count; empty for all of the name.
        weights: columns `uri` and `weight` of a sample; other posts get no weight. None: every
            post counts as one.
        until: the time (UTC) up to which posts have a time in the view.
        limits: how much of the machine DuckDB may take.
    """
    if not database.exists():
        yield None
        return
    with duckdb_file.open_database(
        database, read_only=True, patience=SHORT_PATIENCE, limits=limits
    ) as connection:
        if not has_labels(connection, name):
            yield None
            return
        weight, joined = "1.0::DOUBLE", ""
        if weights is not None:
            connection.register(_SAMPLE, weights)
            weight = f"{_SAMPLE}.weight"
            joined = f" LEFT JOIN {_SAMPLE} ON {_SAMPLE}.uri = labels.uri"
        only = f" WHERE labels.run_id = {literal(run_id)}" if run_id else ""
        connection.execute(
            f"CREATE TEMP VIEW {VIEW} AS SELECT labels.*, {weight} AS {quoted(WEIGHT)}, "
            f"{post_time(until)} AS {POST_TIME} "
            f"FROM {quoted(labels_table(name))} AS labels{joined}{only}"
        )
        yield connection
