"""Know which names have their labels in a folder of Parquet."""

from pathlib import Path

import duckdb

from pipeline.config.sections import PARQUET
from pipeline.sql import literal, quoted

CREATE_TABLES = """
CREATE TABLE IF NOT EXISTS label_layouts (name VARCHAR NOT NULL, layout VARCHAR NOT NULL);
CREATE TABLE IF NOT EXISTS label_parts (
    name VARCHAR NOT NULL, part INTEGER NOT NULL, run_id VARCHAR NOT NULL, file VARCHAR NOT NULL,
    row_count BIGINT NOT NULL);
"""


def parquet_names(connection: duckdb.DuckDBPyConnection, catalog: str) -> list[str]:
    """Return the names of a database whose labels are Parquet files.

    Args:
        connection: which the database is open in, or attached to.
        catalog: the database there.
    """
    if not _has_table(connection, catalog, "label_layouts"):
        return []
    rows = connection.execute(
        f"SELECT name FROM {quoted(catalog)}.label_layouts WHERE layout = {literal(PARQUET)} "
        "ORDER BY 1"
    ).fetchall()
    return [str(name) for (name,) in rows]


def folders_of(connection: duckdb.DuckDBPyConnection, catalog: str) -> list[str]:
    """Return the folders of a database's Parquet files, relative to it as well as absolute.

    Its views name the files by paths relative to it, which DuckDB looks for in the working folder
    and then in `file_search_path`.
    """
    if not _has_table(connection, catalog, "label_parts"):
        return []
    rows = connection.execute(f"SELECT DISTINCT file FROM {quoted(catalog)}.label_parts").fetchall()
    relative = sorted({Path(file).parts[0] for (file,) in rows})
    home = home_of(connection, catalog)
    return [*relative, *(str(home / folder) for folder in relative)]


def current_catalog(connection: duckdb.DuckDBPyConnection) -> str:
    """Return the database in which names without a catalog are looked up."""
    return str(connection.execute("SELECT current_database()").fetchall()[0][0])


def home_of(connection: duckdb.DuckDBPyConnection, catalog: str) -> Path:
    """Return the folder that a database lies in, which relative paths in it start from."""
    rows = connection.execute(
        "SELECT path FROM duckdb_databases() WHERE database_name = ?", [catalog]
    ).fetchall()
    return Path(rows[0][0]).resolve().parent


def _has_table(connection: duckdb.DuckDBPyConnection, catalog: str, table: str) -> bool:
    rows = connection.execute(
        "SELECT 1 FROM duckdb_tables() WHERE database_name = ? AND table_name = ?",
        [catalog, table],
    ).fetchall()
    return bool(rows)
