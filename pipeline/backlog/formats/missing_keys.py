"""Reject files and tables in which no row has a value that the configuration names."""

from collections.abc import Sequence

import duckdb

from pipeline.backlog.catalog import missing_column
from pipeline.backlog.formats.file_table import Reading, rows_exist
from pipeline.config.sections import Backlog


def reject_missing_keys(
    connection: duckdb.DuckDBPyConnection, readings: Sequence[Reading], backlog: Backlog
) -> None:
    """Raise InputError for a file or table of which no row has the keys inside a text of JSON.

    Args:
        connection: where the posts are read.
        readings: how they are read, each file by itself.
        backlog: the names of the columns.
    """
    for reading in readings:
        values = reading.columns.values().values()
        for name, value in zip(backlog.columns.values(), values, strict=True):
            if (
                value.exists
                and rows_exist(connection, reading.table, ())
                and not rows_exist(connection, reading.table, (value.exists,))
            ):
                raise missing_column(reading.place, name, tuple(reading.types))
