"""Find the columns that the condition `backlog.where` uses.

DuckDB parses the condition. A name in it may also belong to a subquery or to a lambda, so DuckDB's
binder decides: the condition uses a column if it cannot be bound without it.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import duckdb

from pipeline.sql import literal, quoted

Reference = tuple[str, ...]
"""A column and perhaps fields inside it, as in `record.langs`."""


def find_references(connection: duckdb.DuckDBPyConnection, condition: str) -> tuple[Reference, ...]:
    """Return the references to columns in a SQL condition, each once; some may not be columns.

    Raises:
        duckdb.Error: the condition is not SQL.
    """
    return tuple(dict.fromkeys(_references(parse_condition(connection, condition))))


def parse_condition(connection: duckdb.DuckDBPyConnection, condition: str) -> object:
    """Return the syntax tree of a SQL condition, as DuckDB's JSON has it.

    Raises:
        duckdb.Error: the condition is not SQL.
    """
    # It can end neither a parenthesis that is not its own, nor the statement.
    _parse(connection, f"SELECT 1 FROM source WHERE {condition}")
    parsed = _parse(connection, f"SELECT 1 FROM source WHERE ({condition}\n)")
    return parsed["statements"][0]["node"]["where_clause"]


def _parse(connection: duckdb.DuckDBPyConnection, query: str) -> Any:
    """Return the syntax tree of a query."""
    rows = connection.execute(f"SELECT json_serialize_sql({literal(query)})").fetchall()
    parsed = json.loads(rows[0][0])
    if parsed["error"]:
        raise duckdb.ParserException(str(parsed["error_message"]))
    return parsed


def _references(node: object) -> Iterator[Reference]:
    if isinstance(node, dict):
        if node.get("class") == "COLUMN_REF":
            yield tuple(map(str, node["column_names"]))
        else:
            for child in node.values():
                yield from _references(child)
    elif isinstance(node, list):
        for child in node:
            yield from _references(child)


def used_columns(
    connection: duckdb.DuckDBPyConnection, condition: str, columns: Mapping[str, str]
) -> tuple[str, ...]:
    """Return the columns that a condition cannot do without.

    Args:
        connection: a DuckDB connection.
        condition: a SQL condition that can be bound with all of the columns.
        columns: possible columns with their SQL types.
    """
    used = []
    for name in columns:
        others = {other: columns[other] for other in columns if other != name}
        try:
            bind(connection, condition, others)
        except duckdb.BinderException:
            used.append(name)
    return tuple(used)


def bind(connection: duckdb.DuckDBPyConnection, condition: str, columns: Mapping[str, str]) -> None:
    """Let DuckDB check a condition on a table with these columns and SQL types.

    Raises:
        duckdb.Error: the condition cannot be used.
    """
    nulls = ", ".join(f"CAST(NULL AS {kind}) AS {quoted(name)}" for name, kind in columns.items())
    connection.execute(
        f"EXPLAIN SELECT 1 FROM (SELECT {nulls or '1'}) AS source WHERE ({condition}\n)"
    )
