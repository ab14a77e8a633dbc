"""Check the condition `backlog.where` on a SQLite table, before it selects anything."""

import re

from pipeline.backlog.databases.sqlite_catalog import SqliteTable
from pipeline.backlog.databases.sqlite_connection import SqliteConnection
from pipeline.backlog.databases.sqlite_problems import unknown_column
from pipeline.errors import InputError
from pipeline.sql import quoted, where_all
from pipeline.text import did_you_mean

# What a condition is made of, as far as quotes matter: names and texts in quotes, and comments.
_QUOTED = re.compile(
    r"""'(?:[^']|'')*'|\[[^\]]*\]|`(?:[^`]|``)*`|--[^\n]*|/\*.*?\*/|"(?P<name>(?:[^"]|"")*)\"""",
    re.DOTALL,
)


def check_where(connection: SqliteConnection, table: SqliteTable, condition: str) -> None:
    """Raise InputError if SQLite cannot use a condition, or would take a name in it for a text.

    SQLite takes a name in double quotes for a text if no column is called so. A misspelled name
    would then keep no row, and nobody would notice.
    """
    rows = f"SELECT 1 FROM {quoted(table.name)}"
    in_parentheses = f"{rows}{where_all([condition])} LIMIT 0"
    queries = (
        in_parentheses,
        f"{rows} WHERE {condition}\n LIMIT 0",  # so that no parenthesis ends the other query's
        f"{rows}{where_all([names_that_are_no_texts(condition)])} LIMIT 0",
    )
    for query in queries:
        try:
            connection.rows(query, "the condition of backlog.where")
        except InputError as error:
            name = unknown_column(str(error))
            if name is None:
                raise
            as_text = "'" + name.replace("'", "''") + "'"
            advice = f"; a text needs single quotes: {as_text}" if f'"{name}"' in condition else ""
            raise InputError(
                f"backlog.where: {connection.path}, table {table.name} has no column {name!r}"
                f"{did_you_mean(name, table.columns)}{advice}; it has {', '.join(table.columns)}"
            ) from None


def names_that_are_no_texts(condition: str) -> str:
    """Return a condition with backquotes around its names; SQLite never takes those for texts."""
    return _QUOTED.sub(_in_backquotes, condition)


def _in_backquotes(match: re.Match[str]) -> str:
    name: str | None = match["name"]
    if name is None:
        return match[0]
    return "`" + name.replace('""', '"').replace("`", "``") + "`"
