"""Estimate how frequent a category is, from predictions everywhere and gold for a sample. Pure.

The corrected estimate is the mean prediction of all labeled posts plus the weighted mean of gold
minus prediction in the sample: the difference estimator of survey sampling (Särndal, Swensson and
Wretman, "Model Assisted Survey Sampling", 1992, section 6.3), which prediction-powered inference
uses too. It is unbiased whatever the classifier's errors are, because the sample was random.
"""

import math
from dataclasses import dataclass

import numpy as np

from pipeline.analysis.agreement import Array
from pipeline.analysis.gold.cells import Cells, Codes, variance_strata
from pipeline.analysis.gold.classification import differences
from pipeline.analysis.gold.judgement import ErrorSums

MARGINS = (0.05, 0.02, 0.01)
# The normal quantile of a 95 % interval.
Z = 1.959963984540054


@dataclass(frozen=True, kw_only=True, slots=True)
class Variance:
    """The variance of a weighted mean in a stratified sample."""

    value: float
    """With less variance where most of a stratum was coded."""
    endless: float
    """The same if the population had no end."""
    freedom: int
    """Degrees of freedom: coded posts minus strata."""


def correction(tables: Array, category: int) -> Array:
    """Return the weighted mean of gold minus prediction, from (…, k, k) tables."""
    plan = differences(category, tables.shape[-1])
    total = tables.sum(axis=(-1, -2))
    return np.asarray((tables * plan).sum(axis=(-1, -2)) / total)


def gold_share(tables: Array, category: int) -> Array:
    """Return the weighted share of a gold category, from (…, k, k) tables."""
    return np.asarray(tables[..., category, :].sum(axis=-1) / tables.sum(axis=(-1, -2)))


def variance_of_share(cells: Cells, category: int) -> Variance:
    """Return the variance of `correction` by linearization."""
    plan = differences(category, cells.shape[0]).ravel()
    values = plan[cells.places]
    total = float((cells.weights * cells.counts).sum())
    mean = float((cells.weights * cells.counts * values).sum()) / total
    residuals = cells.weights * (values - mean) / total
    posts = cells.posts_by_stratum()
    groups = variance_strata(posts)[cells.strata]
    value = endless = 0.0
    for group in np.unique(groups):
        inside = groups == group
        counts, of_group = cells.counts[inside], residuals[inside]
        n = int(counts.sum())
        if n < 2:
            continue
        about = of_group - (counts * of_group).sum() / n
        squares = counts * about**2 * n / (n - 1)
        endless += float(squares.sum())
        value += float((squares * (1 - cells.fractions[cells.strata[inside]])).sum())
    return Variance(value=value, endless=endless, freedom=_freedom(posts))


def variance_of_mean(errors: tuple[ErrorSums, ...], fractions: Array, place: int) -> Variance:
    """Return the variance of the weighted mean of one element of the vectors, by linearization.

    A stratum with one coded post adds nothing.
    """
    totals = np.sum([stratum.posts * stratum.mean for stratum in errors], axis=0)
    slope = np.zeros(4)
    slope[0], slope[place] = -totals[place] / totals[0] ** 2, 1 / totals[0]
    each = [stratum.posts * float(slope @ stratum.covariance @ slope) for stratum in errors]
    value = float(np.sum(np.array(each) * (1 - fractions)))
    posts = np.array([stratum.posts for stratum in errors])
    return Variance(value=value, endless=float(sum(each)), freedom=_freedom(posts))


def posts_needed(variance: Variance, posts: int, population: int) -> dict[str, int]:
    """Return how many posts to code in all for an interval of plus or minus each margin.

    The shares of the strata in the sample stay the same.

    Args:
        variance: of the corrected share, with `posts` coded.
        posts: how many are coded now.
        population: how many posts there are.
    """
    spread = variance.endless * posts
    needed = {}
    for margin in MARGINS:
        wanted = (margin / Z) ** 2 + (spread / population if variance.value else 0)
        needed[f"{margin:g}"] = max(1, min(population, math.ceil(spread / wanted)))
    return needed


def _freedom(posts: Codes) -> int:
    return max(1, int(posts.sum()) - np.unique(variance_strata(posts)).size)
