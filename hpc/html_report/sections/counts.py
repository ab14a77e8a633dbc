"""Describe how many posts there are: by day of the label, by their own time, by reason. Pure."""

from collections.abc import Sequence
from datetime import datetime, time

from hpc.figures.charts import Bars, Series, TimeBars, Tone
from hpc.html_report.elements import Element, Figure, Paragraph, Section, Table, figures
from hpc.html_report.facts import LabelCounts, Period, PeriodCount, SubjectFacts
from hpc.html_report.wording import format_period, format_share
from pipeline.text import counted

SECONDS = {
    Period.DAY: 86_400.0,
    Period.WEEK: 7 * 86_400.0,
    Period.MONTH: 28 * 86_400.0,
    Period.YEAR: 365 * 86_400.0,
}
"""The width of a bar; a month is as wide as the shortest one, so that bars do not overlap."""


def describe_counts(facts: SubjectFacts) -> Section:
    """Return the counts of posts."""
    counts = facts.counts
    shown = [
        figure
        for figure in (
            _over_time("Posts by day of their label", counts.label_days, Period.DAY),
            _over_time(
                f"Posts by {counts.post_period} of the post",
                counts.post_periods,
                counts.post_period,
            ),
        )
        if figure
    ]
    elements: list[Element] = [
        *_single("got their rows on", counts.label_days, Period.DAY),
        *_single("are from", counts.post_periods, counts.post_period),
        *figures(shown),
    ]
    if not counts.posts:
        elements.append(Paragraph("There are no posts to count yet."))
    if counts.left_out_periods:
        elements.append(
            Paragraph(
                f"{counted(counts.left_out_periods, f'earlier {counts.post_period}')} with posts "
                "are not shown."
            )
        )
    return Section(title="Posts", anchor="posts", elements=tuple(elements))


def _single(verb: str, periods: Sequence[PeriodCount], period: Period) -> list[Paragraph]:
    """Return a sentence about the only period: a chart would be a single bar."""
    if len(periods) != 1:
        return []
    (only,) = periods
    total = only.labeled + only.unlabelable
    when = format_period(only.start, period)
    return [Paragraph(f"All {counted(total, 'post')} {verb} the {period} {when} (UTC).")]


def _over_time(title: str, periods: Sequence[PeriodCount], period: Period) -> Figure | None:
    if len(periods) < 2:
        return None
    series = [Series(name="labeled", values=tuple(float(each.labeled) for each in periods))]
    if any(each.unlabelable for each in periods):
        without = tuple(float(each.unlabelable) for each in periods)
        series.append(Series(name="without a label", values=without, tone=Tone.SECOND))
    total = sum(each.labeled + each.unlabelable for each in periods)
    first, last = (format_period(each.start, period) for each in (periods[0], periods[-1]))
    return Figure(
        chart=TimeBars(
            title=title,
            starts=tuple(datetime.combine(each.start, time()) for each in periods),
            width_s=SECONDS[period],
            series=tuple(series),
            height="posts",
        ),
        description=f"{counted(total, 'post')}, from {first} to {last}, in UTC.",
        table=Table(
            caption=title,
            header=(str(period), "labeled", "without a label"),
            rows=tuple(
                (format_period(each.start, period), f"{each.labeled:,}", f"{each.unlabelable:,}")
                for each in periods
            ),
            numbers=frozenset({1, 2}),
        ),
    )


def describe_reasons(facts: SubjectFacts) -> Section:
    """Return why posts have no label."""
    counts = facts.counts
    if not counts.reasons:
        text = "Every post has a label." if counts.posts else "There are no posts yet."
        return Section(title="Posts without a label", anchor="reasons", elements=(Paragraph(text),))
    return Section(
        title="Posts without a label", anchor="reasons", elements=figures([_reasons(counts)])
    )


def _reasons(counts: LabelCounts) -> Figure:
    without = counts.posts - counts.labeled
    return Figure(
        chart=Bars(
            title="Reasons",
            categories=tuple(reason for reason, _ in counts.reasons),
            series=(
                Series(
                    name="posts",
                    values=tuple(float(count) for _, count in counts.reasons),
                    tone=Tone.SECOND,
                ),
            ),
            axis="posts",
        ),
        description=(
            f"{counted(without, 'post')} of {counts.posts:,} "
            f"({format_share(without, counts.posts)}) have a reason in place of a label."
        ),
        table=Table(
            caption="Posts without a label, by reason",
            header=("reason", "posts", "share of all posts"),
            rows=tuple(
                (reason, f"{count:,}", format_share(count, counts.posts))
                for reason, count in counts.reasons
            ),
            numbers=frozenset({1, 2}),
        ),
    )
