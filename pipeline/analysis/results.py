"""Hold how well two classifiers agree, as values that `--json` prints. Pure."""

import math
from dataclasses import dataclass

CONFIDENCE = 0.95
Interval = tuple[float, float]
# The reason where a value has no interval because all resamples have the same value.
NO_INTERVAL = "all resamples are the same, so the coded posts do not show how uncertain it is"


@dataclass(frozen=True, kw_only=True, slots=True)
class Estimate:
    """A measure and its bootstrap interval."""

    value: float | None
    interval: Interval | None = None
    reason: str = ""
    """Why the value or the interval is None."""

    def __post_init__(self) -> None:
        numbers = (self.value, *(self.interval or ()))
        assert all(math.isfinite(number) for number in numbers if number is not None)


@dataclass(frozen=True, kw_only=True, slots=True)
class Confusion:
    """Posts by A's category and B's category."""

    a: tuple[str, ...]
    """A's categories: the rows of `counts`."""
    b: tuple[str, ...]
    """B's categories: the columns of `counts`."""
    counts: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Bin:
    """The posts of one bin of a calibration curve."""

    low: float
    """Scores are above this; in the first bin, from this on."""
    high: float
    """Scores are up to this."""
    posts: int
    mean_score: float
    share_positive: float
    """Which share of the posts is positive."""
    interval: Interval | None
    """Of that share."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Curve:
    """How well the scores of one side are calibrated for a label of the other side."""

    score: str
    """Whose scores: `a` or `b`."""
    label: str
    """What a positive post is called."""
    bins: tuple[Bin, ...]
    """Without empty bins."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Month:
    """How far both sides agree on the posts of a month of preprocessing."""

    month: str
    """Such as 2024-05."""
    posts: int
    agreement: float
    interval: Interval | None
    """None where resamples do not show how uncertain it is."""


@dataclass(frozen=True, kw_only=True, slots=True)
class MatchedThreshold:
    """The threshold of B at which it calls the same share of the posts positive as A."""

    threshold: float | None
    """None where no score of B comes as close as calling no post positive."""
    wanted: float
    """The weighted share that A calls positive."""
    reached: float
    """The weighted share with a score of B from the threshold on."""
    posts: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """How far a column of A and a column of B agree."""

    a: str
    """The name of A's column."""
    b: str
    """The name of B's column."""
    kinds: tuple[str, str]
    posts: int
    """Posts with a value in both columns."""
    without_a: int
    """Posts without a value in A's column."""
    without_b: int
    """Posts without a value in B's column."""
    threshold: float | None = None
    """From here on a number is positive."""
    measures: dict[str, Estimate]
    """By name; an AUC for one of several categories is named `auc_a_for_b: CATEGORY`."""
    confusion: Confusion | None = None
    calibration: tuple[Curve, ...] = ()
    matching: MatchedThreshold | None = None
    """None unless B has numbers and it is known what A calls positive."""
    months: tuple[Month, ...] = ()
    """Empty where it is not known which posts they agree on."""


@dataclass(frozen=True, slots=True)
class NotCompared:
    """Two columns that cannot be compared, and the reason."""

    a: str
    b: str
    reason: str
