"""Describe how well the labels match human ones."""

from collections.abc import Iterator, Sequence

from hpc.display.comparison.gold import GoldReport, measure_name
from hpc.figures.plan import CalibrationFigure, MonthsFigure, of_gold
from hpc.html_report.elements import Element, Figure, Paragraph, Section, Table, figures
from hpc.html_report.wording import format_interval, format_value, shorten_name
from pipeline.analysis.gold.results import GoldComparison, NotJudged
from pipeline.analysis.results import CONFIDENCE, Estimate
from pipeline.text import counted


def describe_gold(reports: Sequence[GoldReport], notes: Sequence[str]) -> Section:
    """Return the comparisons with gold.

    Args:
        reports: one for each gold.
        notes: why gold could not be compared.
    """
    elements: list[Element] = [Paragraph(note) for note in notes]
    for report in reports:
        elements += _describe(report)
    if not elements:
        elements.append(
            Paragraph(
                "No human labels of these posts are known, so nothing says how often the "
                "classifier errs."
            )
        )
    return Section(title="Agreement with human labels", anchor="gold", elements=tuple(elements))


def _describe(report: GoldReport) -> Iterator[Element]:
    sample = report.sample
    drawn = (
        f" They are from the sample {sample.name} and weighted by it, so that measures hold for "
        f"{counted(round(sample.population), 'post')}."
        if sample
        else ""
    )
    yield Paragraph(
        f"Gold {report.gold}: {counted(report.posts, 'coded post')}.{drawn} Brackets hold "
        f"{CONFIDENCE:.0%} percentile intervals of "
        f"{counted(report.resamples, 'bootstrap resample')} (seed {report.seed})."
    )
    for model in report.models:
        for comparison in model.comparisons:
            if isinstance(comparison, NotJudged):
                yield Paragraph(
                    f"{comparison.model} was not compared with {comparison.gold}: "
                    f"{comparison.reason}."
                )
            else:
                yield from _comparison(report.gold, comparison)
        for caution in model.cautions:
            yield Paragraph(f"Note: {caution.text}.")
        judged = [
            comparison for comparison in model.comparisons if isinstance(comparison, GoldComparison)
        ]
        plans = of_gold(report.gold, [(model.name, judged)], report.until)
        yield from figures([_figure(plan) for plan in plans if not _is_single_month(plan)])


def _is_single_month(plan: CalibrationFigure | MonthsFigure) -> bool:
    """Tell whether a chart over time would have a single point, which the accuracy says already."""
    return isinstance(plan, MonthsFigure) and len(plan.months) < 2


def _comparison(gold: str, comparison: GoldComparison) -> Iterator[Element]:
    positive = (
        f", from {comparison.threshold:g} on positive" if comparison.threshold is not None else ""
    )
    yield Table(
        caption=(
            f"{shorten_name(comparison.model)} compared with {gold} "
            f"{shorten_name(comparison.gold)}: {counted(comparison.posts, 'coded post')}{positive}"
        ),
        header=("measure", "value", "interval"),
        rows=tuple(
            (measure_name(name), format_value(each.value), format_interval(each.interval))
            for name, each in comparison.measures.items()
        ),
        numbers=frozenset({1, 2}),
    )
    if comparison.confusion:
        yield Table(
            caption="Coded posts, and the share of all posts that they represent",
            header=(
                "gold",
                *(f"predicted {shorten_name(name)}" for name in comparison.confusion.model),
            ),
            rows=tuple(
                (
                    shorten_name(name),
                    *(
                        f"{count:,} ({share:.1%})"
                        for count, share in zip(counts, shares, strict=True)
                    ),
                )
                for name, counts, shares in zip(
                    comparison.confusion.gold,
                    comparison.confusion.counts,
                    comparison.confusion.shares,
                    strict=True,
                )
            ),
            numbers=frozenset(range(1, len(comparison.confusion.model) + 1)),
        )
    if comparison.prevalence:
        yield Table(
            caption="How frequent each label is in all labeled posts",
            header=("label", "posts", "as predicted", "coded posts alone", "corrected", "interval"),
            rows=tuple(
                (
                    shorten_name(each.label),
                    f"{each.population:,}",
                    format_value(each.naive),
                    _value(each.gold_only),
                    _value(each.corrected),
                    format_interval(each.corrected.interval),
                )
                for each in comparison.prevalence
            ),
            numbers=frozenset({1, 2, 3, 4, 5}),
        )
    for caution in comparison.warnings:
        yield Paragraph(f"Note: {caution.text}.")


def _value(estimate: Estimate) -> str:
    return format_value(estimate.value)


def _figure(plan: CalibrationFigure | MonthsFigure) -> Figure:
    if isinstance(plan, CalibrationFigure):
        return Figure(
            chart=plan,
            description=(
                f"How often posts with a score have the label {plan.label}. On the diagonal, a "
                "score is how likely the label is."
            ),
            table=Table(
                caption=f"{plan.title}: calibration",
                header=("scores up to", "posts", "mean score", "share with the label", "interval"),
                rows=tuple(
                    (
                        format_value(each.high),
                        f"{each.posts:,}",
                        format_value(each.mean_score),
                        format_value(each.share_positive),
                        format_interval(each.interval),
                    )
                    for each in plan.curve.bins
                ),
                numbers=frozenset(range(5)),
            ),
        )
    note = f", {plan.note}" if plan.note else ""
    return Figure(
        chart=plan,
        description=(
            f"The share of coded posts whose label is the same as that of people, by month{note}."
        ),
        table=Table(
            caption=f"{plan.title}: agreement by month",
            header=("month", "posts", "share that agrees", "interval"),
            rows=tuple(
                (
                    each.month,
                    f"{each.posts:,}",
                    format_value(each.agreement),
                    format_interval(each.interval),
                )
                for each in plan.months
            ),
            numbers=frozenset({1, 2, 3}),
        ),
    )
