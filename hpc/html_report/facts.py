"""Hold what was read about the labels of a name; sections describe it. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum

from pipeline.run_files.sample_file import Sample
from pipeline.usage import Price

_PRICE = "classifier.price"


class Period(StrEnum):
    """How long a step of a course over time is."""

    DAY = "day"
    WEEK = "week"
    MONTH = "month"
    YEAR = "year"


@dataclass(frozen=True, kw_only=True, slots=True)
class PeriodCount:
    """The posts of a period."""

    start: date
    labeled: int
    unlabelable: int
    missing: int = 0
    """Posts without a published result, so that the others may be no fair part of the period."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LabelCounts:
    """How many posts have a row, and what kind of row."""

    posts: int = 0
    labeled: int = 0
    copied: int = 0
    """Posts with the answer to another post of the same text."""
    reasons: tuple[tuple[str, int], ...] = ()
    """Why posts have no label, the most frequent reason first."""
    models: tuple[tuple[str, int], ...] = ()
    """What assigned the labels, the most frequent first."""
    first_label: datetime | None = None
    last_label: datetime | None = None
    first_post: datetime | None = None
    last_post: datetime | None = None
    until: datetime | None = None
    """Up to when posts have their place in time."""
    later_posts: int = 0
    """Posts with a timestamp later than `until`, also those that have no row yet."""
    early_posts: int = 0
    """Posts with a timestamp from before FIRST_CREDIBLE_YEAR, also those that have no row yet."""
    label_days: tuple[PeriodCount, ...] = ()
    """By the day of the label."""
    post_period: Period = Period.MONTH
    post_periods: tuple[PeriodCount, ...] = ()
    """By the time of the post, in steps of `post_period`."""
    left_out_periods: int = 0
    """How many early periods are not shown."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CoursePoint:
    """A mean or a share in a period."""

    start: date
    posts: int
    value: float
    interval: tuple[float, float] | None
    """None where too few posts show how uncertain it is."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Course:
    """How a value changes over time."""

    name: str
    """The category; empty for the mean of numbers."""
    points: tuple[CoursePoint, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class NumberColumn:
    """The distribution of a column of numbers."""

    name: str
    posts: int
    """Labeled posts with a number."""
    missing: int
    """Labeled posts without one."""
    mean: float
    deviation: float | None
    """The standard deviation; None for a single post."""
    quantiles: tuple[float, float, float, float, float]
    """The minimum, the quartiles and the maximum of the labeled posts, without weights."""
    edges: tuple[float, ...]
    counts: tuple[float, ...]
    """Between the edges: posts, or the weights of a sample."""
    course: Course


@dataclass(frozen=True, kw_only=True, slots=True)
class Category:
    """A value of a column."""

    value: str
    posts: int
    share: float
    """Of the posts with a value, weighted where the posts are a sample."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CategoryColumn:
    """The distribution of a column of categories, or of true and false."""

    name: str
    posts: int
    missing: int
    categories: tuple[Category, ...]
    """The most frequent first."""
    courses: tuple[Course, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class HiddenColumn:
    """A column whose values the page does not show."""

    name: str
    posts: int
    missing: int
    reason: str


LabelColumn = NumberColumn | CategoryColumn | HiddenColumn


@dataclass(frozen=True, kw_only=True, slots=True)
class SampleFacts:
    """The sample that the posts are from."""

    description: Sample | None
    """How it was drawn; None where nobody can read it now."""
    name: str
    is_weighted: bool
    """Whether the numbers are weighted by it."""
    problem: str = ""
    """Why they are not."""


@dataclass(frozen=True, slots=True)
class Quota:
    """How much a service allows in a minute."""

    requests: int
    posts: int
    """How many posts these requests are enough for."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RunFacts:
    """A run of the name."""

    run_id: str
    created_at: datetime
    state: str
    posts: int
    posts_published: int
    """Posts of shards whose output is published."""
    posts_answered: int
    """Posts with an answer, published or not yet."""
    shards: int
    shards_published: int
    version: str
    commit: str
    config_hash: str
    is_under_way: bool
    quotas: tuple[Quota | None, ...]
    """The quotas that held while it ran, in order; None for no limit."""
    price: Price | None
    """As it is configured now."""
    corrections: tuple[str, ...] = ()
    """Keys that were corrected since the run was created."""
    outputs_digest: str = ""
    """Over all published outputs; empty where it is not known."""

    @property
    def quota(self) -> Quota | None:
        """The quota that held all the time; None for no limit, and where it changed."""
        return self.quotas[0] if len(self.quotas) == 1 else None

    @property
    def has_new_price(self) -> bool:
        """Whether the price was corrected, so that no answer says which one it cost."""
        return any(key == _PRICE or key.startswith(f"{_PRICE}.") for key in self.corrections)


class Outcome(StrEnum):
    """How an attempt ended, as far as the causes of failures do not say it."""

    PUBLISHED = "published"
    UNDER_WAY = "under way"
    UNKNOWN = "unknown"


@dataclass(frozen=True, kw_only=True, slots=True)
class AttemptFacts:
    """One attempt of a shard."""

    run_id: str
    shard: int
    number: int
    """The first attempt of a shard has the number 1, whatever the number of its submission."""
    outcome: str
    """A value of `Outcome`, or a cause."""
    submitted_at: datetime | None
    started_at: datetime | None
    ended_at: datetime | None
    elapsed_s: float | None
    max_rss_mb: float | None
    mem_gb: float | None
    time_min: float | None
    own_peak_mb: float | None = None
    """The most memory that the task saw itself."""
    busy_cpus: float | None = None
    """How many CPUs it kept busy on average."""
    cpus: int | None = None
    """How many it had."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SpeedStep:
    """The answers of a stretch of time."""

    start: datetime
    answers: int


@dataclass(frozen=True, kw_only=True, slots=True)
class RunSpeed:
    """How fast a run got its answers."""

    run_id: str
    step_s: int
    steps: tuple[SpeedStep, ...]
    asked: int
    """Posts that were asked about: neither copied nor unsent."""
    seconds: float
    """From the first to the last answer."""
    busiest_minute: int
    """The most answers of a minute."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RunCosts:
    """What a run's answers cost, by the columns that count it."""

    run_id: str
    posts: int
    """Posts whose cost is known."""
    sums: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class LongText:
    """A text that a reader opens, and its digest."""

    text: str
    sha256: str


@dataclass(frozen=True, kw_only=True, slots=True)
class LabelingSetup:
    """What decides the labels, as far as a page may say it."""

    kind: str
    """The classifier's type."""
    config_hash: str
    options: Mapping[str, str] = field(default_factory=dict)
    """Options that change labels, as text, without those below."""
    texts: Mapping[str, LongText] = field(default_factory=dict)
    """Long texts, such as a prompt, by their key."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AdoptionFacts:
    """Answers of another engine that a run adopted at one time."""

    run_id: str
    number: int
    adopted_at: datetime
    """When (UTC)."""
    engine: str
    """What gave the answers; '' if nobody said it."""
    files: int
    """How many files they came from."""
    answers: int


@dataclass(frozen=True, kw_only=True, slots=True)
class SubjectFacts:
    """All that is known about the labels of a name, or of one run."""

    name: str
    run_id: str = ""
    """The run that it is about; empty for all runs of the name."""
    generated_at: datetime
    runs: tuple[RunFacts, ...]
    counts: LabelCounts
    setups: tuple[LabelingSetup, ...]
    sample: SampleFacts | None
    columns: tuple[LabelColumn, ...]
    attempts: tuple[AttemptFacts, ...]
    speeds: tuple[RunSpeed, ...]
    costs: tuple[RunCosts, ...]
    adoptions: tuple[AdoptionFacts, ...] = ()
    """What was adopted from another engine, oldest first."""
    is_coded_by_people: bool = False
    problems: tuple[str, ...] = ()
    """What could not be read."""
    posts_of_gone_runs: int = 0
    """Labels of runs whose folders are gone, so that nothing else is known of these runs."""

    @property
    def missing(self) -> int:
        """Posts of the runs without a published row."""
        return sum(run.posts - run.posts_published for run in self.runs)

    @property
    def open_periods(self) -> Mapping[date, int]:
        """How many posts have no published row in each period that lacks any, by its first day."""
        return {each.start: each.missing for each in self.counts.post_periods if each.missing}
