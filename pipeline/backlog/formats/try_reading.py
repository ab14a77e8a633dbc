"""Find out whether posts can be read, and whether only `backlog.where` prevents it."""

import duckdb
from msgspec.structs import replace

from pipeline.backlog.formats.file_table import Reading, first_line
from pipeline.errors import InputError
from pipeline.sql import raise_lack_of_space


def can_be_read(connection: duckdb.DuckDBPyConnection, reading: Reading) -> bool:
    """Read all posts, and return whether that worked.

    Raises:
        OSError: memory or disk is full.
    """
    try:
        connection.execute(
            "SELECT max(strlen(uri)), max(strlen(text)), max(strlen(raw_timestamp)), "
            f"count(reason) FROM ({reading.sql()})"
        )
    except duckdb.Error as error:
        raise_lack_of_space(error, "planning")
        return False
    return True


def reject_failing_where(connection: duckdb.DuckDBPyConnection, reading: Reading) -> None:
    """Raise InputError if all rows can be read, and only the condition fails on one.

    Raises:
        OSError: memory or disk is full.
    """
    if not reading.conditions or not can_be_read(connection, replace(reading, conditions=())):
        return
    try:
        connection.execute(f"SELECT count(*) FROM ({reading.sql()})")
    except duckdb.Error as error:
        raise InputError(
            f"backlog.where: {reading.place}: the condition fails on a row: {first_line(error)}; "
            "with TRY_CAST in place of CAST, a value that is not a number is NULL, and a field of "
            "a JSON column is record->>'field'"
        ) from None
