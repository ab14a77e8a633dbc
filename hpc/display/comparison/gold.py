"""Describe how well classifiers match human gold. Pure."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from hpc.display.blocks import Block, Line, Table
from hpc.display.comparison.estimates import (
    WIDTH,
    calibration_table,
    estimate_cells,
    interval_text,
    table_width,
    wrap_sentence,
)
from pipeline.analysis.gold.results import (
    Caution,
    GoldComparison,
    NotJudged,
    Prevalence,
    StratumResult,
    WeightedConfusion,
)
from pipeline.analysis.gold.sample_design import SampleDesign
from pipeline.analysis.results import CONFIDENCE, NO_INTERVAL, Estimate
from pipeline.text import counted

MEASURES = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "macro_f1": "mean F1",
    "precision": "precision",
    "recall": "recall",
    "f1": "F1",
    "mae": "mean absolute error",
    "mean_error": "mean error (prediction - gold)",
}
# With more categories, a table of all pairs of them would be too wide.
_MOST_IN_TABLE = 4


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelReport:
    """What is known about one classifier."""

    name: str
    posts: int
    """Posts that it has labeled."""
    comparisons: tuple[GoldComparison | NotJudged, ...]
    cautions: tuple[Caution, ...]
    posts_not_gathered: int = 0
    """Posts of its published outputs that the database does not have yet."""
    posts_missing: int = 0
    """Posts of its runs without a published result."""


@dataclass(frozen=True, kw_only=True, slots=True)
class GoldReport:
    """Classifiers beside the same gold."""

    database: str
    gold: str
    posts: int
    """Posts with a gold label."""
    sample: SampleDesign | None
    outside: int
    """Coded posts that are not in the sample."""
    resamples: int
    seed: int
    models: tuple[ModelReport, ...]
    until: datetime
    """Up to when (UTC) charts show times of posts: the newest run was created then."""


def describe_gold(report: GoldReport) -> list[Block]:
    """Return the sample, and then the measures of each classifier."""
    blocks: list[Block] = [
        Line(report.database),
        Line(f"  gold {report.gold}: {counted(report.posts, 'coded post')}"),
    ]
    if sample := report.sample:
        blocks.append(
            Line(
                f"  sample {sample.name}: {counted(sample.sampled, 'post')} in "
                f"{counted(sample.strata, 'stratum', 'strata')}, "
                f"for {counted(round(sample.population), 'post')}"
            )
        )
        if report.outside:
            blocks.append(
                Line(
                    f"  left out: {counted(report.outside, 'coded post')} that "
                    f"{'is' if report.outside == 1 else 'are'} not in this sample"
                )
            )
    blocks += wrap_sentence(
        f"  in brackets: {CONFIDENCE:.0%} percentile intervals of "
        f"{counted(report.resamples, 'bootstrap resample')} within strata, seed {report.seed}"
    )
    for model in report.models:
        for comparison in model.comparisons:
            blocks += [Line(""), *_describe(report.gold, model, comparison)]
        if model.cautions:
            blocks += [Line(""), *_notes(model.cautions)]
    if len(report.models) == 2:
        blocks += _side_by_side(*report.models)
    return blocks


def _side_by_side(left: ModelReport, right: ModelReport) -> list[Block]:
    """Return the measures of two classifiers beside each other, for each column of gold."""
    blocks: list[Block] = []
    for comparison in left.comparisons:
        for other in right.comparisons:
            if (
                isinstance(comparison, NotJudged)
                or isinstance(other, NotJudged)
                or comparison.gold != other.gold
            ):
                continue
            shared = [name for name in comparison.measures if name in other.measures]
            table = Table(
                header=(f"gold {comparison.gold}", left.name, right.name),
                rows=(
                    *(
                        (
                            measure_name(name),
                            _short(comparison.measures[name]),
                            _short(other.measures[name]),
                        )
                        for name in shared
                    ),
                    ("coded posts", f"{comparison.posts:,}", f"{other.posts:,}"),
                ),
            )
            blocks += [Line(""), table]
    return blocks


def _describe(gold: str, model: ModelReport, comparison: GoldComparison | NotJudged) -> list[Block]:
    title = f"{model.name} {comparison.model}, {gold} {comparison.gold}: "
    if isinstance(comparison, NotJudged):
        return [*wrap_sentence(f"{title}not compared, because {comparison.reason}")]
    left_out = [
        f"{comparison.not_coded:,} not coded" if comparison.not_coded else "",
        f"{comparison.without_model:,} coded without a prediction"
        if comparison.without_model
        else "",
    ]
    rest = ", ".join(filter(None, left_out))
    blocks: list[Block] = [
        *wrap_sentence(
            f"{title}{counted(comparison.posts, 'coded post')}" + (f" ({rest})" if rest else "")
        )
    ]
    if comparison.threshold is not None:
        blocks.append(Line(f"  positive: {comparison.threshold:g} or more"))
    blocks.append(
        Table(
            rows=tuple(
                (measure_name(name), *estimate_cells(each))
                for name, each in comparison.measures.items()
            ),
            right_aligned=frozenset({1}),
        )
    )
    if comparison.confusion:
        blocks += [Line(""), *_confusion(comparison.confusion)]
    for curve in comparison.calibration:
        blocks += [
            Line(""),
            Line(f"  share of posts with {curve.label}, by score:"),
            calibration_table(curve),
        ]
    for prevalence in comparison.prevalence:
        blocks += [Line(""), *_prevalence(prevalence, model.name)]
    if comparison.strata:
        blocks += [Line(""), *_strata(comparison.strata)]
    if _lacks_interval(comparison):
        blocks += [Line(""), *wrap_sentence(f"  no interval: {NO_INTERVAL}")]
    if comparison.warnings:
        blocks += [Line(""), *_notes(comparison.warnings)]
    return blocks


def measure_name(measure: str) -> str:
    """Return what a measure is called, such as `precision: toxic`."""
    kind, _, category = measure.partition(": ")
    return f"{MEASURES[kind]}{': ' if category else ''}{category}"


def _lacks_interval(comparison: GoldComparison) -> bool:
    """Tell whether a table says `no interval` somewhere, which a line below explains."""
    shares = (each for prevalence in comparison.prevalence
              for each in (prevalence.gold_only, prevalence.corrected))  # fmt: skip
    return any(each.reason == NO_INTERVAL for each in (*comparison.measures.values(), *shares))


def _confusion(confusion: WeightedConfusion) -> list[Block]:
    """Return counts and weighted shares: as a table of all pairs, or as a list of those seen."""
    pairs = [
        (gold, model, f"{count:,}", f"{share:.1%}")
        for gold, counts, shares in zip(
            confusion.gold, confusion.counts, confusion.shares, strict=True
        )
        for model, count, share in zip(confusion.model, counts, shares, strict=True)
    ]
    size = len(confusion.model)
    table = Table(
        header=("", *(f"pred. {name}" for name in confusion.model)),
        rows=tuple(
            (
                f"gold {name}",
                *(f"{pair[2]} ({pair[3]})" for pair in pairs[row * size : (row + 1) * size]),
            )
            for row, name in enumerate(confusion.gold)
        ),
        right_aligned=frozenset(range(1, size + 1)),
        indent=4,
    )
    if size > _MOST_IN_TABLE or table_width(table) > WIDTH:
        table = Table(
            header=("gold", "predicted", "posts", "share"),
            rows=tuple(pair for pair in pairs if pair[2] != "0"),
            right_aligned=frozenset({2, 3}),
            indent=4,
        )
    return [Line("  coded posts, and the share of all posts that they represent:"), table]


def _prevalence(comparison: Prevalence, model: str) -> list[Block]:
    what = "mean score" if comparison.label == "mean" else f"share of {comparison.label}"
    rows = [
        ("as predicted (naive)", f"{comparison.naive:z.3f}", ""),
        ("in the coded posts alone", *estimate_cells(comparison.gold_only)),
        ("corrected", *estimate_cells(comparison.corrected)),
    ]
    blocks: list[Block] = [
        *wrap_sentence(
            f"  {what} in {counted(comparison.population, 'post')} that {model} labeled:"
        )
    ]
    formula = comparison.by_formula
    if formula:
        error = f"{interval_text(formula.interval)} standard error {formula.standard_error:z.3f}"
        rows.append(("corrected, by formula", f"{comparison.corrected.value or 0:z.3f}", error))
    blocks.append(Table(rows=tuple(rows), right_aligned=frozenset({1}), indent=4))
    if formula and formula.needed and comparison.label != "mean":
        sizes = ", ".join(f"{posts:,} for ±{margin}" for margin, posts in formula.needed.items())
        blocks += wrap_sentence(f"    posts to code in all: about {sizes}")
    return blocks


def _strata(strata: Sequence[StratumResult]) -> list[Block]:
    shown = ("accuracy", "f1", "macro_f1", "mae")
    names = [name for name in shown if any(each.measures and name in each.measures
                                           for each in strata)][:2]  # fmt: skip
    headings = [MEASURES[name] for name in names]
    rows = []
    for each in sorted(strata, key=_in_order):
        start = (each.stratum or "(none)", f"{each.coded:,}", f"{each.share:.1%}")
        measures = each.measures
        if measures is None:
            rows.append((*start, each.reason, *[""] * (len(names) - 1)))
        else:
            rows.append((*start, *(_short(measures.get(name)) for name in names)))
    return [
        Table(
            # Without a measure in any stratum, the last column says why.
            header=("stratum", "coded", "share", *(headings or [""])),
            rows=tuple(rows),
            right_aligned=frozenset({1, 2}),
        )
    ]


def _in_order(result: StratumResult) -> tuple[float, str]:
    """Return a key that sorts ranges of numbers, such as `-0.5 to 0.5`, by where they begin."""
    number = re.match(r"-?\d+(\.\d+)?", result.stratum)
    return float(number[0]) if number else math.inf, result.stratum


def _short(estimate: Estimate | None) -> str:
    if estimate is None or estimate.value is None:
        return "-"
    return f"{estimate.value:z.2f}" + (
        f" [{estimate.interval[0]:z.2f}, {estimate.interval[1]:z.2f}]" if estimate.interval else ""
    )


def _notes(cautions: Sequence[Caution]) -> list[Block]:
    return [line for caution in cautions for line in wrap_sentence(f"  note: {caution.text}")]
