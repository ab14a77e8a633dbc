"""Decode bytes that are not text, and leave a mark where each fault was.

A text may hold U+FFFD of its own, so that character does not tell which posts are faulty. The mark
is a sequence with noncharacters, which no text holds. SQL tells by it which values are faulty, and
then replaces it by U+FFFD.
"""

import codecs

import duckdb

from pipeline.sql import literal

MARK = "\ufdd0\ufffd\ufdd0"
DECODE_MARKED = "decode_marked"
"""The name of the error handler, and of the SQL function that decodes a BLOB."""

_REPLACEMENT = "\ufffd"


def _mark_fault(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return MARK, error.end


codecs.register_error(DECODE_MARKED, _mark_fault)


def decode_marked(content: bytes) -> str:
    """Return UTF-8 as text, with a mark in place of each sequence that is not UTF-8."""
    return content.decode("utf-8", DECODE_MARKED)


def register_decoder(connection: duckdb.DuckDBPyConnection) -> None:
    """Make the SQL function DECODE_MARKED available on a connection; it may be there already."""
    known = connection.execute(
        "SELECT 1 FROM duckdb_functions() WHERE function_name = ?", [DECODE_MARKED]
    ).fetchall()
    if not known:
        connection.create_function(
            DECODE_MARKED, decode_marked, [duckdb.sqltypes.BLOB], duckdb.sqltypes.VARCHAR
        )


def has_mark(value: str) -> str:
    """Return SQL that tells whether a text has a mark."""
    return f"contains({value}, {literal(MARK)})"


def without_marks(value: str) -> str:
    """Return SQL for a text with U+FFFD in place of each mark."""
    return f"replace({value}, {literal(MARK)}, {literal(_REPLACEMENT)})"
