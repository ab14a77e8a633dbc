"""List the tables of a SQLite database, with samples and quick counts."""

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from hpc.initialize.source.facts import TableFacts
from hpc.initialize.source.sample_values import describe_columns, rows_to_sample
from pipeline.backlog.catalog import CatalogTable
from pipeline.backlog.databases.sqlite_catalog import list_columns, list_tables
from pipeline.backlog.databases.sqlite_connection import SqliteConnection
from pipeline.errors import InputError
from pipeline.sql import literal, quoted

# SQLite counts by reading an index of the whole table. So many rows take some milliseconds.
_MOST_COUNTED = 100_000
_LONGEST_TEXT = 4000
# SQLite yields at most 2,000 columns, and each column of the table needs three.
_COLUMNS_AT_ONCE = 400
# No row takes fewer bytes; a table whose row numbers say otherwise has gaps between them.
_FEWEST_BYTES_OF_ROW = 8
_TEXT, _INTEGER, _REAL, _BLOB = b"text", b"integer", b"real", b"blob"


def inspect_sqlite(path: Path) -> tuple[TableFacts, ...]:
    """Return the tables and views of a database, by name.

    A view is neither counted nor sampled, because a query of any cost may be behind it.

    Raises:
        BusyError: another process has locked the file.
        InputError: the file cannot be read.
        RunError: the disk or its locks fail.
    """
    with closing(SqliteConnection(path)) as connection:
        views = {
            str(name)
            for name, _ in connection.rows(
                "SELECT name, type FROM sqlite_schema WHERE type = 'view'"
            )
        }
        return tuple(
            _inspect_table(connection, table, is_view=table.name in views)
            for table in list_tables(connection)
            if table.has_posts
        )


def _inspect_table(
    connection: SqliteConnection, table: CatalogTable, *, is_view: bool
) -> TableFacts:
    try:
        columns, rowid = list_columns(connection, table.name)
        types = _types(connection, table.name, columns)
        rows = [] if is_view else _sample(connection, table.name, columns)
        unique = _unique_columns(connection, table.name)
        count, is_estimate = (None, False) if is_view else _count(connection, table.name, rowid)
    except InputError as error:  # it needs an extension, or is a view of a table that is gone
        return TableFacts(name=str(table), problem=str(error))
    return TableFacts(
        name=str(table),
        columns=describe_columns(types, rows, unique),
        rows=count,
        is_estimate=is_estimate,
    )


def _types(connection: SqliteConnection, table: str, columns: Sequence[str]) -> dict[str, str]:
    declared = {
        str(name): str(kind)
        for name, kind in connection.rows(
            f"SELECT name, ifnull(type, '') FROM pragma_table_xinfo({literal(table)})"
        )
    }
    return {column: declared.get(column, "") for column in columns}


def _sample(
    connection: SqliteConnection, table: str, columns: Sequence[str]
) -> list[tuple[object, ...]]:
    limit = rows_to_sample(len(columns))
    parts = []
    for start in range(0, len(columns), _COLUMNS_AT_ONCE):
        # The driver fixes a column's type by its first rows, so all values are asked for as bytes.
        expressions = ", ".join(
            f"CAST(typeof({name}) AS BLOB), CASE typeof({name}) WHEN 'blob' THEN x'' ELSE "
            f"CAST(substr(CAST({name} AS TEXT), 1, {_LONGEST_TEXT}) AS BLOB) END"
            for name in map(quoted, columns[start : start + _COLUMNS_AT_ONCE])
        )
        rows = connection.rows(f"SELECT {expressions} FROM {quoted(table)} LIMIT {limit}")
        parts.append([_values(row) for row in rows])
    return [sum(row, ()) for row in zip(*parts, strict=False)]


def _values(row: Sequence[object]) -> tuple[object, ...]:
    return tuple(_value(row[i], row[i + 1]) for i in range(0, len(row), 2))


def _value(kind: object, content: object) -> object:
    text = content.decode(errors="replace") if isinstance(content, bytes) else ""
    if kind == _INTEGER:
        return int(text)
    if kind == _REAL:
        return float(text)
    return text if kind == _TEXT else b"" if kind == _BLOB else None


def _unique_columns(connection: SqliteConnection, table: str) -> set[str]:
    """Return the columns that are a primary key, or have a unique index, by themselves."""
    keys = connection.rows(
        f"SELECT name, pk FROM pragma_table_xinfo({literal(table)}) WHERE pk > 0"
    )
    indexed = connection.rows(
        "SELECT min(column_.name), count(*) FROM "
        f"pragma_index_list({literal(table)}) AS index_, "
        "pragma_index_info(index_.name) AS column_ "
        'WHERE index_."unique" AND NOT index_.partial GROUP BY index_.name HAVING count(*) = 1'
    )
    alone = keys if len(keys) == 1 else []
    return {str(name) for name, _ in [*alone, *indexed]}


def _count(connection: SqliteConnection, table: str, rowid: str) -> tuple[int | None, bool]:
    """Return the number of rows, and whether it is only an estimate.

    A large table has about as many rows as its rowids span, if it has few gaps.
    """
    counted = _number(
        connection, f"SELECT count(*) FROM (SELECT 1 FROM {quoted(table)} LIMIT {_MOST_COUNTED})"
    )
    if counted < _MOST_COUNTED:
        return counted, False
    if not rowid:
        return None, False
    # SQLite answers each of the two by one look at an end of the table.
    name = quoted(rowid)
    last = _number(connection, f"SELECT max({name}) FROM {quoted(table)}")
    first = _number(connection, f"SELECT min({name}) FROM {quoted(table)}")
    span = last - first + 1
    is_credible = span * _FEWEST_BYTES_OF_ROW <= connection.path.stat().st_size
    return (span, True) if is_credible else (None, False)


def _number(connection: SqliteConnection, query: str) -> int:
    ((number,),) = connection.rows(query)
    return int(str(number))
