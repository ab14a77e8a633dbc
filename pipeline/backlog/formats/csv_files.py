"""Read CSV files: every column is text, and the columns are those of each file's own header.

Nothing is guessed: DuckDB infers quotes, columns and line ends from the first 20,480 rows. If these
hold no quotes, or only single ones, it reads the later ones wrongly.
"""

import csv
from collections.abc import Sequence

import duckdb
from duckdb.sqltypes import VARCHAR

from pipeline.backlog.catalog import missing_column
from pipeline.backlog.column_path import find_path
from pipeline.backlog.formats.file_table import FileTable, ReadableFile, Reading
from pipeline.backlog.formats.open_text import open_text
from pipeline.backlog.formats.post_columns import post_columns
from pipeline.backlog.formats.where_condition import tables_with_where
from pipeline.config.sections import Backlog
from pipeline.errors import InputError
from pipeline.sql import literal, quoted

_DIALECT = "auto_detect=false, header=true, quote='\"', escape='\"', comment='', skip=0"


def read_csv_files(
    connection: duckdb.DuckDBPyConnection,
    files: Sequence[ReadableFile],
    backlog: Backlog,
    *,
    apart: bool = False,
) -> list[Reading]:
    """Return how posts are read from CSV files.

    Args:
        connection: where the posts are read.
        files: the files.
        backlog: which columns to read, and which rows.
        apart: read each file by itself, to find the one with a fault.

    Raises:
        InputError: a file has no header or lacks a column, or a folder is called like one.
    """
    groups: dict[object, list[ReadableFile]] = {}
    headers: dict[object, tuple[str, ...]] = {}
    for file in files:
        header = _header(file)
        columns = column_names(header)
        for name in backlog.columns.values():
            if find_path(name, columns) is None:
                raise missing_column(str(file.original), name, columns)
        own = file.path if file.is_copy or apart else None
        group = (columns, file.compression, file.file.format.delimiter, own)
        groups.setdefault(group, []).append(file)
        headers[group] = columns
    tables = [_table(group, headers[key]) for key, group in groups.items()]
    used = [
        path.column
        for name in backlog.columns.values()
        if (path := find_path(name, tables[0].types))
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
            null_is_empty=True,
            files=table.files,
        )
        for table, sql in zip(tables, sources, strict=True)
    ]


def _table(files: Sequence[ReadableFile], columns: tuple[str, ...]) -> FileTable:
    declared = ", ".join(f"{quoted(name)}: 'VARCHAR'" for name in columns)
    compression = literal(str(files[0].compression))
    delimiter = literal(files[0].file.format.delimiter)
    return FileTable(
        files=tuple(files),
        function="read_csv",
        options=(
            f"{_DIALECT}, compression={compression}, delim={delimiter}, columns={{{declared}}}"
        ),
        types=dict.fromkeys(columns, VARCHAR),
    )


def _header(file: ReadableFile) -> list[str]:
    with open_text(file.path, file.compression) as stream:
        try:
            for row in csv.reader(stream, delimiter=file.file.format.delimiter, strict=True):
                if row:
                    return row
        except csv.Error:
            raise InputError(
                f"backlog.source: {file.original}, line 1: a quote in the header is not doubled or "
                "never closed: correct the header, which has the names of the columns"
            ) from None
    raise InputError(f"backlog.source: {file.original} has no header with the names of columns")


def column_names(header: Sequence[str]) -> tuple[str, ...]:
    """Return the columns of a header: without blanks around them, and no two alike.

    A further column of a name gets a number, and one without a name gets its position.
    """
    names: dict[str, str] = {}
    for position, field in enumerate(header):
        wanted = field.strip() or f"column{position}"
        name, number = wanted, 0
        while name.casefold() in names:
            number += 1
            name = f"{wanted}_{number}"
        names[name.casefold()] = name
    return tuple(names.values())
