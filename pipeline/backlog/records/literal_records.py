"""Let SQL read records that are Python literals, by turning each into JSON."""

import json

import duckdb
from duckdb.func import FunctionNullHandling

from pipeline.backlog.clean_copies.marks import DECODE_MARKED
from pipeline.backlog.records.python_literals import NOT_A_LITERAL, parse_literals

LITERAL_AS_JSON = "literal_as_json"
"""The name of the SQL function."""


def literal_as_json(record: str | None) -> str | None:
    """Return a Python literal as JSON, with a mark in place of half a surrogate pair.

    Returns:
        None if there is no text, if it is no literal, or if its value cannot be JSON, such as an
        infinite number.
    """
    if record is None:
        return None
    value = next(parse_literals([record]))
    if value is NOT_A_LITERAL:
        return None
    try:
        text = json.dumps(
            value, ensure_ascii=False, allow_nan=False, skipkeys=True, default=_no_value
        )
    except (ValueError, RecursionError):
        return None
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", DECODE_MARKED)


def _no_value(value: object) -> None:
    """Return None for what JSON does not have, such as bytes and sets."""
    del value


def register_literals(connection: duckdb.DuckDBPyConnection) -> None:
    """Make the SQL function LITERAL_AS_JSON available on a connection; it may be there already."""
    known = connection.execute(
        "SELECT 1 FROM duckdb_functions() WHERE function_name = ?", [LITERAL_AS_JSON]
    ).fetchall()
    if not known:
        connection.create_function(
            LITERAL_AS_JSON,
            literal_as_json,
            [duckdb.sqltypes.VARCHAR],
            duckdb.sqltypes.VARCHAR,
            # By default, DuckDB takes a NULL that a function returns for a fault.
            null_handling=FunctionNullHandling.SPECIAL,
        )
