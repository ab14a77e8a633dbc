"""Read records that were stored as Python literals: the text that `str` makes of a dict.

They are parsed as literals and never evaluated: a call or a name is no literal.
"""

import ast
import warnings
from collections.abc import Iterator, Mapping, Sequence

# Posts have at most 3,000 bytes of text. Python's parser takes some 200 times a record's size.
MAX_RECORD_CHARACTERS = 100_000


class NotALiteral:
    """Stands for a record that is no Python literal, or that is too large or too deep."""


class NoSuchKey:
    """Stands for a value whose key a record does not have."""


NOT_A_LITERAL = NotALiteral()
NO_SUCH_KEY = NoSuchKey()


def parse_literals(texts: Sequence[str]) -> Iterator[object]:
    """Yield the value of each text, or NOT_A_LITERAL.

    A call such as `datetime.datetime(2024, 5, 31)` anywhere in a record makes it no literal.
    """
    with warnings.catch_warnings():  # of escapes such as `\\d`, which `str` never writes
        warnings.simplefilter("ignore")
        yield from map(_parse_literal, texts)


def _parse_literal(text: str) -> object:
    if len(text) > MAX_RECORD_CHARACTERS:
        return NOT_A_LITERAL
    try:
        return ast.literal_eval(text)
    # Python reports a literal that is nested too deeply in each of the last two ways.
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return NOT_A_LITERAL


def value_at(record: object, keys: Sequence[str]) -> object:
    """Return the value to which keys lead in a record, or NO_SUCH_KEY.

    A number counts the items of a list from 0.
    """
    value = record
    for key in keys:
        if isinstance(value, Mapping) and key in value:
            value = value[key]
        elif isinstance(value, list | tuple) and key.isdecimal() and int(key) < len(value):
            value = value[int(key)]
        else:
            return NO_SUCH_KEY
    return value
