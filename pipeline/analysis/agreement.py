"""Compute measures of agreement from counts and sums. Pure.

A resample then costs no more than its sums. Counts may be a stack of tables, with the resamples as
leading axes; results have the same axes. They are NaN where a measure is not defined.
"""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Numbers = Array | np.float64


def observed_agreement(tables: Array) -> Array:
    """Return the share of posts on the diagonal of (…, k, k) tables of A's categories by B's."""
    return ratio(_diagonal(tables), tables.sum(axis=(-1, -2)))


def cohen_kappa(tables: Array) -> Array:
    """Return Cohen's kappa (1960): agreement beyond the chance agreement of the same margins.

    Not defined where A and B have the same single category in every post.
    """
    posts = tables.sum(axis=(-1, -2))
    chance = ratio((tables.sum(axis=-1) * tables.sum(axis=-2)).sum(axis=-1), posts**2)
    return ratio(ratio(_diagonal(tables), posts) - chance, 1 - chance)


def coincidences(tables: Array) -> Array:
    """Return Krippendorff's coincidence matrices for two observers without missing values.

    Each post counts twice, as (A, B) and as (B, A).
    """
    return tables + np.swapaxes(tables, -1, -2)


def nominal_distance(categories: int) -> Array:
    """Return the distances of categories: 0 where they are the same, otherwise 1."""
    return 1 - np.eye(categories)


def interval_distance(values: Array) -> Array:
    """Return the distances of numbers: their squared differences."""
    squared: Array = (values[:, None] - values[None, :]) ** 2
    return squared


def krippendorff_alpha(matrices: Array, distance: Array) -> Array:
    """Return Krippendorff's alpha: 1 - observed / expected disagreement.

    With coincidences o and their margins n_c, n values in all, and distances d ("Computing
    Krippendorff's Alpha-Reliability", 2011):
    1 - (n - 1) * sum(o_ck * d_ck) / sum(n_c * n_k * d_ck).
    Not defined where all values are the same.

    Args:
        matrices: (…, k, k), symmetric, for any number of observers.
        distance: (k, k), as `nominal_distance` or `interval_distance` returns it.
    """
    margins = matrices.sum(axis=-1)
    disagreement = (matrices * distance).sum(axis=(-1, -2))
    expected = ((margins @ distance) * margins).sum(axis=-1)
    return 1 - ratio((margins.sum(axis=-1) - 1) * disagreement, expected)


def alpha_of_sums(posts: Numbers, differences: Numbers, total: Numbers, squares: Numbers) -> Array:
    """Return alpha with the interval distance for two observers, from sums alone.

    It is 1 - (2N - 1) * sum((a - b)²) / (2N * S), with S the sum of squares of all 2N values about
    their mean: the same as `krippendorff_alpha` with a category for every number.

    Args:
        posts: N, the number of posts.
        differences: the sum of (a - b)².
        total: the sum of a + b.
        squares: the sum of a² + b².
    """
    values = 2 * posts
    about_mean = squares - ratio(total**2, values)
    return 1 - ratio((values - 1) * differences, values * about_mean)


def alpha_of_numbers(a: Array, b: Array) -> Array:
    """Return alpha with the interval distance for the numbers of two observers."""
    middle = (a.mean() + b.mean()) / 2  # squares of numbers near 0 lose less precision
    left, right = a - middle, b - middle
    sums = ((left - right) ** 2, left + right, left**2 + right**2)
    return alpha_of_sums(np.float64(a.size), *(terms.sum() for terms in sums))


def midranks(counts: Array) -> Array:
    """Return the ranks of groups of equal values, minus their mean; ties share the middle rank.

    Args:
        counts: how many values each group has, in ascending order; 0 is allowed.
    """
    middle: Array = np.cumsum(counts, axis=-1) - (counts + counts.sum(axis=-1, keepdims=True)) / 2
    return middle


def auc(positive: Array, negative: Array) -> Array:
    """Return the area under the ROC curve.

    It is how often a positive post has a higher score than a negative one; a tie counts half. Not
    defined without posts of both kinds.

    Args:
        positive: positive posts by groups of equal scores, ascending.
        negative: negative posts by the same groups.
    """
    below = np.cumsum(negative, axis=-1) - negative / 2
    won = (positive * below).sum(axis=-1)
    return ratio(won, positive.sum(axis=-1) * negative.sum(axis=-1))


def correlation(shared: Numbers, of_a: Numbers, of_b: Numbers) -> Array:
    """Return Pearson's correlation from sums of products about the means: ab, aa and bb."""
    return np.clip(ratio(shared, np.sqrt(np.maximum(of_a * of_b, 0))), -1, 1)


def _diagonal(tables: Array) -> Array:
    traced: Array = np.trace(tables, axis1=-2, axis2=-1)
    return traced


def ratio(above: Numbers, below: Numbers) -> Array:
    """Return a quotient; NaN where the divisor is 0."""
    above, below = np.broadcast_arrays(
        np.asarray(above, dtype=np.float64), np.asarray(below, dtype=np.float64)
    )
    quotient: Array = np.divide(above, below, out=np.full(below.shape, np.nan), where=below != 0)
    return quotient
