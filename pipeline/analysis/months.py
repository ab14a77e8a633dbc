"""Measure by month how well two columns agree."""

import numpy as np

from pipeline.analysis import bootstrap
from pipeline.analysis.agreement import Array, ratio
from pipeline.analysis.options import BootstrapDraws
from pipeline.analysis.overlap import NUMBERS, Overlap
from pipeline.analysis.results import Month


def agreement_by_month(
    overlap: Overlap, number: int, threshold: float | None, draws: BootstrapDraws
) -> tuple[Month, ...]:
    """Return the share of posts in which a pair agrees, by month of preprocessing.

    Args:
        overlap: the posts that both labeled.
        number: the number of the pair.
        threshold: from where on numbers are positive; None if no side has numbers.
        draws: how often to resample.
    """
    pair = overlap.pairs[number]
    sides = [
        f"({side}{number} >= {threshold!r}::DOUBLE)::VARCHAR"
        if kind in NUMBERS
        else f"{side}{number}::VARCHAR"
        for side, kind in zip("ab", pair.kinds, strict=True)
    ]
    rows = overlap.agreement_by_month(number, " = ".join(sides))
    if not rows:
        return ()
    table = np.array([[posts - equal, equal] for _, posts, equal in rows], dtype=np.float64)
    samples = bootstrap.resample_table(table, {"share": _shares}, draws)["share"]
    return tuple(
        Month(
            month=month,
            posts=posts,
            agreement=equal / posts,
            interval=bootstrap.percentile_interval(samples[:, place])[0]
            if 0 < equal < posts
            else None,
        )
        for place, (month, posts, equal) in enumerate(rows)
    )


def _shares(tables: Array) -> Array:
    return ratio(tables[..., 1], tables.sum(axis=-1))
