"""Check the condition `backlog.where`, and give it the columns that it uses."""

from collections.abc import Mapping, Sequence

import duckdb

from pipeline.backlog.formats.file_table import FileTable, first_line
from pipeline.backlog.formats.path_columns import path_columns, reject_clash
from pipeline.backlog.formats.where_columns import bind, find_references, used_columns
from pipeline.errors import InputError
from pipeline.sql import quoted
from pipeline.text import did_you_mean

FILENAME = "filename"
"""The column with the path of a row's file, if no file has a column of this name."""

_TEXT, _NUMBER = "VARCHAR", "DOUBLE"


def check_where(
    connection: duckdb.DuckDBPyConnection,
    condition: str,
    columns: Mapping[str, str],
    place: str,
) -> tuple[str, ...]:
    """Return the columns that the condition uses.

    Args:
        connection: a DuckDB connection.
        condition: `backlog.where`.
        columns: the columns of the source, with their SQL types.
        place: the source, for messages.

    Raises:
        InputError: the condition cannot be used; the message says what to do.
    """
    references = references_in(connection, condition, place)
    folded = {reference[0].casefold() for reference in references}
    candidates = {name: kind for name, kind in columns.items() if name.casefold() in folded}
    try:
        bind(connection, condition, columns)
    except duckdb.Error as error:
        raise _unusable(connection, condition, columns, place, error) from None
    return used_columns(connection, condition, candidates) if candidates else ()


def references_in(
    connection: duckdb.DuckDBPyConnection, condition: str, place: str
) -> tuple[tuple[str, ...], ...]:
    """Return the references to columns in the condition.

    Raises:
        InputError: the condition is not SQL.
    """
    try:
        return find_references(connection, condition)
    except duckdb.Error as error:
        raise InputError(
            f"backlog.where: {place}: it is not a SQL condition: {first_line(error)}"
        ) from None


def _unusable(
    connection: duckdb.DuckDBPyConnection,
    condition: str,
    columns: Mapping[str, str],
    place: str,
    error: duckdb.Error,
) -> InputError:
    folded = {name.casefold(): name for name in columns}
    names = [reference[0] for reference in references_in(connection, condition, place)]
    for name in names:
        if name.casefold() in folded:
            continue
        with_name = dict(columns) | {name: _TEXT}
        if _problem(connection, condition, with_name) != first_line(error):
            shown = tuple(column for column in columns if column != FILENAME)
            return InputError(
                f"backlog.where: {place} has no column {name!r}{did_you_mean(name, shown)}; it "
                f"has {', '.join(shown)}"
            )
    if numbers := _columns_to_cast(connection, condition, columns):
        casts = ", ".join(f"CAST({quoted_if_needed(name)} AS BIGINT)" for name in numbers)
        return InputError(
            f"backlog.where: {place}: {', '.join(numbers)} holds text, and the condition uses it "
            f"as a number: write {casts} instead"
        )
    return InputError(f"backlog.where: {place}: {first_line(error)}")


def _columns_to_cast(
    connection: duckdb.DuckDBPyConnection, condition: str, columns: Mapping[str, str]
) -> list[str]:
    """Return the columns of text without which, as numbers, the condition cannot be used.

    A column is one of them if the condition gets further once the column holds numbers.
    """
    folded = {name.casefold(): name for name in columns}
    numbers: list[str] = []
    problem = _problem(connection, condition, columns)
    for reference in find_references(connection, condition):
        name = folded.get(reference[0].casefold())
        if name is None or _TEXT not in columns[name]:
            continue
        changed = dict(columns) | {name: columns[name].replace(_TEXT, _NUMBER)}
        if _problem(connection, condition, changed) != problem:
            columns, problem = changed, _problem(connection, condition, changed)
            numbers.append(".".join(reference))
        if not problem:
            return numbers
    return []


def _problem(
    connection: duckdb.DuckDBPyConnection, condition: str, columns: Mapping[str, str]
) -> str:
    """Return what DuckDB says against a condition; '' if nothing."""
    try:
        bind(connection, condition, columns)
    except duckdb.Error as error:
        return first_line(error)
    return ""


def quoted_if_needed(name: str) -> str:
    """Return a name as people write it in SQL."""
    parts = name.split(".")
    return name if all(part.isidentifier() for part in parts) else quoted(name)


def tables_with_where(
    connection: duckdb.DuckDBPyConnection,
    tables: Sequence[FileTable],
    condition: str | None,
    columns: Sequence[str],
) -> list[str]:
    """Return each table as SQL, with the columns of other files and folders that `where` uses.

    Args:
        connection: a DuckDB connection.
        tables: all tables of the source.
        condition: `backlog.where`.
        columns: the columns with uri, text and time, which no folder may be called like.

    Raises:
        InputError: the condition cannot be used, or a folder is called like a column.
    """
    for table in tables:
        present = {name.casefold() for name in table.types}
        reject_clash(table.originals, [name for name in columns if name.casefold() in present])
    if not condition:
        return [table.sql() for table in tables]
    types: dict[str, str] = {}
    names: dict[str, str] = {}
    for table in tables:
        for name, found in table.types.items():
            types.setdefault(names.setdefault(name.casefold(), name), str(found))
    folders = path_columns([path for table in tables for path in table.originals])
    added = {
        column.name: column.sql_type for folded, column in folders.items() if folded not in names
    }
    if FILENAME not in names:
        added.setdefault(FILENAME, _TEXT)
    used = check_where(connection, condition, types | added, tables[0].place)
    result = []
    for table in tables:
        present = {name.casefold() for name in table.types}
        real = [name for name in used if name.casefold() in present]
        reject_clash(table.originals, real)
        result.append(
            table.sql(
                {
                    name: folders[name.casefold()].sql(table.path_sql)
                    if name in added and name.casefold() in folders
                    else table.path_sql
                    if name in added
                    else f"CAST(NULL AS {types[name]})"
                    for name in used
                    if name not in real
                }
            )
        )
    return result
