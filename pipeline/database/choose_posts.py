"""Choose posts by a condition on their labels under a name."""

from pathlib import Path

import duckdb

from pipeline.backlog import select
from pipeline.config.session_limits import LOGIN_NODE, SessionLimits
from pipeline.database import duckdb_file, label_tables
from pipeline.database.label_condition import (
    lock_down,
    reject_other_than_expression,
    wrong_condition,
)
from pipeline.errors import InputError
from pipeline.messages.options import WHERE
from pipeline.sql import literal, quoted

_LABELS = "labels"


def write_chosen_uris(
    database: Path,
    name: str,
    condition: str,
    file: Path,
    limits: SessionLimits = LOGIN_NODE,
) -> None:
    """Write the uris of the posts whose labels fulfill a condition to a Parquet file.

    The condition runs in a session of its own that can read the labels' database and write this
    file, and nothing else.

    Args:
        database: the database of the labels.
        name: of the labels; it has some.
        condition: an expression in SQL over the columns of the name's table.
        file: the file to write; its folder also takes what does not fit into memory.
        limits: how much of the machine DuckDB may take.

    Raises:
        InputError: the condition is wrong.
        HeldDatabaseError: another process has the database open.
        OSError: the disk is full.
    """
    with select.session(file.parent, limits) as connection:
        duckdb_file.attach(connection, database, _LABELS)
        table = label_tables.with_copied_from(
            connection, f"{_LABELS}.{quoted(label_tables.labels_table(name))}"
        )
        columns = [row[0] for row in connection.execute(f"DESCRIBE FROM {table}").fetchall()]
        lock_down(connection, file, _LABELS)
        reject_other_than_expression(connection, condition, columns)
        try:
            _reject_other_types(connection, condition, table)
            connection.execute(
                f"COPY (SELECT uri FROM {table} WHERE was_successfully_labeled AND ({condition}\n)"
                f") TO {literal(str(file))} (FORMAT parquet)"
            )
        except duckdb.Error as error:
            duckdb_file.raise_system_error(file, error)
            raise wrong_condition(connection, condition, error, columns) from None


def _reject_other_types(connection: duckdb.DuckDBPyConnection, condition: str, table: str) -> None:
    rows = connection.execute(f"DESCRIBE SELECT ({condition}\n) AS it FROM {table}").fetchall()
    kind = rows[0][1]
    if kind != "BOOLEAN":
        raise InputError(
            f"{WHERE.set_to(condition)}: this is {kind}, and not true or false. Compare it, for "
            "example with > 0.5"
        )
