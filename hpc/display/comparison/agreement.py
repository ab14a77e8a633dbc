"""Describe how well two columns agree. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass

from hpc.display.blocks import Block, Line, Table
from hpc.display.comparison.estimates import calibration_table, estimate_cells, wrap_sentence
from hpc.runs.missing_posts import describe_open
from pipeline.analysis.results import (
    CONFIDENCE,
    Comparison,
    Confusion,
    MatchedThreshold,
    NotCompared,
)
from pipeline.text import counted

MEASURES = {
    "pearson": "Pearson's r",
    "spearman": "Spearman's rho",
    "mean_difference": "mean of A - B",
    "alpha_interval": "Krippendorff's alpha, interval",
    "agreement": "agreement",
    "kappa": "Cohen's kappa",
    "alpha_nominal": "Krippendorff's alpha, nominal",
    "auc_a_for_b": "AUC of A's score for B's label",
    "auc_b_for_a": "AUC of B's score for A's label",
}
# For numbers, these compare only on which side of the threshold they are.
_AT_THRESHOLD = ("agreement", "kappa", "alpha_nominal")


@dataclass(frozen=True, kw_only=True, slots=True)
class Side:
    """One of two names."""

    name: str
    posts: int
    """Posts that it has labeled."""
    models: Mapping[str, int]
    """The shared posts, by the model that labeled them."""
    posts_not_gathered: int = 0
    """Posts of its published outputs that the database does not have yet."""
    posts_missing: int = 0
    """Posts of its runs without a published result."""


@dataclass(frozen=True, kw_only=True, slots=True)
class NamesReport:
    """Two names, compared on the posts that both labeled."""

    database: str
    sides: tuple[Side, ...]
    posts: int
    """Posts that both labeled."""
    sample: str | None
    """The sample that gives thresholds and maps their weights."""
    resamples: int
    seed: int
    results: tuple[Comparison | NotCompared, ...]

    @property
    def comparisons(self) -> list[Comparison]:
        """Return the pairs of columns that could be compared."""
        return [comparison for comparison in self.results if isinstance(comparison, Comparison)]


def describe_names(report: NamesReport) -> list[Block]:
    """Return who labeled how many posts, and how well their columns agree."""
    blocks: list[Block] = [
        Line(f"{report.database}: {counted(report.posts, 'post')} labeled by both names")
    ]
    for letter, side in zip("AB", report.sides, strict=True):
        models = ", ".join(f"{model} {count:,}" for model, count in side.models.items())
        shared = f"; models of the shared posts: {models}" if models else ""
        blocks.append(
            Line(f"  {letter} {side.name}: {counted(side.posts, 'post')} labeled{shared}")
        )
    for side in report.sides:
        for note in describe_open(side.name, side.posts_not_gathered, side.posts_missing):
            blocks += wrap_sentence(f"  note: {note}")
    blocks += wrap_sentence(
        f"  in brackets: {CONFIDENCE:.0%} percentile intervals of "
        f"{counted(report.resamples, 'bootstrap resample')} of the posts, seed {report.seed}"
    )
    if report.sample:
        blocks.append(
            Line(f"  matching thresholds and maps are weighted by the sample {report.sample}")
        )
    for comparison in report.comparisons:
        blocks += [Line(""), *describe_comparison(comparison)]
    for result in report.results:
        if isinstance(result, NotCompared):
            blocks += [Line(""), *describe_rejection(result)]
    return blocks


def describe_comparison(comparison: Comparison) -> list[Block]:
    """Return the measures, the confusion table and the calibration curves of two columns."""
    kind_a, kind_b = comparison.kinds
    blocks: list[Block] = [
        Line(
            f"A {comparison.a} ({kind_a}), B {comparison.b} ({kind_b}): "
            f"{counted(comparison.posts, 'post')}{_describe_missing(comparison)}"
        ),
        Table(
            rows=tuple(
                (_name(measure, comparison.threshold), *estimate_cells(estimate))
                for measure, estimate in comparison.measures.items()
            ),
            right_aligned=frozenset({1}),
        ),
    ]
    if comparison.confusion:
        blocks += [Line(""), _confusion(comparison.confusion)]
    if comparison.matching:
        blocks += [Line(""), *_describe_matching(comparison.matching)]
    for curve in comparison.calibration:
        title = f"  share of posts with {curve.label}, by {curve.score.upper()}'s score:"
        blocks += [Line(""), Line(title), calibration_table(curve)]
    return blocks


def describe_rejection(pair: NotCompared) -> list[Block]:
    """Return why two columns are not compared."""
    return [Line(f"A {pair.a}, B {pair.b}: not compared, because {pair.reason}")]


def _describe_matching(matching: MatchedThreshold) -> list[Block]:
    """Return the threshold of B that matches A's prevalence."""
    if matching.threshold is None:
        return [
            Line(
                f"  A calls {matching.wanted:z.3f} of the posts positive, and no threshold makes B "
                "call a closer share positive than none at all"
            )
        ]
    return [
        Line(
            f"  at the threshold {matching.threshold:z.6g}, B calls {matching.reached:z.3f} of the "
            f"posts positive; A calls {matching.wanted:z.3f} positive"
        )
    ]


def _describe_missing(comparison: Comparison) -> str:
    if not (comparison.without_a or comparison.without_b):
        return ""
    return f" ({comparison.without_a:,} without a value in A, {comparison.without_b:,} in B)"


def _name(measure: str, threshold: float | None) -> str:
    kind, _, category = measure.partition(": ")
    name = f"{MEASURES[kind]} {category}".rstrip()
    if threshold is None or kind not in _AT_THRESHOLD:
        return name
    return f"{name} (positive: {threshold:g} or more)"


def _confusion(confusion: Confusion) -> Table:
    return Table(
        header=("posts", *(f"B {name}" for name in confusion.b)),
        rows=tuple(
            (f"A {name}", *(f"{count:,}" for count in counts))
            for name, counts in zip(confusion.a, confusion.counts, strict=True)
        ),
        right_aligned=frozenset(range(1, len(confusion.b) + 1)),
        indent=4,
    )
