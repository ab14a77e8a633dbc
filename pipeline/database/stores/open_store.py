"""Open the place where a name's labels are, for writing."""

from pathlib import Path

import duckdb

from pipeline.config.sections import PARQUET
from pipeline.database.label_tables import has_labels
from pipeline.database.stores.duckdb_table import DuckDBTable
from pipeline.database.stores.label_store import LabelStore
from pipeline.database.stores.layouts import current_catalog, parquet_names
from pipeline.database.stores.parquet_folder import ParquetFolder


def open_store(
    connection: duckdb.DuckDBPyConnection, database: Path, name: str, layout: str
) -> LabelStore:
    """Return the place of a name's labels.

    Args:
        connection: the database, open for writing.
        database: its path.
        name: of the labels.
        layout: what to create if the name has no labels yet. One that has some keeps its layout.
    """
    if has_labels(connection, name):
        is_parquet = name in parquet_names(connection, current_catalog(connection))
    else:
        is_parquet = layout == PARQUET
    return (
        ParquetFolder(connection, database, name) if is_parquet else DuckDBTable(connection, name)
    )
