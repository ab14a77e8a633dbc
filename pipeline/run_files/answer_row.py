"""Turn one answer into a row of a checkpoint part, and check it against the declared columns.

A value that no part can hold is rejected here. If it were found when the part is written, the
other answers of the part would be lost with it.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

import pyarrow as pa

from pipeline import usage
from pipeline.errors import Cause, TaskError
from pipeline.late_imports import arrow_compute as pc
from pipeline.model import (
    ENVELOPE,
    KIND_TYPES,
    POST_COLUMNS,
    RAW,
    Answer,
    Column,
    ColumnKind,
    LabelValue,
)


def part_schema(columns: tuple[Column, ...], *, keep_raw: bool = False) -> pa.Schema:
    """Return a part's columns: the uri and the answer; text and timestamp stay in the shard."""
    answer = ENVELOPE[len(POST_COLUMNS) :]
    raw = [RAW] if keep_raw else []
    return pa.schema([POST_COLUMNS[0], *answer, *(c.arrow() for c in columns), *raw])


Row = tuple[object, ...]
"""An answer's values, in the order of `part_schema`."""


class AnswerRows:
    """Builds the rows of one classifier's answers."""

    def __init__(self, columns: tuple[Column, ...], *, keep_raw: bool) -> None:
        """Keep the classifier's columns; with `keep_raw` rows hold the responses too."""
        self.schema = part_schema(columns, keep_raw=keep_raw)
        self._kinds = {column.name: ColumnKind(column.kind) for column in columns}
        self._optional = set(usage.count_columns(columns))
        self._keep_raw = keep_raw

    def build(self, answer: Answer, labeled_at: datetime) -> Row:
        """Return the answer as a row, with `labeled_at` (UTC) as its `label_timestamp`.

        Raises:
            TaskError: the values are not what the classifier's columns declare.
        """
        if answer.reason is not None and not _is_utf8(answer.reason):
            raise _broken(f"gave the reason {answer.reason!r} for {answer.uri}")
        if answer.values is None and not answer.reason:
            raise _broken(f"gave neither a label nor a reason for {answer.uri}")
        envelope = (answer.uri, answer.values is not None, answer.reason, labeled_at)
        values = self._values(answer)
        if not self._keep_raw:
            return (*envelope, *values)
        if answer.raw is not None and not _is_utf8(answer.raw):
            raise _broken(f"gave a raw response that is not valid text for {answer.uri}")
        return (*envelope, *values, answer.raw)

    def table(self, rows: Sequence[Row]) -> pa.Table:
        """Return rows as a table, in `part_schema`."""
        if not rows:
            return self.schema.empty_table()
        columns = zip(*rows, strict=True)
        arrays = [
            pa.array(column, field.type) for column, field in zip(columns, self.schema, strict=True)
        ]
        return pa.table(arrays, schema=self.schema)

    def _values(self, answer: Answer) -> list[LabelValue]:
        values: Mapping[str, LabelValue] = answer.values or {}
        if answer.facts:
            values = {**answer.facts, **values}
        if values.keys() != self._kinds.keys():
            self._check_names(answer, values)
        row: list[LabelValue] = []
        for name, kind in self._kinds.items():
            value = values.get(name)
            if not _fits(value, kind):
                raise _broken(f"answered {name} = {value!r} for {answer.uri}")
            row.append(_to_stored(value, kind))
        return row

    def _check_names(self, answer: Answer, values: Mapping[str, LabelValue]) -> None:
        undeclared = values.keys() - self._kinds.keys()
        missing = self._kinds.keys() - values.keys() - self._optional
        if undeclared or (answer.values is not None and missing):
            raise _broken(
                f"declares the columns {', '.join(self._kinds)} "
                f"but answered {', '.join(values)} for {answer.uri}"
            )


def _fits(value: LabelValue, kind: ColumnKind) -> bool:
    if value is None:
        return True
    # The two that most labels are, first: a task checks every value of every answer.
    if kind is ColumnKind.NUMBER and type(value) is float:
        return value == value  # which NaN does not
    if kind is ColumnKind.TEXT and type(value) is str:
        return _is_utf8(value)
    types = KIND_TYPES[kind]
    if not isinstance(value, types.python):
        return False
    if isinstance(value, bool):
        return kind == ColumnKind.FLAG
    if isinstance(value, str):
        return _is_utf8(value)
    if kind == ColumnKind.COUNT and value < 0:
        return False
    return not math.isnan(value) if isinstance(value, float) else abs(value) < types.limit


def _to_stored(value: LabelValue, kind: ColumnKind) -> LabelValue:
    """Convert whole numbers of a number column: Arrow rejects those past 2**53 for a float64."""
    return value if value is None or kind is not ColumnKind.NUMBER else float(value)


def _is_utf8(text: str) -> bool:
    """Return False for half a surrogate pair, which JSON can hold and Parquet cannot."""
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def sum_columns(rows: pa.Table, names: Iterable[str]) -> dict[str, int]:
    """Sum these columns of counts; one without any value is left out, as it is not known."""
    sums = {name: pc.sum(rows[name]).as_py() for name in names}
    return {name: total for name, total in sums.items() if total is not None}


def _broken(what: str) -> TaskError:
    return TaskError(Cause.REFUSED, f"the classifier {what}: this breaks the classifier protocol")
