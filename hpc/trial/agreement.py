"""Measure how well two sides agree in the labels to a few posts. Pure."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from hpc.comparison.columns import NOT_LABELS
from pipeline.model import Column, ColumnKind, LabelValue

NUMBERS = (ColumnKind.NUMBER, ColumnKind.INTEGER)


class Measure(StrEnum):
    """What is measured."""

    SHARE_EQUAL = "share_equal"
    """The share of posts with the same value, from 0 to 1."""

    MEAN_ABSOLUTE_ERROR = "mean_absolute_error"
    """The mean distance of two numbers, in their own unit."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Side:
    """One side's labels."""

    title: str
    columns: Sequence[Column]
    values: Mapping[str, Mapping[str, LabelValue]]
    """By uri, of the posts that have labels."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Agreement:
    """How well two sides agree in one label."""

    a: str
    b: str
    label: str
    measure: Measure
    posts: int
    """How many posts have a value on both sides."""

    value: float | None
    """None if there is no such post."""


def label_names(columns: Sequence[Column]) -> list[str]:
    """Return the columns that are labels: neither costs, nor facts about the answer."""
    return [
        column.name
        for column in columns
        if column.kind is not ColumnKind.COUNT and not column.fact and column.name not in NOT_LABELS
    ]


def measure_agreement(a: Side, b: Side) -> list[Agreement]:
    """Return the agreement in each label that both sides have, in the order of `b`.

    A post without a value on either side does not count. Columns of different kinds are left out.
    """
    kinds = {column.name: column.kind for column in a.columns}
    result = []
    for column in b.columns:
        measure = _measure_of(kinds.get(column.name), column.kind)
        if column.name not in label_names(b.columns) or measure is None:
            continue
        pairs = [
            (mine, theirs)
            for uri, values in a.values.items()
            if _is_value(mine := values.get(column.name))
            and _is_value(theirs := b.values.get(uri, {}).get(column.name))
        ]
        result.append(
            Agreement(
                a=a.title,
                b=b.title,
                label=column.name,
                measure=measure,
                posts=len(pairs),
                value=_value(measure, pairs),
            )
        )
    return result


def _measure_of(a: ColumnKind | None, b: ColumnKind) -> Measure | None:
    if a in NUMBERS and b in NUMBERS:
        return Measure.MEAN_ABSOLUTE_ERROR
    return Measure.SHARE_EQUAL if a == b else None


def _is_value(value: LabelValue) -> bool:
    return value is not None and not (isinstance(value, float) and not math.isfinite(value))


def _value(measure: Measure, pairs: Sequence[tuple[LabelValue, LabelValue]]) -> float | None:
    if not pairs:
        return None
    if measure is Measure.SHARE_EQUAL:
        return sum(a == b for a, b in pairs) / len(pairs)
    return sum(abs(float(a or 0) - float(b or 0)) for a, b in pairs) / len(pairs)
