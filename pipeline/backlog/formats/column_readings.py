"""Read posts from files with declared columns: Parquet and CSV."""

from collections.abc import Sequence

import duckdb

from pipeline.backlog.column_path import find_path
from pipeline.backlog.formats.file_table import FileTable, Reading
from pipeline.backlog.formats.post_columns import post_columns
from pipeline.backlog.formats.where_condition import tables_with_where
from pipeline.config.sections import Backlog


def read_columns(
    connection: duckdb.DuckDBPyConnection,
    tables: Sequence[FileTable],
    backlog: Backlog,
    *,
    null_is_empty: bool = False,
) -> list[Reading]:
    """Return how posts are read from tables that have the columns of a post.

    Args:
        connection: where the posts are read.
        tables: the files, with their columns.
        backlog: which columns to read, and which rows.
        null_is_empty: whether NULL is an empty text.

    Raises:
        InputError: a column has a type that cannot be used, or is called like a folder.
    """
    used = [
        path.column
        for name in backlog.columns.values()
        for table in tables
        if (path := find_path(name, table.types))
    ]
    sources = tables_with_where(connection, tables, backlog.where, used)
    return [
        Reading(
            place=table.place,
            table=sql,
            types=table.types,
            columns=post_columns(
                table.types,
                backlog.columns,
                table.place,
                has_marks=table.has_marks,
                record_format=backlog.record_format,
            ),
            conditions=(backlog.where,) if backlog.where else (),
            null_is_empty=null_is_empty,
            files=table.files,
        )
        for table, sql in zip(tables, sources, strict=True)
    ]
