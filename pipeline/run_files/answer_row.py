"""Turn one answer into a row of a checkpoint part, and check it against the declared columns.

A value that no part can hold is rejected here. If it were found when the part is written, the
other answers of the part would be lost with it.
"""

import math
from collections.abc import Iterable
from datetime import datetime

import pyarrow as pa

from pipeline import usage
from pipeline.arrow import compute as pc
from pipeline.errors import Cause, TaskError
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


class AnswerRows:
    """Builds the rows of one classifier's answers."""

    def __init__(self, columns: tuple[Column, ...], *, keep_raw: bool) -> None:
        """Take the classifier's columns; with `keep_raw` rows hold the responses too."""
        self._kinds = {column.name: column.kind for column in columns}
        self._optional = set(usage.count_columns(columns))
        self._keep_raw = keep_raw

    def build(self, answer: Answer, labeled_at: datetime) -> dict[str, object]:
        """Return the answer as a row, with `labeled_at` (UTC) as its `label_timestamp`.

        Raises:
            TaskError: the values are not what the classifier's columns declare.
        """
        if answer.reason is not None and not _is_utf8(answer.reason):
            raise _broken(f"gave the reason {answer.reason!r} for {answer.uri}")
        if answer.values is None and not answer.reason:
            raise _broken(f"gave neither a label nor a reason for {answer.uri}")
        row: dict[str, object] = {
            "uri": answer.uri,
            "was_successfully_labeled": answer.values is not None,
            "reason": answer.reason,
            "label_timestamp": labeled_at,
            **self._values(answer),
        }
        if self._keep_raw and answer.raw is not None:
            if not _is_utf8(answer.raw):
                raise _broken(f"gave a raw response that is not valid text for {answer.uri}")
            row[RAW.name] = answer.raw
        return row

    def _values(self, answer: Answer) -> dict[str, LabelValue]:
        values = {**answer.facts, **(answer.values or {})}
        undeclared = values.keys() - self._kinds.keys()
        missing = self._kinds.keys() - values.keys() - self._optional
        if undeclared or (answer.values is not None and missing):
            raise _broken(
                f"declares the columns {', '.join(self._kinds)} "
                f"but answered {', '.join(values)} for {answer.uri}"
            )
        for name, value in values.items():
            if not _fits(value, self._kinds[name]):
                raise _broken(f"answered {name} = {value!r} for {answer.uri}")
        return {name: _stored(value, self._kinds[name]) for name, value in values.items()}


def _fits(value: LabelValue, kind: ColumnKind) -> bool:
    if value is None:
        return True
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


def _stored(value: LabelValue, kind: ColumnKind) -> LabelValue:
    """Convert whole numbers of a number column: Arrow rejects those past 2**53 for a float64."""
    return value if value is None or kind != ColumnKind.NUMBER else float(value)


def _is_utf8(text: str) -> bool:
    """Return False for half a surrogate pair, which JSON can hold and Parquet cannot."""
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
