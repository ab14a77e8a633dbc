"""Read Parquet files: the columns are those that the files declare, merged by name."""

from collections.abc import Sequence
from itertools import groupby
from operator import itemgetter

import duckdb

from pipeline.backlog.catalog import missing_column
from pipeline.backlog.clean_copies.marks import register_decoder
from pipeline.backlog.column_path import find_path
from pipeline.backlog.formats.column_readings import read_columns
from pipeline.backlog.formats.file_table import (
    FileTable,
    ReadableFile,
    Reading,
    describe_types,
    first_line,
)
from pipeline.backlog.formats.post_columns import post_columns
from pipeline.config.sections import Backlog
from pipeline.errors import InputError
from pipeline.sql import file_list

_OPTIONS = "union_by_name=true"
_FLOATS = ("DOUBLE", "FLOAT")


def read_parquet_files(
    connection: duckdb.DuckDBPyConnection,
    files: Sequence[ReadableFile],
    backlog: Backlog,
    *,
    apart: bool = False,
) -> list[Reading]:
    """Return how posts are read from Parquet files.

    Args:
        connection: where the posts are read.
        files: the files.
        backlog: which columns to read, and which rows.
        apart: read each file by itself, to find the one with a fault.

    Raises:
        InputError: a column is missing in a file, has a type that cannot be used, or is called
            like a folder.
    """
    _reject_missing_columns(connection, files, backlog)
    together = [file for file in files if not file.is_copy and not apart]
    groups = [together] if together else []
    groups += [[file] for file in files if file not in together]
    tables = [_table(connection, group) for group in groups]
    readings = read_columns(connection, tables, backlog)
    if any(found.id == "blob" for table in tables for found in table.types.values()):
        register_decoder(connection)
    return readings


def _table(connection: duckdb.DuckDBPyConnection, files: Sequence[ReadableFile]) -> FileTable:
    table = FileTable(files=tuple(files), function="read_parquet", options=_OPTIONS, types={})
    return FileTable(
        files=table.files,
        function=table.function,
        options=table.options,
        types=describe_types(connection, table.sql(), table.place),
    )


def _reject_missing_columns(
    connection: duckdb.DuckDBPyConnection, files: Sequence[ReadableFile], backlog: Backlog
) -> None:
    """Raise InputError for a file that lacks one of the columns, also if another file has it."""
    declared = _declared_columns(connection, files)
    for file in files:
        columns = declared.get(str(file.path), {})
        for name in backlog.columns.values():
            if find_path(name, columns) is None:
                raise missing_column(str(file.original), name, tuple(columns))
    names = set(backlog.columns.values())
    if any(
        not names.issubset(columns) or columns[backlog.columns.uri] in _FLOATS
        for columns in declared.values()
    ):
        # The fields of structs may differ from file to file, and merged types hide a single one.
        for file in files:
            table = _table(connection, [file])
            post_columns(table.types, backlog.columns, str(file.original))


def _declared_columns(
    connection: duckdb.DuckDBPyConnection, files: Sequence[ReadableFile]
) -> dict[str, dict[str, str]]:
    """Return the columns of each file with their Parquet types, without the fields inside them."""
    query = "SELECT file_name, name, coalesce(num_children, 0), type FROM parquet_schema"
    try:
        rows = connection.execute(f"{query}({file_list(file.path for file in files)})").fetchall()
    except duckdb.Error as error:
        raise InputError(
            f"backlog.source: {_find_damaged(connection, files)} cannot be read as Parquet: it is "
            f"damaged or cut ({first_line(error)}): replace it with a good copy"
        ) from None
    by_file = groupby(rows, key=itemgetter(0))
    return {path: _top_level([row[1:] for row in elements][1:]) for path, elements in by_file}


def _top_level(elements: list[tuple[str, int, str | None]]) -> dict[str, str]:
    """Return the columns among the elements of a schema, each of which precedes its children."""
    types: dict[str, str] = {}
    inside = 0
    for name, children, kind in elements:
        if inside:
            inside -= 1
        else:
            types[name] = kind or ""
        inside += children
    return types


def _find_damaged(connection: duckdb.DuckDBPyConnection, files: Sequence[ReadableFile]) -> str:
    for file in files:
        try:
            connection.execute(f"SELECT 1 FROM parquet_schema({file_list([file.path])}) LIMIT 1")
        except duckdb.Error:
            return str(file.original)
    return str(files[0].original)
