"""Attach a DuckDB file for reading, and find the table of the posts in it."""

from dataclasses import dataclass
from pathlib import Path

import duckdb

from pipeline.backlog.catalog import choose_table
from pipeline.backlog.sources import Source
from pipeline.errors import InputError
from pipeline.sql import literal, quoted


@dataclass(frozen=True, kw_only=True, slots=True)
class AttachedTable:
    """One table of an attached database."""

    sql: str
    """Its name as SQL, with the database it is in."""
    name: str
    """Its name as a person reads it."""


def attach_table(
    connection: duckdb.DuckDBPyConnection, source: Source, path: Path, alias: str
) -> AttachedTable:
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
        "SELECT table_name FROM information_schema.tables WHERE table_catalog = ?", [alias]
    ).fetchall()
    table = choose_table(source, path, tuple(row[0] for row in rows))
    return AttachedTable(sql=f"{alias}.{quoted(table)}", name=table)
