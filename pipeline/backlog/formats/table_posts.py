"""Read the posts of a table in a DuckDB database."""

import duckdb
from msgspec import structs

from pipeline.backlog.catalog import resolve_columns
from pipeline.backlog.clean_copies.marks import register_decoder
from pipeline.backlog.formats.doubtful_values import reject_doubtful_values
from pipeline.backlog.formats.file_table import Reading, describe_types
from pipeline.backlog.formats.missing_keys import reject_missing_keys
from pipeline.backlog.formats.post_columns import post_columns
from pipeline.backlog.formats.where_condition import check_where
from pipeline.config.sections import Backlog


def read_table(
    connection: duckdb.DuckDBPyConnection, table: str, place: str, backlog: Backlog
) -> Reading:
    """Return how the posts of a table are read.

    Args:
        connection: where the posts are read.
        table: the table, as SQL.
        place: the file and the table, for messages.
        backlog: which columns to read, and which rows.

    Raises:
        InputError: a column is missing, or cannot be what it is configured as.
    """
    types = describe_types(connection, table, place)
    backlog = structs.replace(backlog, columns=resolve_columns(backlog.columns, types))
    reading = Reading(
        place=place,
        table=table,
        types=types,
        columns=post_columns(types, backlog.columns, place, record_format=backlog.record_format),
        conditions=(backlog.where,) if backlog.where else (),
    )
    if backlog.where:
        check_where(
            connection, backlog.where, {name: str(kind) for name, kind in types.items()}, place
        )
    if any(kind.id == "blob" for kind in types.values()):
        register_decoder(connection)
    reject_missing_keys(connection, [reading], backlog)
    reject_doubtful_values(connection, reading, backlog)
    return reading
