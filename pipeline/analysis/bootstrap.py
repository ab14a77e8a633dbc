"""Bootstrap intervals: posts are drawn again with replacement, and each measure is taken of each
draw. Pure: the same seed, the same intervals, whatever order the posts came in.

Drawing n posts again is drawing how often each is taken. What depends on a table of counts alone is
drawn as that table (multinomial), however many posts there are; what depends on every post's number
is drawn as a weight a post: 100,000 posts, 1,000 draws take some seconds.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.analysis.agreement import Array, alpha_of_sums, auc, correlation, midranks
from pipeline.analysis.results import CONFIDENCE

Flags = NDArray[np.bool_]
# Where more of the draws have no value, the rest would tell of something else.
UNDEFINED_AT_MOST = 0.05


@dataclass(frozen=True, slots=True)
class BootstrapDraws:
    """How often posts are drawn again, and from which seed."""

    resamples: int = 1000
    seed: int = 0

    def generator(self) -> np.random.Generator:
        return np.random.default_rng(self.seed)


def interval(samples: Array) -> tuple[tuple[float, float] | None, str]:
    """The percentile interval of a measure over all draws; or none, and why."""
    defined = samples[np.isfinite(samples)]
    undefined = samples.size - defined.size
    if undefined > UNDEFINED_AT_MOST * samples.size:
        return None, f"not defined in {undefined:,} of {samples.size:,} resamples"
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(defined, [tail, 1 - tail])
    return (float(low), float(high)), ""


def of_table(
    table: Array, measures: dict[str, Callable[[Array], Array]], draws: BootstrapDraws
) -> dict[str, Array]:
    """Of measures of a table of counts, by its draws."""
    posts = int(table.sum())
    drawn = draws.generator().multinomial(posts, table.ravel() / posts, size=draws.resamples)
    tables = drawn.reshape(-1, *table.shape).astype(np.float64)
    return {name: measure(tables) for name, measure in measures.items()}


def of_numbers(
    a: Array, b: Array, positive: tuple[Flags, Flags] | None, draws: BootstrapDraws
) -> dict[str, Array]:
    """Pearson, Spearman, mean difference, alpha; with `positive`, which posts A and B call so, the
    AUC of each one's numbers for the other's calls."""
    order = np.lexsort((b, a))
    a, b = a[order], b[order]
    by_a, by_b = _groups(a), _groups(b)
    calls = [flags[order].astype(np.float64) for flags in positive] if positive else []
    middle = (a.mean() + b.mean()) / 2
    left, right = a - middle, b - middle
    terms = np.stack([left, right, left**2, right**2, left * right, (a - b) ** 2])
    found: dict[str, list[float]] = {}
    for weights in _weights(a.size, draws):
        in_a, in_b = _counts(by_a, weights), _counts(by_b, weights)
        rank_a, rank_b = midranks(in_a), midranks(in_b)
        # Not by @: BLAS starts a thread a core for it, and on a shared node waits for them (10 ms
        # in place of 0.2 for 100,000 posts).
        of_a = np.einsum("i,i,i", in_a, rank_a, rank_a)
        of_b = np.einsum("i,i,i", in_b, rank_b, rank_b)
        shared = np.einsum("i,i,i", weights, rank_a[by_a], rank_b[by_b])
        sums = np.einsum("ki,i->k", terms, weights)
        one = {"spearman": correlation(shared, of_a, of_b), **_of_sums(a.size, sums)}
        # Ranks are exact; by sums, a constant is one but for rounding.
        if not of_a or not of_b:
            one["pearson"] = np.array(np.nan)
        if not of_a and not of_b and not sums[-1]:
            one["alpha_interval"] = np.array(np.nan)
        if calls:
            one["auc_a_for_b"] = _auc(by_a, in_a, weights * calls[1])
            one["auc_b_for_a"] = _auc(by_b, in_b, weights * calls[0])
        for name, value in one.items():
            found.setdefault(name, []).append(float(value))
    return {name: np.array(values) for name, values in found.items()}


def of_scores(scores: Array, positives: Sequence[Flags], draws: BootstrapDraws) -> list[Array]:
    """The AUC of the scores for each way of calling posts positive."""
    # Calls break the ties, so that the order in which the posts came decides nothing.
    order = np.lexsort((*positives, scores))
    groups = _groups(scores[order])
    calls = [flags[order].astype(np.float64) for flags in positives]
    found = [
        [_auc(groups, _counts(groups, weights), weights * one) for one in calls]
        for weights in _weights(scores.size, draws)
    ]
    return list(np.array(found, dtype=np.float64).T)


def _weights(posts: int, draws: BootstrapDraws) -> Iterator[Array]:
    generator = draws.generator()
    for _ in range(draws.resamples):
        taken = generator.integers(posts, size=posts)
        yield np.bincount(taken, minlength=posts).astype(np.float64)


def _groups(values: Array) -> NDArray[np.intp]:
    """The number of each one's group of equal values, ascending."""
    groups: NDArray[np.intp] = np.unique(values, return_inverse=True)[1]
    return groups


def _counts(groups: NDArray[np.intp], weights: Array) -> Array:
    return np.bincount(groups, weights).astype(np.float64, copy=False)


def _auc(groups: NDArray[np.intp], counts: Array, positive: Array) -> Array:
    above = _counts(groups, positive)
    return auc(above, counts - above)


def _of_sums(posts: int, sums: Array) -> dict[str, Array]:
    a, b, aa, bb, ab, differences = sums
    return {
        "pearson": correlation(ab - a * b / posts, aa - a * a / posts, bb - b * b / posts),
        "mean_difference": (a - b) / posts,
        "alpha_interval": alpha_of_sums(np.float64(posts), differences, a + b, aa + bb),
    }
