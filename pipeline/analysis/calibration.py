"""The calibration of scores for a label: of the posts with about this score, what share has it."""

import numpy as np

from pipeline.analysis import bootstrap, statistics
from pipeline.analysis.agreement import Array, ratio
from pipeline.analysis.bootstrap import BootstrapDraws, Flags
from pipeline.analysis.results import Bin, Curve

BINS = 10


def are_shares(numbers: Array) -> bool:
    """Whether they may be probabilities."""
    return bool(numbers.min() >= 0 and numbers.max() <= 1)


def curve(
    side: str, scores: Array, positive: Flags, label: str, strategy: str, draws: BootstrapDraws
) -> tuple[Curve, ...]:
    """By bins of scores; none where these are no shares.

    scikit-learn tells neither how many posts a bin has nor where it ends: its edges are made again
    here. For the intervals the bins stay as they are, and the posts in them are drawn.

    Args:
        side: whose scores they are; label: what a positive post is called.
        strategy: bins of the same width (`uniform`), or of as many posts (`quantile`).
    """
    if not are_shares(scores):
        return ()
    shares, means = statistics.calibration(positive, scores, bins=BINS, strategy=strategy)
    edges = np.linspace(0, 1, BINS + 1)
    if strategy == "quantile":
        edges = np.percentile(scores, edges * 100)
    where = np.searchsorted(edges[1:-1], scores)
    cells = np.bincount(2 * where + positive, minlength=2 * BINS)
    table = cells.reshape(BINS, 2).astype(np.float64)
    drawn = bootstrap.of_table(table, {"share": _shares}, draws)["share"]
    bins = tuple(
        Bin(
            low=float(edges[at]),
            high=float(edges[at + 1]),
            posts=int(table[at].sum()),
            mean_score=float(mean),
            share_positive=float(share),
            interval=bootstrap.interval(drawn[:, at])[0],
        )
        for at, mean, share in zip(np.flatnonzero(table.sum(axis=1)), means, shares, strict=True)
    )
    return (Curve(score=side, label=label, bins=bins),)


def _shares(tables: Array) -> Array:
    return ratio(tables[..., 1], tables.sum(axis=-1))
