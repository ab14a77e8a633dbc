"""How far two classifiers agree, as values: what `--json` prints and the table is made of. Pure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.text import counted

CONFIDENCE = 0.95
Interval = tuple[float, float]


@dataclass(frozen=True, kw_only=True, slots=True)
class Estimate:
    """A measure and its bootstrap interval; where one of them is None, `reason` says why."""

    value: float | None
    interval: Interval | None = None
    reason: str = ""

    def __post_init__(self) -> None:
        numbers = (self.value, *(self.interval or ()))
        assert all(math.isfinite(number) for number in numbers if number is not None)


@dataclass(frozen=True, kw_only=True, slots=True)
class Confusion:
    """Posts by A's category (rows) and B's (columns)."""

    a: tuple[str, ...]
    b: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Bin:
    """Posts whose score is above `low` (the first: from it on) and up to `high`; the share of them
    that is positive, with its interval."""

    low: float
    high: float
    posts: int
    mean_score: float
    share_positive: float
    interval: Interval | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Curve:
    """The calibration of one's scores (`score`: a or b) for the other's label. Empty bins are left
    out."""

    score: str
    label: str
    bins: tuple[Bin, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """One column of A beside one of B. `posts` have a value in both; `without_a` and `without_b`
    count those that have none in A's, in B's. `threshold`: from there on a number is positive."""

    a: str
    b: str
    kinds: tuple[str, str]
    posts: int
    without_a: int
    without_b: int
    threshold: float | None = None
    measures: dict[str, Estimate]
    confusion: Confusion | None = None
    calibration: tuple[Curve, ...] = ()


@dataclass(frozen=True, slots=True)
class NotCompared:
    """Two columns that are not compared, and why."""

    a: str
    b: str
    reason: str


MEANING = {
    "pearson": "Pearson's r",
    "spearman": "Spearman's rho",
    "mean_difference": "mean of A - B",
    "alpha_interval": "Krippendorff's alpha, interval",
    "agreement": "agreement",
    "kappa": "Cohen's kappa",
    "alpha_nominal": "Krippendorff's alpha, nominal",
    "auc_a_for_b": "AUC of A's score for B's label",
    "auc_b_for_a": "AUC of B's score for A's label",
}
AT_THRESHOLD = ("agreement", "kappa", "alpha_nominal")


def text(one: Comparison) -> str:
    """A comparison as a table."""
    out = one.without_a or one.without_b
    missing = f" ({one.without_a:,} have none in A, {one.without_b:,} in B)" if out else ""
    lines = [
        f"A {one.a} ({one.kinds[0]}), B {one.b} ({one.kinds[1]}): "
        f"{counted(one.posts, 'post')}{missing}"
    ]
    cut = f"at {one.threshold:g} or more: " if one.threshold is not None else ""
    labels = []
    for name in one.measures:
        kind, _, category = name.partition(": ")
        labels.append(f"{cut * (kind in AT_THRESHOLD)}{MEANING[kind]} {category}".rstrip())
    width = max(map(len, labels))
    for label, estimate in zip(labels, one.measures.values(), strict=True):
        lines.append(f"  {label:<{width}}  {_told(estimate)}")
    if one.confusion:
        lines += ["", *_crossed(one.confusion)]
    for curve in one.calibration:
        lines += ["", *_calibrated(curve)]
    return "\n".join(lines)


def _told(one: Estimate) -> str:
    value = f"{one.value:7.3f}" if one.value is not None else "      -"
    interval = f"  {_interval(one.interval)}" if one.interval else ""
    return value + interval + (f"  {one.reason}" if one.reason else "")


def _interval(interval: Interval) -> str:
    return f"[{interval[0]:.3f}, {interval[1]:.3f}]"


def _crossed(table: Confusion) -> list[str]:
    names = [f"A {name}" for name in table.a]
    heads = [f"B {name}" for name in table.b]
    rows = [[f"{count:,}" for count in row] for row in table.counts]
    return _aligned([["posts", *heads], *([n, *row] for n, row in zip(names, rows, strict=True))])


def _calibrated(curve: Curve) -> list[str]:
    rows = [["score", "posts", "mean", "share", f"{CONFIDENCE:.0%}"]]
    for one in curve.bins:
        rows.append(
            [
                f"{one.low:.3f} - {one.high:.3f}",
                f"{one.posts:,}",
                f"{one.mean_score:.3f}",
                f"{one.share_positive:.3f}",
                _interval(one.interval) if one.interval else "-",
            ]
        )
    return [f"  of {curve.score.upper()}'s scores, the share with {curve.label}:", *_aligned(rows)]


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "    "
        + f"{first:<{widths[0]}}"
        + "".join(f"  {cell:>{width}}" for cell, width in zip(rest, widths[1:], strict=True))
        for first, *rest in rows
    ]
