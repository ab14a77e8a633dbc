"""Find the table of the posts in a SQLite file, and the columns that a SELECT accepts."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.backlog.catalog import (
    CatalogTable,
    choose_table,
    find_column,
    fold_case,
    missing_column,
)
from pipeline.backlog.column_path import ColumnPath
from pipeline.backlog.databases.sqlite_connection import SqliteConnection
from pipeline.backlog.sources import Source
from pipeline.errors import InputError
from pipeline.sql import literal, quoted

# Every table with a rowid has it under these names, unless a column is called so.
_ROWID_NAMES = ("rowid", "oid", "_rowid_")
# The module of a virtual table, and the option by which it indexes another table's rows.
_EXTERNAL_CONTENT = re.compile(r"\bUSING\s+fts[345]\b.*\bcontent\s*=", re.IGNORECASE | re.DOTALL)


@dataclass(frozen=True, kw_only=True, slots=True)
class SqliteTable:
    """The table of the posts, and where its three columns are."""

    name: str
    uri: ColumnPath
    text: ColumnPath
    timestamp: ColumnPath
    columns: tuple[str, ...]
    """All of its columns."""
    rowid: str
    """A name under which a query finds the rowid; '' if the table has none."""

    @property
    def paths(self) -> tuple[ColumnPath, ColumnPath, ColumnPath]:
        """Where uri, text and timestamp are."""
        return self.uri, self.text, self.timestamp


def find_table(connection: SqliteConnection, source: Source) -> SqliteTable:
    """Return the table that a source means.

    Raises:
        InputError: it is not clear which table to read, or the table lacks a column.
    """
    table = choose_table(source, connection.path, list_tables(connection))
    try:
        connection.rows(f"SELECT 1 FROM {quoted(table.name)} LIMIT 0")
    except InputError as error:
        raise InputError(
            f"backlog.source: {connection.path}, table {table} cannot be read. It may be a view "
            "of a table that is gone, or need an extension of SQLite: set backlog.table to another "
            f"table, or copy its rows into a plain one ({error})"
        ) from None
    columns, rowid = list_columns(connection, table.name)
    accepted = (*columns, *_ROWID_NAMES) if rowid else columns
    paths = []
    for name in source.backlog.columns.values():
        path = find_column(name, accepted)
        if path is None:
            raise missing_column(f"{connection.path}, table {table}", name, columns)
        paths.append(path)
    return SqliteTable(
        name=table.name,
        uri=paths[0],
        text=paths[1],
        timestamp=paths[2],
        columns=columns,
        rowid=rowid,
    )


def list_tables(connection: SqliteConnection) -> Sequence[CatalogTable]:
    """Return the tables and views of a file, by name.

    Raises:
        InputError: the file cannot be read.
    """
    rows = connection.rows(
        "SELECT listed.name, listed.type, ifnull(made.sql, '') FROM pragma_table_list AS listed "
        "LEFT JOIN sqlite_schema AS made ON made.type IN ('table', 'view') "
        "AND made.name = listed.name WHERE listed.schema = 'main' ORDER BY listed.name"
    )
    return [
        CatalogTable(
            schema="main",
            name=str(name),
            in_default_schema=True,
            has_posts=_has_posts(str(name), str(kind), str(sql)),
        )
        for name, kind, sql in rows
    ]


def _has_posts(name: str, kind: str, sql: str) -> bool:
    """Tell a user's table from SQLite's own ones, and from those of a full-text index."""
    is_internal = fold_case(name).startswith("sqlite_")
    is_index = kind == "shadow" or bool(_EXTERNAL_CONTENT.search(sql))
    return not (is_internal or is_index)


def list_columns(connection: SqliteConnection, table: str) -> tuple[tuple[str, ...], str]:
    """Return the columns of a table, with the generated ones, and a name of its rowid."""
    columns = tuple(
        str(name)
        for name, _ in connection.rows(
            f"SELECT name, cid FROM pragma_table_xinfo({literal(table)})"
        )
    )
    ((with_rowid,),) = connection.rows(
        "SELECT count(*) FROM pragma_table_list WHERE schema = 'main' AND type = 'table' "
        f"AND NOT wr AND name = {literal(table)}"
    )
    taken = set(map(fold_case, columns))
    free = [name for name in _ROWID_NAMES if name not in taken]
    return columns, free[0] if with_rowid and free else ""
