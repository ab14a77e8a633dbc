"""Measures of agreement as formulas over counts and sums, so that a resample costs no more than its
sums. Pure.

Counts may be a stack of tables, one a resample, as their leading axes; results have those axes. NaN
where a measure is not defined.
"""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Numbers = Array | np.float64


def observed(tables: Array) -> Array:
    """The share of posts on the diagonal of (…, k, k) tables: A's categories by B's."""
    return ratio(_diagonal(tables), tables.sum(axis=(-1, -2)))


def kappa(tables: Array) -> Array:
    """Cohen's kappa (1960): agreement beyond what two such pairs of margins have by chance. Not
    defined where both have one and the same category throughout."""
    posts = tables.sum(axis=(-1, -2))
    chance = ratio((tables.sum(axis=-1) * tables.sum(axis=-2)).sum(axis=-1), posts**2)
    return ratio(ratio(_diagonal(tables), posts) - chance, 1 - chance)


def coincidences(tables: Array) -> Array:
    """Krippendorff's coincidence matrices of two observers without missing values: each post
    counts twice, as (A, B) and as (B, A)."""
    return tables + np.swapaxes(tables, -1, -2)


def nominal(categories: int) -> Array:
    """The distance of categories: 0 where they are the same, 1 where not."""
    return 1 - np.eye(categories)


def interval(values: Array) -> Array:
    """The distance of numbers: their difference, squared."""
    squared: Array = (values[:, None] - values[None, :]) ** 2
    return squared


def alpha(matrices: Array, distance: Array) -> Array:
    """Krippendorff's alpha: 1 - observed / expected disagreement.

    With coincidences o and their margins n_c, n values in all, and distances d ("Computing
    Krippendorff's Alpha-Reliability", 2011):
    1 - (n - 1) * sum(o_ck * d_ck) / sum(n_c * n_k * d_ck).
    Not defined where all values are the same.

    Args:
        matrices: (…, k, k), symmetric; of any number of observers.
        distance: (k, k): `nominal` or `interval`.
    """
    margins = matrices.sum(axis=-1)
    disagreement = (matrices * distance).sum(axis=(-1, -2))
    expected = ((margins @ distance) * margins).sum(axis=-1)
    return 1 - ratio((margins.sum(axis=-1) - 1) * disagreement, expected)


def alpha_of_sums(posts: Numbers, differences: Numbers, total: Numbers, squares: Numbers) -> Array:
    """Alpha of the interval distance for two observers, by sums alone: 1 - (2N - 1) * sum((a - b)²)
    / (2N * S), S being all 2N values' sum of squares about their mean. It is `alpha` with as many
    categories as there are numbers.

    Args:
        posts: N; differences: the sum of (a - b)²; total: of a + b; squares: of a² + b².
    """
    values = 2 * posts
    about_mean = squares - ratio(total**2, values)
    return 1 - ratio((values - 1) * differences, values * about_mean)


def alpha_of_numbers(a: Array, b: Array) -> Array:
    """Alpha of the interval distance, of two observers' numbers."""
    middle = (a.mean() + b.mean()) / 2  # nearer to 0, squares lose less
    left, right = a - middle, b - middle
    sums = ((left - right) ** 2, left + right, left**2 + right**2)
    return alpha_of_sums(np.float64(a.size), *(one.sum() for one in sums))


def midranks(counts: Array) -> Array:
    """Ranks of groups of equal values, ascending, about their mean: ties share the middle.

    Args:
        counts: how many values each group has; 0 is allowed.
    """
    middle: Array = np.cumsum(counts, axis=-1) - (counts + counts.sum(axis=-1, keepdims=True)) / 2
    return middle


def auc(positive: Array, negative: Array) -> Array:
    """How often a positive post has the higher score than a negative one, ties by half: the area
    under the ROC curve. Not defined without posts of both kinds.

    Args:
        positive, negative: posts by groups of equal scores, ascending.
    """
    below = np.cumsum(negative, axis=-1) - negative / 2
    won = (positive * below).sum(axis=-1)
    return ratio(won, positive.sum(axis=-1) * negative.sum(axis=-1))


def correlation(shared: Numbers, of_a: Numbers, of_b: Numbers) -> Array:
    """Pearson's, of the sums of products about the means: (a, b), (a, a), (b, b)."""
    return np.clip(ratio(shared, np.sqrt(np.maximum(of_a * of_b, 0))), -1, 1)


def _diagonal(tables: Array) -> Array:
    traced: Array = np.trace(tables, axis1=-2, axis2=-1)
    return traced


def ratio(above: Numbers, below: Numbers) -> Array:
    """NaN where there is nothing below."""
    above, below = np.broadcast_arrays(
        np.asarray(above, dtype=np.float64), np.asarray(below, dtype=np.float64)
    )
    found: Array = np.divide(above, below, out=np.full(below.shape, np.nan), where=below != 0)
    return found
