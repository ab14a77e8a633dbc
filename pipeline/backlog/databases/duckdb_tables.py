"""Attach a DuckDB file for reading, and find the table of the posts in it."""

from pathlib import Path

import duckdb

from pipeline.backlog.catalog import CatalogTable, choose_table
from pipeline.backlog.databases.duckdb_problems import explain
from pipeline.backlog.databases.lock_wait import wait_for_lock
from pipeline.backlog.sources import Source
from pipeline.sql import literal

DEFAULT_SCHEMA = "main"


def attach_table(
    connection: duckdb.DuckDBPyConnection, source: Source, path: Path, alias: str
) -> CatalogTable:
    """Attach a database as `alias`, and return the table of the posts in it.

    The caller detaches `alias`, also after an error.

    Raises:
        BusyError: another process has had the file open for writing for LOCK_WAIT_S.
        InputError: the file cannot be opened, or it is not clear which table to read.
    """
    return choose_table(source, path, attach_tables(connection, path, alias))


def attach_tables(
    connection: duckdb.DuckDBPyConnection, path: Path, alias: str
) -> list[CatalogTable]:
    """Attach a database as `alias`, and return its tables and views.

    The caller detaches `alias`, also after an error.

    Raises:
        BusyError: another process has had the file open for writing for LOCK_WAIT_S.
        InputError: the file cannot be opened.
    """

    def attach(_patience_s: float) -> None:
        try:
            connection.execute(f"ATTACH {literal(str(path))} AS {alias} (READ_ONLY)")
        except duckdb.OutOfMemoryException:
            raise
        except duckdb.Error as error:
            raise explain(path, str(error)) from None

    wait_for_lock(path, attach)
    rows = connection.execute(
        "SELECT schema_name, table_name FROM duckdb_tables() "
        "WHERE database_name = $1 AND NOT internal AND NOT temporary UNION ALL "
        "SELECT schema_name, view_name FROM duckdb_views() "
        "WHERE database_name = $1 AND NOT internal AND NOT temporary",
        [alias],
    ).fetchall()
    return [
        CatalogTable(schema=schema, name=name, in_default_schema=schema == DEFAULT_SCHEMA)
        for schema, name in rows
    ]
