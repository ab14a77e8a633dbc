"""Read the database in a session that has tables of its own, and that goes on to use it.

To open a session for the few rows that are read would take DuckDB 10 ms.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb

from pipeline.database.duckdb_file import attach, raise_system_error, reject_other_databases
from pipeline.sql import quoted

# DuckDB's name for the database of a session without a file.
_OWN = "memory"


@contextmanager
def attach_for_reading(
    connection: duckdb.DuckDBPyConnection, path: Path, alias: str
) -> Iterator[None]:
    """Attach the database read-only for a block, in which it is the one that queries read.

    Args:
        connection: a session without a database of its own.
        path: the file.
        alias: the name of the database in the session.

    Raises:
        HeldDatabaseError: another process has it open for writing, or this one has it open.
        UnusableDatabaseError: the file is damaged.
        RunError: the file is not a database of this program.
        OSError: the system could not read the file; also raised from within the block.
    """
    attach(connection, path, alias)
    try:
        connection.execute(f"USE {quoted(alias)}")
        reject_other_databases(connection, path)
        yield
        connection.execute(f"USE {_OWN}; DETACH {quoted(alias)}")
    except duckdb.Error as error:
        raise_system_error(path, error)
        raise
