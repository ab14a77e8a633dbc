"""Read CSV files: every column is text, and the columns are those of each file's own header.

Nothing is guessed: DuckDB infers quotes, columns and line ends from the first 20,480 rows. If these
hold no quotes, or only single ones, it reads the later ones wrongly.
"""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb
from duckdb.sqltypes import VARCHAR

from pipeline.backlog.catalog import LacksPostsError, missing_column
from pipeline.backlog.clean_copies.open_text import open_text
from pipeline.backlog.column_path import find_path
from pipeline.backlog.file_formats import Compression
from pipeline.backlog.formats.column_readings import read_columns
from pipeline.backlog.formats.file_table import FileTable, ReadableFile, Reading
from pipeline.config.sections import Backlog
from pipeline.errors import InputError
from pipeline.sql import literal, quoted

_DIALECT = "auto_detect=false, header=true, quote='\"', escape='\"', comment=''"


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
    groups: dict[_Group, list[ReadableFile]] = {}
    for file in files:
        blank_lines, header = _header(file)
        columns = column_names(header)
        for name in backlog.columns.values():
            if find_path(name, columns) is None:
                raise _missing_column(file, name, columns, backlog)
        group = _Group(
            columns=columns,
            blank_lines=blank_lines,
            compression=file.compression,
            delimiter=file.file.format.delimiter,
            only_file=file.path if file.is_copy or apart else None,
        )
        groups.setdefault(group, []).append(file)
    tables = [_table(files_alike, group) for group, files_alike in groups.items()]
    return read_columns(connection, tables, backlog, null_is_empty=True)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Group:
    """What files have in common that are read together."""

    columns: tuple[str, ...]
    blank_lines: int
    """How many blank lines are before the header."""
    compression: Compression
    delimiter: str
    only_file: Path | None
    """The path of a file that is read by itself."""


def _table(files: Sequence[ReadableFile], group: _Group) -> FileTable:
    declared = ", ".join(f"{quoted(name)}: 'VARCHAR'" for name in group.columns)
    return FileTable(
        files=tuple(files),
        function="read_csv",
        options=(
            f"{_DIALECT}, skip={group.blank_lines}, compression={literal(str(group.compression))}, "
            f"delim={literal(group.delimiter)}, columns={{{declared}}}"
        ),
        types=dict.fromkeys(group.columns, VARCHAR),
    )


def _header(file: ReadableFile) -> tuple[int, list[str]]:
    """Return the first row that is not blank, and the number of blank lines before it."""
    with open_text(file.path, file.compression) as stream:
        try:
            rows = csv.reader(stream, delimiter=file.file.format.delimiter, strict=True)
            for blank_lines, row in enumerate(rows):
                if row:
                    return blank_lines, row
        except csv.Error:
            raise InputError(
                f"backlog.source: {file.original}, line 1: a quote in the header is not doubled or "
                "never closed: correct the header, which has the names of the columns"
            ) from None
    raise InputError(f"backlog.source: {file.original} has no header with the names of columns")


def _missing_column(
    file: ReadableFile, name: str, columns: tuple[str, ...], backlog: Backlog
) -> LacksPostsError:
    error = missing_column(str(file.original), name, columns)
    if any(find_path(other, columns) for other in backlog.columns.values()):
        return error
    return LacksPostsError(f"{error} (its first line, which has to name the columns)")


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
