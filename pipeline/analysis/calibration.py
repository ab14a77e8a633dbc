"""Compute how well scores are calibrated: which share of the posts with a score has the label."""

import numpy as np

from pipeline.analysis import bootstrap, statistics
from pipeline.analysis.agreement import Array, ratio
from pipeline.analysis.bootstrap import Flags
from pipeline.analysis.options import CompareOptions
from pipeline.analysis.results import Bin, Curve, Interval

BINS = 10


def are_shares(numbers: Array) -> bool:
    """Tell whether numbers may be probabilities: all between 0 and 1."""
    return bool(numbers.min() >= 0 and numbers.max() <= 1)


def calibration_curves(
    side: str, scores: Array, positive: Flags, label: str, options: CompareOptions
) -> tuple[Curve, ...]:
    """Return the curve of scores for a label; none where the scores are not between 0 and 1.

    scikit-learn returns neither the edges of the bins nor how many posts they hold, so the edges
    are computed again here. The intervals keep the bins, and resample the posts in them.

    Args:
        side: whose scores they are, `a` or `b`.
        scores: of the posts.
        positive: which posts have the label.
        label: the label in words.
        options: the kind of bins, and how often to resample.
    """
    if not are_shares(scores):
        return ()
    shares, means = statistics.calibration(positive, scores, bins=BINS, strategy=options.bins)
    edges = np.linspace(0, 1, BINS + 1)
    if options.bins == "quantile":
        edges = np.percentile(scores, edges * 100)
    where = np.searchsorted(edges[1:-1], scores)
    cells = np.bincount(2 * where + positive, minlength=2 * BINS)
    table = cells.reshape(BINS, 2).astype(np.float64)
    resampled = bootstrap.resample_table(table, {"share": _shares}, options.draws)["share"]
    bins = tuple(
        Bin(
            low=float(edges[number]),
            high=float(edges[number + 1]),
            posts=int(table[number].sum()),
            mean_score=float(mean),
            share_positive=float(share),
            interval=_interval(resampled[:, number]),
        )
        for number, mean, share in zip(
            np.flatnonzero(table.sum(axis=1)), means, shares, strict=True
        )
    )
    return (Curve(score=side, label=label, bins=bins),)


def _interval(samples: Array) -> Interval | None:
    """Return the interval of a share; None where all resamples are the same.

    That none of a bin's posts is positive does not prove that none ever is.
    """
    interval, _ = bootstrap.percentile_interval(samples)
    return None if interval is None or interval[0] == interval[1] else interval


def _shares(tables: Array) -> Array:
    return ratio(tables[..., 1], tables.sum(axis=-1))
