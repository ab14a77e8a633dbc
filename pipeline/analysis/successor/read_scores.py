"""Read a successor's scores beside the labels that it replaces: DuckDB groups equal scores."""

import numpy as np

from pipeline.analysis.agreement import Array
from pipeline.analysis.overlap import NUMBERS, Overlap
from pipeline.analysis.successor.score_groups import ScoreGroups
from pipeline.model import ColumnKind

# With more different scores, close ones are put together.
MOST_SCORES = 100_000


def read_scores(overlap: Overlap, number: int, threshold: float | None = None) -> ScoreGroups:
    """Return the weighted posts of a pair by B's score, which has to be a number.

    Args:
        overlap: the posts that both labeled.
        number: the number of the pair.
        threshold: from where on a number of A is positive; None where that is not known.
    """
    kind = overlap.pairs[number].a.kind
    a, b = f"a{number}", f"b{number}"
    mean = f"sum(weight * {a})" if kind in NUMBERS else "NULL"
    positive = _is_positive(a, kind, threshold)
    positives = f"coalesce(sum(weight) FILTER ({positive}), 0)" if positive else "NULL"
    extent = overlap.select(
        number, f"approx_count_distinct({b}) AS scores, min({b}) AS low, max({b}) AS high"
    )
    group = b
    if extent["scores"][0] > MOST_SCORES:
        low, high = float(extent["low"][0]), float(extent["high"][0])
        group = f"floor(({b} - {low!r}::DOUBLE) / {(high - low) / MOST_SCORES!r}::DOUBLE)"
    found = overlap.select(
        number,
        # Not the mean of equal scores, whose last digits may differ from theirs.
        f"min({b}) AS score, sum(weight) AS weight, "
        f"({mean} / sum(weight))::DOUBLE AS mean, "
        f"({positives} / sum(weight))::DOUBLE AS positive, count(*) AS posts",
        f"GROUP BY {group} ORDER BY 1",
    )
    return ScoreGroups(
        scores=_numbers(found["score"]),
        weights=_numbers(found["weight"]),
        means=_numbers(found["mean"]),
        positive=_numbers(found["positive"]),
        posts=int(found["posts"].sum()),
    )


def _is_positive(a: str, kind: ColumnKind, threshold: float | None) -> str:
    """Return SQL for what A calls positive; empty where that is not known."""
    if kind is ColumnKind.FLAG:
        return a
    if kind in NUMBERS and threshold is not None:
        return f"{a} >= {threshold!r}::DOUBLE"
    return ""


def _numbers(values: Array) -> Array:
    """Return numbers, with NaN for NULL."""
    return np.ma.filled(np.ma.asarray(values).astype(np.float64), np.nan)
