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
        *_single("got their rows on", counts.label_days, Period.DAY, facts.missing),
        *_single("are from", counts.post_periods, counts.post_period, facts.missing),
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


def _single(
    verb: str, periods: Sequence[PeriodCount], period: Period, missing: int
) -> list[Paragraph]:
    """Return a sentence about the only period: a chart would be a single bar."""
    if len(periods) != 1:
        return []
    (only,) = periods
    total = only.labeled + only.unlabelable
    when = format_period(only.start, period)
    so_far = "The {} with a result so far" if missing else "All {}"
    posts = so_far.format(counted(total, "post"))
    return [Paragraph(f"{posts} {verb} the {period} {when} (UTC).")]


def _over_time(title: str, periods: Sequence[PeriodCount], period: Period) -> Figure | None:
    if len(periods) < 2:
        return None
    labeled, without, waiting = (
        Series(name="labeled", values=tuple(float(each.labeled) for each in periods)),
        Series(
            name="without a label",
            values=tuple(float(each.unlabelable) for each in periods),
            tone=Tone.SECOND,
        ),
        Series(
            name="no result yet",
            values=tuple(float(each.missing) for each in periods),
            tone=Tone.GRAY,
        ),
    )
    missing = sum(each.missing for each in periods)
    columns = (labeled, without, waiting) if missing else (labeled, without)
    total = sum(each.labeled + each.unlabelable for each in periods) + missing
    so_far = f"; {missing:,} of them have no result yet" if missing else ""
    first, last = (format_period(each.start, period) for each in (periods[0], periods[-1]))
    return Figure(
        chart=TimeBars(
            title=title,
            starts=tuple(datetime.combine(each.start, time()) for each in periods),
            width_s=SECONDS[period],
            series=tuple(each for each in columns if each is labeled or any(each.values)),
            height="posts",
        ),
        description=f"{counted(total, 'post')}, from {first} to {last}, in UTC{so_far}.",
        table=Table(
            caption=title,
            header=(str(period), *(each.name for each in columns)),
            rows=tuple(
                (
                    format_period(each.start, period),
                    *(f"{column.values[place]:,.0f}" for column in columns),
                )
                for place, each in enumerate(periods)
            ),
            numbers=frozenset(range(1, len(columns) + 1)),
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
