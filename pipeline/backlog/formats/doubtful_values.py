"""Reject a source whose first uris show that they have lost digits.

A uri that is a floating-point number, such as 1.795e+18, stands for several posts and joins to
nothing.
"""

import re

import duckdb
from msgspec.structs import replace

from pipeline.backlog.formats.file_table import Reading
from pipeline.config.sections import Backlog
from pipeline.errors import InputError

_ROWS_LOOKED_AT = 100
_FLOAT = re.compile(r"[0-9]+\.[0-9]+(?:[eE][+-]?[0-9]+)?|[0-9]+[eE][+-]?[0-9]+")


def reject_doubtful_values(
    connection: duckdb.DuckDBPyConnection, reading: Reading, backlog: Backlog
) -> None:
    """Raise InputError if all of the first uris are floating-point numbers.

    Args:
        connection: where the posts are read.
        reading: how they are read.
        backlog: the names of the columns.
    """
    # The limit comes before `where`, or else the whole table would be searched for this many posts.
    first_rows = replace(reading, table=f"(SELECT * FROM {reading.table} LIMIT {_ROWS_LOOKED_AT})")
    try:
        rows = connection.execute(f"SELECT uri FROM ({first_rows.sql()})").fetchall()
    except duckdb.Error:
        return  # the statement that reads all rows meets the same error, which is explained there
    uris = [row[0] for row in rows if row[0]]
    if uris and all(map(_FLOAT.fullmatch, uris)):
        raise InputError(
            f"backlog.columns.uri: {reading.place}: the values of {backlog.columns.uri!r} are "
            f"floating-point numbers such as {uris[0]}, which do not identify posts: store them as "
            "text or as whole numbers, from a copy that still has all digits"
        )
