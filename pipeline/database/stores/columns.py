"""Compare the columns of a table of labels with those of outputs. DuckDB's names ignore case."""

from collections.abc import Mapping

import duckdb
import pyarrow as pa

from pipeline.errors import RunError
from pipeline.sql import clean_up_with


def types_by_name(connection: duckdb.DuckDBPyConnection, relation: str) -> dict[str, str]:
    """Return the types of a relation's columns by name, in their order."""
    rows = connection.execute(f"DESCRIBE {relation}").fetchall()
    return {row[0]: row[1] for row in rows}


def columns_of(connection: duckdb.DuckDBPyConnection, schema: pa.Schema) -> dict[str, str]:
    """Return DuckDB's types of the columns of an Arrow schema, by name."""
    connection.register("empty", schema.empty_table())
    with clean_up_with(lambda: connection.unregister("empty")):
        return types_by_name(connection, "SELECT * FROM empty")


def find_conflict(
    present: Mapping[str, str], wanted: Mapping[str, str]
) -> tuple[str, str, str] | None:
    """Return a column that is there with another type, that type and the wanted one."""
    there = {column.lower(): kind for column, kind in present.items()}
    for column, new in wanted.items():
        old = there.get(column.lower(), new)
        if old != new:
            return column, old, new
    return None


def find_new(table: str, present: Mapping[str, str], wanted: Mapping[str, str]) -> dict[str, str]:
    """Return the columns that a table does not have yet, with their types.

    Raises:
        RunError: it has a column with another type.
    """
    if conflict := find_conflict(present, wanted):
        column, old, new = conflict
        raise RunError(
            f"table {table}: column {column} is {old}, but {new} in this run's "
            "outputs. Give the configuration another name"
        )
    there = {column.lower() for column in present}
    return {column: kind for column, kind in wanted.items() if column.lower() not in there}
