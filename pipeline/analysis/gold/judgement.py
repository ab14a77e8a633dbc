"""Hold what was read of a classifier's column and gold's, as values to compute with. Pure."""

from dataclasses import dataclass

import numpy as np

from pipeline.analysis.agreement import Array
from pipeline.analysis.gold.cells import Cells
from pipeline.model import Column


@dataclass(frozen=True, kw_only=True, slots=True)
class Coding:
    """How the values of both columns become categories."""

    labels: tuple[str, ...]
    positive: int | None
    """The number of the category that is searched for; None where all count alike."""
    threshold: float | None = None
    """From here on a number is positive; None where both columns hold categories."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StratumCounts:
    """How much of a stratum was sampled and coded."""

    name: str
    sampled: int
    """Posts of the sample that the classifier labeled."""
    coded: int
    """How many of these have a gold value."""
    weight: float
    """How many posts of the population the sampled ones stand for."""
    fraction: float
    """Which share of the stratum was coded; 0 where the population is unknown."""
    effective: float
    """How many posts of equal weight tell as much as the coded ones (Kish, 1965)."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ErrorSums:
    """Weights and errors of the coded posts of one stratum.

    Each post is a vector of four: its weight w, w * |error|, w * error, and w * gold, with
    error = classifier - gold.
    """

    posts: int
    mean: Array
    """(4,)"""
    covariance: Array
    """(4, 4), with posts - 1 in the divisor; 0 for a single post."""
    rows: Array | None = None
    """(posts, 4); None for a stratum of so many posts that their means are normally distributed."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ScoreBins:
    """Coded posts by bins of the classifier's score."""

    edges: tuple[float, ...]
    """One more than there are bins. A score equal to an inner edge is in the bin below it."""
    means: Array
    """The weighted mean score of each bin; NaN where it is empty."""
    cells: Cells
    """Bins as rows; not positive and positive as columns."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Months:
    """Coded posts by month of preprocessing and by agreement."""

    names: tuple[str, ...]
    """Such as 2024-05."""
    cells: Cells
    """Months as rows; different and equal as columns."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Judgement:
    """A column of a classifier and one of gold, as far as both have values."""

    model: Column
    gold: Column
    strata: tuple[StratumCounts, ...]
    """All strata of the sample in which the classifier labeled a post, by name."""
    without_model: int
    """Coded posts to which the classifier gave no value."""
    coding: Coding | None
    """None where both are numbers and no threshold is known."""
    cells: Cells | None
    """Gold's categories as rows, the classifier's as columns; strata that have coded posts."""
    errors: tuple[ErrorSums, ...] | None
    """By stratum that has coded posts; None unless both columns are numbers."""
    population: tuple[int, ...] = ()
    """How many posts the classifier has put into each category, in the whole database."""
    population_mean: tuple[int, float] | None = None
    """How many posts have a score in the whole database, and its mean."""
    bins: ScoreBins | None = None
    months: Months | None = None

    @property
    def coded_strata(self) -> tuple[StratumCounts, ...]:
        """Return the strata that have coded posts; cells and errors number them."""
        return tuple(stratum for stratum in self.strata if stratum.coded)

    @property
    def posts(self) -> int:
        """Return how many coded posts have a value in both columns."""
        return sum(stratum.coded for stratum in self.strata)

    @property
    def fractions(self) -> Array:
        """Return which share of each coded stratum was coded."""
        return np.array([stratum.fraction for stratum in self.coded_strata])

    @property
    def has_sample(self) -> bool:
        """Tell whether the coded posts are a sample with known probabilities."""
        return any(stratum.fraction for stratum in self.strata)
