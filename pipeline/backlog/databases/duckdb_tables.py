"""Attach a DuckDB file for reading, and find the table of the posts in it."""

from pathlib import Path

import duckdb

from pipeline.backlog.catalog import CatalogTable, choose_table
from pipeline.backlog.sources import Source
from pipeline.errors import InputError
from pipeline.sql import literal

DEFAULT_SCHEMA = "main"


def attach_table(
    connection: duckdb.DuckDBPyConnection, source: Source, path: Path, alias: str
) -> CatalogTable:
    """Attach a database as `alias`, and return the table of the posts in it.

    The caller detaches `alias`, also after an error.

    Raises:
        InputError: the file cannot be opened, or it is not clear which table to read.
    """
    try:
        connection.execute(f"ATTACH {literal(str(path))} AS {alias} (READ_ONLY)")
    except duckdb.Error as error:
        raise InputError(f"backlog.source: {path} cannot be opened: {error}") from None
    rows = connection.execute(
        "SELECT schema_name, table_name FROM duckdb_tables() "
        "WHERE database_name = $1 AND NOT internal AND NOT temporary UNION ALL "
        "SELECT schema_name, view_name FROM duckdb_views() "
        "WHERE database_name = $1 AND NOT internal AND NOT temporary",
        [alias],
    ).fetchall()
    tables = [
        CatalogTable(schema=schema, name=name, in_default_schema=schema == DEFAULT_SCHEMA)
        for schema, name in rows
    ]
    return choose_table(source, path, tables)
