"""Read CSV files: every column is text, and the columns are those of each file's own header.

Nothing is guessed: DuckDB infers quotes, columns and line ends from the first 20,480 rows. If these
hold no quotes, or only single ones, it reads the later ones wrongly.
"""

import csv
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import duckdb
import msgspec
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
# As DuckDB's option new_line has them.
_LINE_ENDS = {"\n": r"'\n'", "\r\n": r"'\r\n'", "\r": r"'\r'"}


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
        header = _header(file)
        columns = column_names(header.names)
        for name in backlog.columns.values():
            if find_path(name, columns) is None:
                raise _missing_column(file, name, columns, backlog)
        group = _Group(
            columns=columns,
            blank_lines=header.blank_lines,
            line_end=header.line_end,
            compression=file.compression,
            delimiter=file.file.format.delimiter,
            only_file=file.path if file.is_copy or apart else None,
        )
        groups.setdefault(group, []).append(file)
    tables = [_table(files_alike, group) for group, files_alike in groups.items()]
    return read_columns(connection, tables, backlog, null_is_empty=True)


class _Group(msgspec.Struct, frozen=True, kw_only=True):
    """What files have in common that are read together."""

    columns: tuple[str, ...]
    blank_lines: int
    """How many blank lines are before the header."""
    line_end: str
    """The characters that end a row."""
    compression: Compression
    delimiter: str
    only_file: Path | None
    """The path of a file that is read by itself."""


class _Header(msgspec.Struct, frozen=True, kw_only=True):
    """The first row of a file that is not blank."""

    names: list[str]
    """The fields, as they are."""
    blank_lines: int
    """How many blank lines are before it."""
    line_end: str
    """What ends it; empty if nothing follows it."""


def _table(files: Sequence[ReadableFile], group: _Group) -> FileTable:
    declared = ", ".join(f"{quoted(name)}: 'VARCHAR'" for name in group.columns)
    # DuckDB takes the first line break of the file for the end of a row. In the quoted name of a
    # column it may be of another kind, and then DuckDB finds no rows and reports nothing.
    line_end = f", new_line={_LINE_ENDS[group.line_end]}" if group.line_end else ""
    return FileTable(
        files=tuple(files),
        function="read_csv",
        options=(
            f"{_DIALECT}, skip={group.blank_lines}, compression={literal(str(group.compression))}, "
            f"delim={literal(group.delimiter)}, columns={{{declared}}}{line_end}"
        ),
        types=dict.fromkeys(group.columns, VARCHAR),
    )


def _header(file: ReadableFile) -> _Header:
    """Return the first row that is not blank, the lines before it, and how it ends."""
    ends: list[str] = []
    with open_text(file.path, file.compression) as stream:
        try:
            rows = csv.reader(
                _note_ends(stream, ends), delimiter=file.file.format.delimiter, strict=True
            )
            for blank_lines, row in enumerate(rows):
                if row:
                    _check_blank_lines(file, ends[:blank_lines], ends[-1])
                    return _Header(names=row, blank_lines=blank_lines, line_end=ends[-1])
        except csv.Error:
            raise InputError(
                f"backlog.source: {file.original}, line 1: a quote in the header is not doubled or "
                "never closed: correct the header, which has the names of the columns"
            ) from None
    raise InputError(f"backlog.source: {file.original} has no header with the names of columns")


def _note_ends(stream: Iterable[str], ends: list[str]) -> Iterator[str]:
    """Yield the lines of a file, and append what ends each of them to a list."""
    for line in stream:
        ends.append(line[len(line.rstrip("\r\n")) :])
        yield line


def _check_blank_lines(file: ReadableFile, ends: Sequence[str], line_end: str) -> None:
    """Reject blank lines that do not end as the header does: DuckDB would miscount them."""
    if line_end and set(ends) - {line_end}:
        raise InputError(
            f"backlog.source: {file.original}, line 1: the blank lines before the header do not "
            "end as the header's line does: remove the blank lines"
        )


def _missing_column(
    file: ReadableFile, name: str, columns: tuple[str, ...], backlog: Backlog
) -> LacksPostsError:
    error = missing_column(str(file.original), name, columns)
    if any(find_path(other, columns) for other in backlog.columns.values()):
        return error
    return LacksPostsError(
        f"{error} (its first line, which has to name the columns)",
        column=error.column,
        nearest_column=error.nearest_column,
    )


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
