"""Turn the bytes and states that a SQLite query yields into the columns of posts."""

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

from pipeline.backlog.databases.sqlite_query import State
from pipeline.backlog.records.python_literals import (
    NO_SUCH_KEY,
    NOT_A_LITERAL,
    NoSuchKey,
    parse_literals,
    value_at,
)
from pipeline.late_imports import arrow_compute as pc
from pipeline.model import INVALID_TEXT, NO_TEXT

_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
# What a message shows of a value that cannot be read.
_SHOWN_CHARACTERS = 300
_WITHOUT_VALUE = (State.NULL, State.ABSENT)
_WITHOUT_TEXT = (*_WITHOUT_VALUE, State.MALFORMED)


@dataclass(frozen=True, kw_only=True, slots=True)
class Values:
    """The values of one column in one batch."""

    texts: pa.StringArray
    """The values, with U+FFFD in place of bytes that are not text."""
    states: pa.Array
    """The `State` of each."""
    undecodable: tuple[int, ...]
    """The rows whose bytes are not text, from 0."""

    def first_row(self, *states: State) -> int | None:
        """Return the first row, from 0, that has one of these states; None if there is none."""
        matches = pc.is_in(self.states, pa.array(states, pa.int64()))
        row = pc.index(matches, pa.scalar(True)).as_py()
        return None if row < 0 else int(row)

    def has(self, *states: State) -> bool:
        """Tell whether a row has one of these states."""
        return self.first_row(*states) is not None


def decode(
    values: pa.BinaryArray,
    states: pa.Array,
    encoding: str = "utf-8",
    as_bytes: pa.Array | None = None,
) -> Values:
    """Decode the bytes of a column.

    Args:
        values: the bytes.
        states: their states.
        encoding: that of the database: utf-8, utf-16-le or utf-16-be.
        as_bytes: whether each value was stored as bytes, which are in UTF-8; None if none was.
    """
    if encoding == "utf-8":
        try:
            return Values(texts=values.cast(pa.string()), states=states, undecodable=())
        except pa.ArrowInvalid:
            pass  # some bytes are not UTF-8: find them, row by row
    texts, undecodable = [], []
    are_bytes = as_bytes.to_pylist() if as_bytes is not None else [0] * len(values)
    for row, (value, is_bytes) in enumerate(zip(values.to_pylist(), are_bytes, strict=True)):
        text, is_text = _decode_value(value, "utf-8" if is_bytes else encoding)
        texts.append(text)
        if not is_text:
            undecodable.append(row)
    return Values(texts=pa.array(texts, pa.string()), states=states, undecodable=tuple(undecodable))


def _decode_value(value: bytes, encoding: str) -> tuple[str, bool]:
    """Return the text, and whether the bytes are one."""
    try:
        return value.decode(encoding), True
    except UnicodeDecodeError:
        pass
    try:
        return _join_surrogates(value.decode(encoding, "surrogatepass"))[0], False
    except UnicodeDecodeError:
        return value.decode(encoding, "replace"), False


def _join_surrogates(text: str) -> tuple[str, bool]:
    """Return the text without surrogates, and whether each of them had its partner.

    Pairs become the character that they stand for, and others U+FFFD.
    """
    encoded = text.encode("utf-16-le", "surrogatepass")
    try:
        return encoded.decode("utf-16-le"), True
    except UnicodeDecodeError:
        return encoded.decode("utf-16-le", "replace"), False


def reasons_of(values: Values) -> pa.StringArray:
    """Return why posts with these texts cannot be sent; null for those that can."""
    reasons = pa.nulls(len(values.texts), pa.string())
    if values.has(*_WITHOUT_TEXT):
        reasons = pc.if_else(_is_in(values, _WITHOUT_TEXT), pa.scalar(NO_TEXT), reasons)
    if not values.undecodable:
        return reasons
    rows = reasons.to_pylist()
    for row in values.undecodable:
        rows[row] = rows[row] or INVALID_TEXT
    return pa.array(rows, pa.string())


def texts_of(values: Values) -> pa.StringArray:
    """Return the texts of posts: null where there is none, and never a serialized record."""
    return _null_at(values, _WITHOUT_TEXT)


def times_of(values: Values) -> pa.StringArray:
    """Return the times of posts as they are stored: null where there is none."""
    return _null_at(values, _WITHOUT_VALUE)


def _null_at(values: Values, states: tuple[State, ...]) -> pa.StringArray:
    if not values.has(*states):
        return values.texts
    return pc.if_else(_is_in(values, states), pa.scalar(None, pa.string()), values.texts)


def _is_in(values: Values, states: tuple[State, ...]) -> pa.BooleanArray:
    return pc.is_in(values.states, pa.array(states, pa.int64()))


def read_literals(records: Values, keys: Sequence[Sequence[str]]) -> list[Values]:
    """Return the values to which some keys lead in records that are Python literals.

    Args:
        records: the column with the records.
        keys: the keys to each of the values.
    """
    columns: list[_Column] = [_Column(path) for path in keys]
    texts, undecodable = records.texts.to_pylist(), set(records.undecodable)
    absent = [bool(state) for state in records.states.to_pylist()]
    for row, literal in enumerate(parse_literals(texts)):
        for column in columns:
            text, state = column.read(texts[row], NO_SUCH_KEY if absent[row] else literal)
            whole, is_text = _join_surrogates(text)
            if not is_text or (row in undecodable and _REPLACEMENT in whole):
                column.undecodable.append(row)
            column.texts.append(whole)
            column.states.append(state)
    return [
        Values(
            texts=pa.array(column.texts, pa.string()),
            states=pa.array(column.states, pa.int64()),
            undecodable=tuple(column.undecodable),
        )
        for column in columns
    ]


class _Column:
    """Collects the values to which some keys lead."""

    def __init__(self, keys: Sequence[str]) -> None:
        self._keys = keys
        self.texts: list[str] = []
        self.states: list[State] = []
        self.undecodable: list[int] = []

    def read(self, record: str, literal: object) -> tuple[str, State]:
        """Return the value as text, and its state."""
        if literal is NOT_A_LITERAL:
            return record[:_SHOWN_CHARACTERS], State.MALFORMED
        match value_at(literal, self._keys):
            case str() as text:
                return text, State.VALUE
            case None:
                return "", State.NULL
            case NoSuchKey():
                return "", State.ABSENT
            case float() as number:
                return repr(number), State.REAL
            case int() as number:
                return str(number), State.VALUE
            case bytes() as content:  # bytes that are not text become surrogates, and then U+FFFD
                return content.decode("utf-8", "surrogateescape"), State.VALUE
            case nested:
                return str(nested)[:_SHOWN_CHARACTERS], State.NESTED
