"""List the tables of a DuckDB database, or the columns of Parquet files, with samples."""

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import duckdb
from duckdb.sqltypes import DuckDBPyType

from hpc.initialize.source.facts import TableFacts
from hpc.initialize.source.sample_values import describe_columns, rows_to_sample
from pipeline.backlog.databases.duckdb_tables import attach_tables
from pipeline.backlog.decompress import needs_unpacking
from pipeline.backlog.file_formats import SourceFile
from pipeline.backlog.formats.file_table import describe_types, first_line
from pipeline.errors import InputError
from pipeline.sql import configure_session, fetch_number, file_list, literal, parquet_rows, quoted

_ALIAS = "inspected"
_LONGEST_TEXT = 4000
# The rows of more files are estimated from this many.
_MOST_FILES_COUNTED = 100
_READ_WHOLE = ("struct", "date", "timestamp", "timestamp with time zone", "boolean")


def inspect_duckdb(path: Path) -> tuple[TableFacts, ...]:
    """Return the tables and views of a database, by name.

    A view is neither counted nor sampled, because a query of any cost may be behind it.

    Raises:
        BusyError: another process has the file open for writing.
        InputError: the file cannot be opened.
    """
    with closing(duckdb.connect()) as connection:
        configure_session(connection)
        tables = sorted(attach_tables(connection, path, _ALIAS), key=str)
        views = {
            (schema, name)
            for schema, name in connection.execute(
                "SELECT schema_name, view_name FROM duckdb_views() WHERE database_name = $1",
                [_ALIAS],
            ).fetchall()
        }
        return tuple(
            _inspect(
                connection,
                f"{_ALIAS}.{table.sql}",
                name=str(table),
                place=f"{path}, table {table}",
                is_sampled=(table.schema, table.name) not in views,
            )
            for table in tables
        )


def inspect_parquet(files: Sequence[SourceFile]) -> TableFacts:
    """Return the columns of Parquet files, by a sample of the first one, and about their rows."""
    first = files[0]
    if needs_unpacking(first):
        return TableFacts(name=None, problem=f"{first.path} is compressed as a whole")
    with closing(duckdb.connect()) as connection:
        configure_session(connection)
        facts = _inspect(
            connection,
            parquet_rows([first.path]),
            name=None,
            place=str(first.path),
            is_sampled=True,
        )
        if facts.problem:
            return facts
        rows, is_estimate = _count_parquet(connection, [file.path for file in files])
    return TableFacts(name=None, columns=facts.columns, rows=rows, is_estimate=is_estimate)


def _count_parquet(
    connection: duckdb.DuckDBPyConnection, paths: Sequence[Path]
) -> tuple[int | None, bool]:
    """Return how many rows the footers of files declare; of many files, an estimate by size."""
    some = paths[:: max(1, len(paths) // _MOST_FILES_COUNTED)][:_MOST_FILES_COUNTED]
    try:
        rows = fetch_number(
            connection, f"SELECT sum(num_rows) FROM parquet_file_metadata({file_list(some)})"
        )
    except duckdb.Error:
        return None, False
    if len(some) == len(paths):
        return rows, False
    size, all_size = (sum(path.stat().st_size for path in each) for each in (some, paths))
    return round(rows * all_size / max(1, size)), True


def _inspect(
    connection: duckdb.DuckDBPyConnection,
    relation: str,
    *,
    name: str | None,
    place: str,
    is_sampled: bool,
) -> TableFacts:
    try:
        types = describe_types(connection, relation, place)
        rows: list[tuple[object, ...]] = []
        count: int | None = None
        if is_sampled:
            values = ", ".join(_expression(column, kind) for column, kind in types.items())
            limit = rows_to_sample(len(types))
            rows = connection.execute(f"SELECT {values} FROM {relation} LIMIT {limit}").fetchall()
            count = fetch_number(connection, f"SELECT count(*) FROM {relation}")
    except InputError as error:
        return TableFacts(name=name, problem=str(error))
    except duckdb.Error as error:
        return TableFacts(name=name, problem=f"{place} cannot be read: {first_line(error)}")
    declared = {column: str(kind) for column, kind in types.items()}
    return TableFacts(name=name, columns=describe_columns(declared, rows), rows=count)


def _expression(column: str, kind: DuckDBPyType) -> str:
    """Return SQL for a value that Python can hold, whatever the type, and however long it is."""
    name = quoted(column)
    if kind.id == "varchar":
        return f"left({name}, {_LONGEST_TEXT})"
    if kind.id in ("blob", "list", "map", "array", "union", "variant"):
        return f"CASE WHEN {name} IS NOT NULL THEN {literal('[')} END"
    if kind.id in _READ_WHOLE or str(kind).startswith(("TIMESTAMP", "DATE")):
        return name
    is_number = kind.id in ("float", "double") or str(kind).endswith(("INT", "INTEGER"))
    return name if is_number else f"CAST({name} AS VARCHAR)"
