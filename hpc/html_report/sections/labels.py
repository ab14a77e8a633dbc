"""Describe the label columns: their distributions, and their courses over time. Pure."""

from collections.abc import Iterator, Sequence
from datetime import datetime, time

from hpc.figures.charts import Bars, Curve, Histogram, Point, Series, TimeCurves, Tone
from hpc.html_report.elements import Element, Figure, Paragraph, Section, Table, figures
from hpc.html_report.facts import (
    CategoryColumn,
    Course,
    HiddenColumn,
    LabelColumn,
    NumberColumn,
    SampleFacts,
    SubjectFacts,
)
from hpc.html_report.wording import (
    format_interval,
    format_period,
    format_value,
    in_period,
    shorten_name,
)
from hpc.runs.missing_posts import ORDER
from pipeline.text import counted, listed

MOST_CHARTED = 24
"""Of label columns; the others have rows in the table of all columns."""
_TONES = (Tone.FIRST, Tone.SECOND, Tone.THIRD, Tone.FOURTH, Tone.FIFTH)


def describe_labels(facts: SubjectFacts) -> Section:
    """Return the label columns."""
    columns = facts.columns
    shown = [each for each in columns if not isinstance(each, HiddenColumn)]
    charts = [tuple(_charts(column, facts)) for column in shown[:MOST_CHARTED]]
    elements: list[Element] = []
    if columns:
        elements += [
            Paragraph(_how_to_read(facts.sample)),
            *map(Paragraph, _what_is_open(facts)),
            _overview(columns),
        ]
    else:
        elements.append(Paragraph("There are no label columns with values yet."))
    elements += _in_rows(charts)
    if len(shown) > MOST_CHARTED:
        names = [shorten_name(each.name) for each in shown[MOST_CHARTED:]]
        elements.append(
            Paragraph(f"To keep the page small, these columns have no charts: {listed(names)}.")
        )
    return Section(title="Labels", anchor="labels", elements=tuple(elements))


def _in_rows(charts: Sequence[Sequence[Figure]]) -> Iterator[Element]:
    """Yield the charts of each column side by side, where columns have several.

    All in one row after the other would put the course of one column beside the values of the next.
    """
    if all(len(each) < 2 for each in charts):
        yield from figures([figure for each in charts for figure in each])
        return
    for each in charts:
        yield from figures(each)


def _how_to_read(sample: SampleFacts | None) -> str:
    weights = "Each post counts as one."
    if sample and sample.is_weighted:
        weights = "Each post is weighted by the number of posts that it represents."
    elif sample:
        weights = (
            f"Numbers are not weighted, although the posts are from a sample: {sample.problem}."
        )
    return (
        f"{weights} Vertical lines are 95% intervals, as those of a random sample of such posts; "
        "they do not include the errors of the classifier. A period with fewer than 10 posts has "
        "none."
    )


def _what_is_open(facts: SubjectFacts) -> Iterator[str]:
    """Yield how to read the labels of runs that are not complete."""
    if not facts.missing:
        return
    period = facts.counts.post_period
    yield (
        f"{counted(facts.missing, 'post')} have no result yet, so every number here may change. "
        f"They are no random part of the posts: {ORDER}. A {period} that lacks results may have "
        "labels of such copies only. Its points are hollow and have no interval, and they estimate "
        "nothing."
    )


def _overview(columns: Sequence[LabelColumn]) -> Table:
    return Table(
        caption="All label columns",
        header=("column", "posts with a value", "without a value", "values"),
        rows=tuple(
            (shorten_name(each.name), f"{each.posts:,}", f"{each.missing:,}", _values(each))
            for each in columns
        ),
        numbers=frozenset({1, 2}),
    )


def _values(column: LabelColumn) -> str:
    match column:
        case NumberColumn():
            low, *_, high = map(format_value, column.quantiles)
            return f"mean {format_value(column.mean)}, from {low} to {high}"
        case CategoryColumn():
            return ", ".join(
                f"{shorten_name(each.value)} {each.share:.1%}" for each in column.categories[:4]
            ) + (", …" if len(column.categories) > 4 else "")
        case HiddenColumn():
            return f"not shown: {column.reason}"


def _charts(column: LabelColumn, facts: SubjectFacts) -> Iterator[Figure]:
    so_far = " so far" if facts.missing else ""
    match column:
        case NumberColumn():
            yield _histogram(column, facts.sample, so_far)
            yield from _course(f"{shorten_name(column.name)}: mean", [column.course], facts, "mean")
        case CategoryColumn():
            yield _categories(column, so_far)
            title = f"{shorten_name(column.name)}: shares"
            if len(column.courses) == 1:
                title = (
                    f"{shorten_name(column.name)}: share of {shorten_name(column.courses[0].name)}"
                )
            yield from _course(title, column.courses, facts, "share")
        case HiddenColumn():
            return


def _histogram(column: NumberColumn, sample: SampleFacts | None, so_far: str) -> Figure:
    low, first, median, third, high = map(format_value, column.quantiles)
    spread = (
        f", standard deviation {format_value(column.deviation)}"
        if column.deviation is not None
        else ""
    )
    height = "posts, weighted" if sample and sample.is_weighted else "posts"
    edges = column.edges
    return Figure(
        chart=Histogram(
            title=shorten_name(column.name),
            edges=edges,
            series=Series(name=height, values=column.counts),
            axis="value",
            height=height,
        ),
        description=(
            f"{counted(column.posts, 'post')} with a value{so_far}{_note_missing(column)}: mean "
            f"{format_value(column.mean)}{spread}; quartiles {first}, {median} and {third}; from "
            f"{low} to {high}."
        ),
        table=Table(
            caption=f"Distribution of {shorten_name(column.name)}",
            header=("from", "to", height),
            rows=tuple(
                (format_value(start), format_value(end), f"{count:,.0f}")
                for start, end, count in zip(edges, edges[1:], column.counts, strict=False)
            ),
            numbers=frozenset({0, 1, 2}),
        ),
    )


def _note_missing(column: LabelColumn) -> str:
    return f", {column.missing:,} without" if column.missing else ""


def _categories(column: CategoryColumn, so_far: str) -> Figure:
    return Figure(
        chart=Bars(
            title=shorten_name(column.name),
            categories=tuple(shorten_name(each.value) for each in column.categories),
            series=(
                Series(
                    name="share",
                    values=tuple(100 * each.share for each in column.categories),
                ),
            ),
            axis="% of posts with a value",
        ),
        description=f"{counted(column.posts, 'post')} with a value{so_far}{_note_missing(column)}.",
        table=Table(
            caption=f"Values of {shorten_name(column.name)}",
            header=("value", "posts", "share"),
            rows=tuple(
                (shorten_name(each.value), f"{each.posts:,}", f"{each.share:.1%}")
                for each in column.categories
            ),
            numbers=frozenset({1, 2}),
        ),
    )


def _course(
    title: str, courses: Sequence[Course], facts: SubjectFacts, height: str
) -> Iterator[Figure]:
    if not courses or len(courses[0].points) < 2:
        return
    several = len(courses) > 1
    period, missing = facts.counts.post_period, facts.open_periods
    yield Figure(
        chart=TimeCurves(
            title=f"{title} by {period}",
            curves=tuple(
                Curve(
                    name=shorten_name(course.name),
                    tone=_TONES[number % len(_TONES)],
                    points=tuple(
                        Point(
                            at=datetime.combine(point.start, time()),
                            value=point.value,
                            interval=None if point.start in missing else point.interval,
                            is_open=point.start in missing,
                        )
                        for point in course.points
                    ),
                )
                for number, course in enumerate(courses)
            ),
            height=height,
        ),
        description=_describe_course(courses, facts, height),
        table=Table(
            caption=f"{title} by {period}",
            header=(
                *(("category",) if several else ()), str(period), "posts",
                *(("no result yet",) if missing else ()), height, "95% interval",
            ),
            rows=tuple(
                (
                    *((shorten_name(course.name),) if several else ()),
                    format_period(point.start, period),
                    f"{point.posts:,}",
                    *((f"{missing.get(point.start, 0):,}",) if missing else ()),
                    format_value(point.value),
                    format_interval(None if point.start in missing else point.interval),
                )
                for course in courses
                for point in course.points
            ),
            numbers=frozenset(range(1 + several, 4 + several + bool(missing))),
        ),
    )  # fmt: skip


def _describe_course(courses: Sequence[Course], facts: SubjectFacts, height: str) -> str:
    period, points = facts.counts.post_period, courses[0].points
    closed = [point for point in points if point.start not in facts.open_periods]
    sentences = [f"{counted(len(points), str(period))} of posts."]
    if lacking := len(points) - len(closed):
        verb = "lacks" if lacking == 1 else "lack"
        sentences.append(f"{lacking:,} of them {verb} results, and {height}s may change: hollow.")
    if closed:
        first, last = closed[0], closed[-1]
        name = f" of {shorten_name(courses[0].name)}" if courses[0].name else ""
        sentences.append(
            f"The {height}{name} was {format_value(first.value)} {in_period(first.start, period)} "
            f"and {format_value(last.value)} {in_period(last.start, period)}."
        )
    return " ".join(sentences)
