"""Hold coded posts as counted cells, and resample them within their strata.

A post of a cell has the same stratum, weight, row and column as all others of the cell. A resample
costs no more than the number of cells, whatever the number of posts.

Posts are resampled as Rao and Wu (1988) do it: n - 1 of the n coded posts of a stratum, with
weights that make up for the missing one, and less variation where most of a stratum was coded.
The variance of a weighted mean is then the textbook's, also in small strata. Pure.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.analysis.agreement import Array
from pipeline.analysis.options import BootstrapDraws

Codes = NDArray[np.int64]
# How many numbers a step of the resampling holds in memory at most (32 MB).
_NUMBERS_AT_ONCE = 4_000_000


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Cells:
    """Coded posts, counted by stratum, weight, row and column. Four arrays of the same length."""

    strata: Codes
    """The number of the stratum, from 0 on."""
    weights: Array
    """How many posts of the population one coded post stands for."""
    places: Codes
    """The place in the table: row * columns + column."""
    counts: Codes
    """How many coded posts the cell has."""
    shape: tuple[int, int]
    """Rows and columns of the table."""
    fractions: Array
    """By stratum: which share of it was coded. 0 where the population is unknown or endless."""

    def table(self) -> Array:
        """Return the weighted table of all strata together."""
        return _scatter(self.places, self.weights * self.counts, self.shape)

    def counted(self) -> NDArray[np.int64]:
        """Return the table of unweighted counts."""
        return _scatter(self.places, self.counts, self.shape).astype(np.int64)

    def stratum(self, number: int) -> "Cells":
        """Return the cells of one stratum."""
        chosen = self.strata == number
        return Cells(
            strata=np.zeros(int(chosen.sum()), dtype=np.int64),
            weights=self.weights[chosen],
            places=self.places[chosen],
            counts=self.counts[chosen],
            shape=self.shape,
            fractions=self.fractions[number : number + 1],
        )

    def posts_by_stratum(self) -> Codes:
        """Return how many coded posts each stratum has."""
        posts = np.bincount(self.strata, self.counts, minlength=self.fractions.size)
        return posts.astype(np.int64)

    def resample(self, draws: BootstrapDraws) -> Array:
        """Return the weighted table of every resample: (resamples, rows, columns)."""
        groups = variance_strata(self.posts_by_stratum())[self.strata]
        total = np.zeros((draws.resamples, *self.shape))
        generator = np.random.default_rng(draws.seed)
        for group in np.unique(groups):
            chosen = np.flatnonzero(groups == group)
            chosen = chosen[np.argsort(self.places[chosen], kind="stable")]
            self._add_resamples(total, chosen, generator)
        return total

    def _add_resamples(
        self, total: Array, chosen: NDArray[np.intp], generator: np.random.Generator
    ) -> None:
        """Add resamples of some cells, ordered by place, to the tables."""
        flat = total.reshape(total.shape[0], -1)
        filled, starts = np.unique(self.places[chosen], return_index=True)
        counts, weights = self.counts[chosen], self.weights[chosen]
        kept = np.sqrt(1 - self.fractions[self.strata[chosen]])
        for rows, taken in resample_counts(counts, total.shape[0], generator):
            weighted = (counts * (1 - kept) + taken * kept) * weights
            flat[rows, filled] += np.add.reduceat(weighted, starts, axis=1)


def resample_counts(
    counts: Codes, resamples: int, generator: np.random.Generator
) -> Iterator[tuple[slice, Array]]:
    """Yield how often each cell of a stratum is taken, as (some resamples, cells), in pieces.

    One post stays one post: there is nothing to resample.
    """
    posts = int(counts.sum())
    step = max(1, _NUMBERS_AT_ONCE // counts.size)
    for start in range(0, resamples, step):
        rows = slice(start, min(start + step, resamples))
        size = rows.stop - rows.start
        if posts == 1:
            yield rows, np.ones((size, 1))
        else:
            taken = generator.multinomial(posts - 1, counts / posts, size=size)
            weighted: Array = taken * np.float64(posts / (posts - 1))
            yield rows, weighted


def variance_strata(posts: Codes) -> Codes:
    """Return for each stratum the number of the group of strata that it is resampled with.

    A single post cannot vary, and would make intervals too narrow. Strata with one coded post are
    resampled together, and if there is only one such stratum, together with the smallest other.
    """
    groups = np.arange(posts.size)
    single = np.flatnonzero(posts == 1)
    if single.size == 0:
        return groups
    groups[single] = single[0]
    others = np.flatnonzero(posts > 1)
    if single.size == 1 and others.size:
        groups[single[0]] = others[np.argmin(posts[others])]
    return groups


def _scatter(places: Codes, values: NDArray[np.generic], shape: tuple[int, int]) -> Array:
    table = np.bincount(places, values, minlength=shape[0] * shape[1])
    return table.astype(np.float64).reshape(shape)
