"""Hold how well a classifier matches human gold, as values that `--json` prints. Pure."""

from dataclasses import dataclass
from enum import StrEnum

from pipeline.analysis.results import Curve, Estimate, Interval, Month


class Warned(StrEnum):
    """Why an estimate should not be trusted, or does not mean what a reader may think."""

    FEW_CODED = "few_coded"
    FEW_IN_STRATUM = "few_in_stratum"
    FEW_IN_LARGE_STRATUM = "few_in_large_stratum"
    STRATUM_NOT_CODED = "stratum_not_coded"
    SINGLE_IN_STRATUM = "single_in_stratum"
    UNEQUAL_WEIGHTS = "unequal_weights"
    NO_SAMPLE = "no_sample"
    NO_GOLD_POSITIVES = "no_gold_positives"
    NO_PREDICTED_POSITIVES = "no_predicted_positives"
    WIDE_INTERVAL = "wide_interval"
    OUT_OF_RANGE = "out_of_range"
    OTHER_POPULATION = "other_population"
    POSTS_LEFT_OUT = "posts_left_out"
    NOT_IN_SAMPLE = "not_in_sample"
    NOT_CODED = "not_coded"


@dataclass(frozen=True, kw_only=True, slots=True)
class Caution:
    """A warning of a kind, in words."""

    kind: Warned
    text: str


@dataclass(frozen=True, kw_only=True, slots=True)
class WeightedConfusion:
    """Coded posts by gold category (rows) and predicted category (columns)."""

    gold: tuple[str, ...]
    model: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]
    """Coded posts."""
    shares: tuple[tuple[float, ...], ...]
    """Which share of the population they stand for; all shares add up to 1."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StratumResult:
    """The measures of one stratum."""

    stratum: str
    sampled: int
    """Posts of the sample that the classifier labeled."""
    coded: int
    """How many of these have a gold label."""
    share: float
    """Which share of the population the stratum is."""
    measures: dict[str, Estimate] | None = None
    """None where too few posts are coded."""
    reason: str = ""
    """Why there are no measures."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ByFormula:
    """What the formula for stratified samples says of a corrected share, beside the bootstrap."""

    standard_error: float
    interval: Interval
    """With the t distribution."""
    needed: dict[str, int]
    """How many coded posts in all give an interval of plus or minus a share, by that share.

    Empty where gold and predictions do not differ.
    """


@dataclass(frozen=True, kw_only=True, slots=True)
class Prevalence:
    """How frequent a category is, or how high the mean of a score is, in the population."""

    label: str
    """The category; `mean` for the mean of a score."""
    population: int
    """How many posts the classifier has labeled."""
    naive: float
    """The share of these that the classifier puts into the category, or its mean score."""
    gold_only: Estimate
    """The weighted share in the coded posts alone."""
    corrected: Estimate
    """The naive share plus the weighted mean of gold minus prediction in the coded posts."""
    by_formula: ByFormula | None
    """None where a single post is coded."""


@dataclass(frozen=True, kw_only=True, slots=True)
class GoldComparison:
    """How well a column of a classifier matches a column of gold."""

    model: str
    """The name of the classifier's column."""
    gold: str
    """The name of gold's column."""
    kinds: tuple[str, str]
    """The kinds of the classifier's and gold's column."""
    posts: int
    """Coded posts with a value in both columns."""
    not_coded: int
    """Posts of the sample that the classifier labeled and that have no gold value."""
    without_model: int
    """Coded posts to which the classifier gave no value."""
    threshold: float | None = None
    """From here on a number is positive."""
    positive: str | None = None
    """The category that precision and recall are about; None where each has its own."""
    measures: dict[str, Estimate]
    confusion: WeightedConfusion | None = None
    prevalence: tuple[Prevalence, ...] = ()
    strata: tuple[StratumResult, ...] = ()
    warnings: tuple[Caution, ...] = ()
    calibration: tuple[Curve, ...] = ()
    months: tuple[Month, ...] = ()


@dataclass(frozen=True, slots=True)
class NotJudged:
    """Two columns that cannot be compared, and the reason."""

    model: str
    gold: str
    reason: str
