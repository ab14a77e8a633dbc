"""What answers cost, summed: the columns of kind `count`, such as tokens. They are no labels.

A column without a value in any row has no sum: unknown is not nothing.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.model import Column, ColumnKind


def counted(columns: Iterable[Column]) -> tuple[str, ...]:
    return tuple(column.name for column in columns if column.kind == ColumnKind.COUNT)


def summed(table: pa.Table, names: Iterable[str]) -> dict[str, int]:
    """The sums of these columns, without those that hold no value."""
    sums = {name: pc.sum(table[name]).as_py() for name in names}
    return {name: total for name, total in sums.items() if total is not None}


def per_minute(
    now: Mapping[str, int], before: Mapping[str, int], seconds: float
) -> dict[str, float]:
    """How fast sums grew over so many seconds; {} where none went by."""
    if seconds <= 0:
        return {}
    return {name: round(60 * (now[name] - before.get(name, 0)) / seconds, 1) for name in now}


def read(values: Any) -> dict[str, int]:
    """Sums out of JSON that another process wrote; what is no count is left out."""
    return {name: value for name, value in _numbers(values, int).items() if value >= 0}


def read_rates(values: Any) -> dict[str, float]:
    return {name: float(value) for name, value in _numbers(values, int | float).items()}


def _numbers(values: Any, kind: Any) -> dict[str, Any]:
    if not isinstance(values, dict):
        return {}
    return {
        name: value
        for name, value in values.items()
        if isinstance(value, kind) and not isinstance(value, bool)
    }
