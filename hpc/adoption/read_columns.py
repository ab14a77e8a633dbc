"""Write the SQL that reads values out of another engine's rows, or says what is wrong with them.

A value is taken as it is or rejected; nothing is guessed. A text `"true"` is no bool.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from pipeline.classifiers.external import BOOL, CHOICE, INTEGER, NUMBER, TEXT, ExternalLabel
from pipeline.sql import literal, quoted

URI, REASON = "uri", "reason"
_WHOLE_NUMBERS = frozenset(
    {"TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT"}
    | {"UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT", "UHUGEINT"}
)
_FRACTIONS = frozenset({"FLOAT", "DOUBLE"})
# Past it, not every whole number is a double.
_LARGEST_EXACT = 2**53
_LONGEST_SHOWN = 60
_EXPECTED = {
    BOOL: "true or false",
    NUMBER: "a number",
    INTEGER: "a whole number",
    TEXT: "a text",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Field:
    """One field of a row, as SQL."""

    is_null: str
    """Whether it has no value."""
    is_bool: str
    is_number: str
    is_text: str
    """Whether its value is of that type."""
    value: str
    """The value; of JSON, as text."""


class Rows(Protocol):
    """A table of another engine's rows."""

    def field(self, name: str) -> Field:
        """Return one field of a row."""

    @property
    def broken(self) -> str:
        """SQL for why a row cannot be read at all, as a PROBLEM; null if it can."""


@dataclass(frozen=True, slots=True)
class ParquetRows:
    """Rows with typed columns."""

    types: Mapping[str, str]
    """The columns' types in DuckDB's words."""

    @property
    def broken(self) -> str:
        """Return SQL for null: Parquet has no broken rows."""
        return "NULL"

    def field(self, name: str) -> Field:
        """Return one column; a column that is not there has no value."""
        kind = self.types.get(name)
        if kind is None:
            return Field(is_null="true", is_bool="false", is_number="false", is_text="false",
                         value="NULL")  # fmt: skip
        column = quoted(name)
        is_number = kind in _WHOLE_NUMBERS | _FRACTIONS or kind.startswith("DECIMAL")
        return Field(
            is_null=f"{column} IS NULL",
            is_bool=_sql(kind == "BOOLEAN"),
            is_number=_sql(is_number),
            is_text=_sql(kind == "VARCHAR"),
            value=column,
        )


class JsonRows:
    """Rows that are JSON objects, in column `json`."""

    @property
    def broken(self) -> str:
        """Return SQL for why a row cannot be read: it is no object, or repeats a key."""
        return (
            f"CASE WHEN json_type(json) <> 'OBJECT' THEN {problem_sql('it is no JSON object')} "
            "WHEN len(json_keys(json)) > len(list_distinct(json_keys(json))) "
            f"THEN {problem_sql('it has a key twice')} END"
        )

    def field(self, name: str) -> Field:
        """Return the value at a key; a missing key has none."""
        path = literal(f'$."{name}"')
        kind = f"json_type(json, {path})"
        return Field(
            is_null=f"coalesce({kind}, 'NULL') = 'NULL'",
            is_bool=f"{kind} = 'BOOLEAN'",
            is_number=f"{kind} IN ('DOUBLE', 'BIGINT', 'UBIGINT', 'HUGEINT')",
            is_text=f"{kind} = 'VARCHAR'",
            value=f"(json ->> {path})",
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """How a value is read, as SQL."""

    value: str
    """The value in its column's type; null where it is null or wrong."""
    problem: str
    """What is wrong with it, as a PROBLEM; null if nothing is."""


PROBLEM = "STRUCT(kind VARCHAR, value VARCHAR)"
"""SQL type of what is wrong with a row: a clause that many rows share, and the wrong value."""


def problem_sql(kind: str, value: str = "NULL") -> str:
    """Return SQL for a PROBLEM; `value` is SQL for the wrong value."""
    return f"{{'kind': {literal(kind)}, 'value': CAST({value} AS VARCHAR)}}"


def read_text(field: Field, name: str) -> Reading:
    """Return how a text that is no label is read."""
    is_wrong = f"NOT ({field.is_null}) AND NOT ({field.is_text})"
    problem = problem_sql(f"{name}: should be a text", _shown(field))
    return Reading(
        value=f"CASE WHEN {field.is_text} THEN {_as_text(field)} END",
        problem=f"CASE WHEN {is_wrong} THEN {problem} END",
    )


def read_label(field: Field, label: ExternalLabel) -> Reading:
    """Return how the value of a label is read and checked."""
    value, is_valid = _CHECKS[label.type](field, label)
    problem = problem_sql(f"{label.name}: should be {_describe_expected(label)}", _shown(field))
    return Reading(
        value=f"CASE WHEN {is_valid} THEN {value} END",
        problem=f"CASE WHEN NOT ({field.is_null}) AND NOT coalesce({is_valid}, false) "
        f"THEN {problem} END",
    )


def _shown(field: Field) -> str:
    return f"left({_as_text(field)}, {_LONGEST_SHOWN})"


def _bool(field: Field, label: ExternalLabel) -> tuple[str, str]:
    return f"TRY_CAST({field.value} AS BOOLEAN)", field.is_bool


def _number(field: Field, label: ExternalLabel) -> tuple[str, str]:
    number = f"TRY_CAST({field.value} AS DOUBLE)"
    valid = f"{field.is_number} AND isfinite({number})"
    return number, valid + _within(number, label)


def _integer(field: Field, label: ExternalLabel) -> tuple[str, str]:
    # Programs with one type for all numbers write 3 as 3.0.
    number, whole = f"TRY_CAST({field.value} AS DOUBLE)", f"TRY_CAST({field.value} AS BIGINT)"
    is_whole = f"isfinite({number}) AND {number} = floor({number})"
    is_exact = f"(abs({number}) < {_LARGEST_EXACT} OR CAST({whole} AS VARCHAR) = " + (
        f"CAST({field.value} AS VARCHAR))"
    )
    valid = f"{field.is_number} AND {is_whole} AND {whole} IS NOT NULL AND {is_exact}"
    return whole, valid + _within(number, label)


def _as_text(field: Field) -> str:
    # Also where the column has another type: the CASE around it has to have one type.
    return f"CAST({field.value} AS VARCHAR)"


def _text(field: Field, label: ExternalLabel) -> tuple[str, str]:
    return _as_text(field), field.is_text


def _choice(field: Field, label: ExternalLabel) -> tuple[str, str]:
    choices = ", ".join(map(literal, label.choices))
    return _as_text(field), f"{field.is_text} AND {_as_text(field)} IN ({choices})"


_CHECKS = {BOOL: _bool, CHOICE: _choice, INTEGER: _integer, NUMBER: _number, TEXT: _text}


def _within(number: str, label: ExternalLabel) -> str:
    least = "" if label.minimum is None else f" AND {number} >= {label.minimum!r}"
    most = "" if label.maximum is None else f" AND {number} <= {label.maximum!r}"
    return least + most


def _describe_expected(label: ExternalLabel) -> str:
    if label.type == CHOICE:
        return f"one of {', '.join(label.choices)}"
    least = "" if label.minimum is None else f" from {label.minimum:g}"
    most = "" if label.maximum is None else f" up to {label.maximum:g}"
    return f"{_EXPECTED[label.type]}{least}{most}"


def _sql(condition: bool) -> str:
    return str(condition).lower()
