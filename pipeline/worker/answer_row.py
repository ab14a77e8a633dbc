"""One answer as a row of a checkpoint part: what a classifier said, held against what it declares.

What a part could not hold is refused here: when the part is written, it would take others along.
"""

import math
import sys
from datetime import datetime

from pipeline import cost_columns
from pipeline.errors import Cause, TaskError
from pipeline.model import COUNT, LARGEST_COUNT, RAW, Answer, Column, LabelValue

_KINDS: dict[str, tuple[type, ...]] = {
    "text": (str,),
    "number": (int, float),
    "integer": (int,),
    "flag": (bool,),
    COUNT: (int,),
}

_LARGEST = {"number": sys.float_info.max, "integer": 2**63, "flag": 2, COUNT: LARGEST_COUNT + 1}


class Rows:
    """Rows for a classifier with these columns."""

    def __init__(self, columns: tuple[Column, ...], *, keep_raw: bool) -> None:
        self._kinds = {column.name: column.kind for column in columns}
        self._may_lack = set(cost_columns.counted(columns))
        self._keep_raw = keep_raw

    def of(self, answer: Answer, at: datetime) -> dict[str, object]:
        """Raises TaskError where the values are not what the classifier's columns declare."""
        row: dict[str, object] = {
            "uri": answer.uri,
            "was_successfully_labeled": answer.values is not None,
            "reason": answer.reason,
            "label_timestamp": at,
        }
        if answer.reason is not None and not _is_utf8(answer.reason):
            raise _broken(f"gave the reason {answer.reason!r} for {answer.uri}")
        if answer.values is None and not answer.reason:
            raise _broken(f"gave neither a label nor a reason for {answer.uri}")
        values = {**answer.facts, **(answer.values or {})}
        undeclared = values.keys() - self._kinds.keys()
        left_out = self._kinds.keys() - values.keys() - self._may_lack
        if undeclared or (answer.values is not None and left_out):
            raise _broken(
                f"declares the columns {', '.join(self._kinds)} "
                f"but answered {', '.join(values)} for {answer.uri}"
            )
        for name, value in values.items():
            if not _fits(value, self._kinds[name]):
                raise _broken(f"answered {name} = {value!r} for {answer.uri}")
            row[name] = _stored(value, self._kinds[name])
        if self._keep_raw and answer.raw is not None:
            if not _is_utf8(answer.raw):
                raise _broken(f"gave a raw response that is no text for {answer.uri}")
            row[RAW.name] = answer.raw
        return row


def _fits(value: LabelValue, kind: str) -> bool:
    if value is None:
        return True
    if not isinstance(value, _KINDS[kind]) or (isinstance(value, bool) and kind != "flag"):
        return False
    if isinstance(value, str):
        return _is_utf8(value)
    if kind == COUNT and value < 0:
        return False
    return not math.isnan(value) if isinstance(value, float) else abs(value) < _LARGEST[kind]


def _stored(value: LabelValue, kind: str) -> LabelValue:
    """Arrow takes no whole number past 2**53 for a float64."""
    return value if value is None or kind != "number" else float(value)


def _is_utf8(text: str) -> bool:
    """A model's JSON may hold half a surrogate pair, which no Parquet file can."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _broken(what: str) -> TaskError:
    return TaskError(Cause.REFUSED, f"the classifier {what}: it breaks its own protocol")
