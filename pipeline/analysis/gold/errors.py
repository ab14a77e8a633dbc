"""Resample the mean errors of scores within strata. Pure."""

from collections.abc import Sequence

import numpy as np

from pipeline.analysis.agreement import Array, ratio
from pipeline.analysis.gold.cells import resample_counts, variance_strata
from pipeline.analysis.gold.judgement import ErrorSums
from pipeline.analysis.options import BootstrapDraws

# Places in the vector of a post.
ABSOLUTE, ERROR, GOLD = 1, 2, 3


def weighted_means(totals: Array) -> Array:
    """Return the weighted means of |error|, error and gold, from (…, 4) sums."""
    return ratio(totals[..., 1:], totals[..., :1])


def total(errors: Sequence[ErrorSums]) -> Array:
    """Return the sums of all strata: (4,)."""
    sums: Array = np.sum([stratum.posts * stratum.mean for stratum in errors], axis=0)
    return sums


def resample_totals(errors: Sequence[ErrorSums], fractions: Array, draws: BootstrapDraws) -> Array:
    """Return the sums of all strata for every resample: (resamples, 4)."""
    generator = np.random.default_rng(draws.seed)
    groups = variance_strata(np.array([stratum.posts for stratum in errors]))
    totals = np.zeros((draws.resamples, 4))
    for group in np.unique(groups):
        members = np.flatnonzero(groups == group).tolist()
        small = [number for number in members if errors[number].rows is not None]
        for number in members:
            if errors[number].rows is None:
                totals += _normal_totals(errors[number], fractions[number], draws, generator)
        if small:
            kept = np.repeat(
                np.sqrt(1 - fractions[small]), [errors[number].posts for number in small]
            )
            rows = np.concatenate([_rows(errors[number]) for number in small])
            _add_resamples(totals, rows, kept, generator)
    return totals


def _add_resamples(totals: Array, rows: Array, kept: Array, generator: np.random.Generator) -> None:
    once = np.ones(len(rows), dtype=np.int64)
    fixed, varying = ((1 - kept)[:, None] * rows).sum(axis=0), kept[:, None] * rows
    for some, taken in resample_counts(once, totals.shape[0], generator):
        totals[some] += fixed + np.einsum("rn,nk->rk", taken, varying)


def _normal_totals(
    stratum: ErrorSums, fraction: float, draws: BootstrapDraws, generator: np.random.Generator
) -> Array:
    """Return sums of a large stratum, whose means are normally distributed."""
    covariance = stratum.posts * (1 - fraction) * stratum.covariance
    values, vectors = np.linalg.eigh(covariance)
    steps = generator.standard_normal((draws.resamples, 4)) * np.sqrt(np.maximum(values, 0))
    totals: Array = stratum.posts * stratum.mean + np.einsum("rk,jk->rj", steps, vectors)
    return totals


def _rows(stratum: ErrorSums) -> Array:
    assert stratum.rows is not None
    return stratum.rows
