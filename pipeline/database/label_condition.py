"""Check a condition on labels that a person wrote in SQL, and keep it from doing anything else."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import duckdb

from pipeline.backlog.formats.where_columns import find_references, parse_condition
from pipeline.database.stores import layouts
from pipeline.errors import InputError
from pipeline.messages.options import RANDOM_SAMPLE, WHERE
from pipeline.sql import literal
from pipeline.text import did_you_mean

_NOT_OF_A_CONDITION = (duckdb.IOException, duckdb.OutOfMemoryException, duckdb.InternalException)


def lock_down(connection: duckdb.DuckDBPyConnection, file: Path, catalog: str) -> None:
    """Let a session write one file, and read no other than those of the labels.

    Args:
        connection: the session.
        file: what it may write.
        catalog: the attached database that names without one refer to.
    """
    connection.execute(f"USE {catalog}")
    folders = ", ".join(map(literal, layouts.folders_of(connection, catalog)))
    connection.execute(f"SET allowed_directories = [{folders}]")
    connection.execute(f"SET allowed_paths = [{literal(str(file))}]")
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")


def volatile_functions(connection: duckdb.DuckDBPyConnection) -> frozenset[str]:
    """Return the functions that may give another value the next time, such as `random`."""
    rows = connection.execute(
        "SELECT function_name FROM duckdb_functions() WHERE stability = 'VOLATILE'"
    ).fetchall()
    return frozenset(name for (name,) in rows)


def reject_other_than_expression(
    connection: duckdb.DuckDBPyConnection, condition: str, columns: Sequence[str]
) -> None:
    """Raise InputError unless a condition is one expression over the columns of its table.

    It may have no subquery, which could read other tables, and no function that gives another
    value the next time, because then nobody could select the same posts again.
    """
    try:
        tree = parse_condition(connection, condition)
    except duckdb.Error as error:
        if ";" in condition:
            raise InputError(
                f"{WHERE.set_to(condition)}: should be a single condition, without a semicolon"
            ) from None
        raise wrong_condition(connection, condition, error, columns) from None
    nodes = list(_nodes(tree))
    if any(node.get("class") == "SUBQUERY" for node in nodes):
        raise InputError(
            f"{WHERE.set_to(condition)}: it has a subquery. Only an expression over the columns is "
            f"possible: {', '.join(columns)}"
        )
    functions = {str(node.get("function_name", "")).lower() for node in nodes}
    if changing := sorted(functions & volatile_functions(connection)):
        raise InputError(
            f"{WHERE.set_to(condition)}: {changing[0]}() gives other values each time, so nobody "
            f"could select the same posts again. To draw posts at random, add {RANDOM_SAMPLE}"
        )


def _nodes(tree: object) -> Iterator[dict[str, object]]:
    if isinstance(tree, dict):
        yield tree
    children = tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list) else ()
    for child in children:
        yield from _nodes(child)


def wrong_condition(
    connection: duckdb.DuckDBPyConnection,
    condition: str,
    error: duckdb.Error,
    columns: Sequence[str],
    advice: str = "",
) -> Exception:
    """Return what is wrong with a condition, or the error itself if that is not to blame.

    Args:
        connection: the session in which it failed.
        condition: the condition.
        error: how it failed.
        columns: of the table.
        advice: what else to do about a name that is no column.
    """
    if not condition.strip() or isinstance(error, _NOT_OF_A_CONDITION):
        return error
    if isinstance(error, duckdb.BinderException) and (
        problem := _unknown_column(connection, condition, str(error), columns)
    ):
        return InputError(
            f"{WHERE.set_to(condition)}: {problem}{advice}. The columns are: {', '.join(columns)}"
        )
    # DuckDB begins with the kind of the error, such as `Binder Error: `.
    problem = re.sub(r"^[A-Za-z ]+ Error: ", "", str(error).partition("\n")[0]).rstrip(".!")
    return InputError(
        f"{WHERE.set_to(condition)}: {problem}. The columns are: {', '.join(columns)}"
    )


def _unknown_column(
    connection: duckdb.DuckDBPyConnection, condition: str, error: str, columns: Sequence[str]
) -> str:
    """Return what to do about a name in a condition that is no column; '' if that is not wrong.

    A name may also be the parameter of a lambda, so it counts only if DuckDB's error quotes it.
    """
    known = {column.lower(): column for column in columns}
    for reference in find_references(connection, condition):
        name = ".".join(reference)
        if reference[-1].lower() in known or f'"{reference[0]}"' not in error:
            continue
        if name.lower() in known:
            return f'put the column {name} in double quotes: "{known[name.lower()]}"'
        return (
            f"there is no column {name}{did_you_mean(name, columns)}. Put a text in single quotes "
            f"({literal(name)})"
        )
    return ""
