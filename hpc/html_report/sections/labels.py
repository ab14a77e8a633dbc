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
    Period,
    SampleFacts,
    SubjectFacts,
)
from hpc.html_report.wording import (
    format_interval,
    format_period,
    format_value,
    listed,
    shortened,
)
from pipeline.text import counted

MOST_CHARTED = 24
"""Of label columns; the others have rows in the table of all columns."""
_TONES = (Tone.FIRST, Tone.SECOND, Tone.THIRD, Tone.FOURTH, Tone.FIFTH)


def describe_labels(facts: SubjectFacts) -> Section:
    """Return the label columns."""
    columns = facts.columns
    shown = [each for each in columns if not isinstance(each, HiddenColumn)]
    charts = [
        figure
        for column in shown[:MOST_CHARTED]
        for figure in _charts(column, facts.counts.post_period, facts.sample)
    ]
    elements: list[Element] = []
    if columns:
        elements += [Paragraph(_how_to_read(facts.sample)), _overview(columns)]
    else:
        elements.append(Paragraph("There are no label columns with values yet."))
    elements += figures(charts)
    if len(shown) > MOST_CHARTED:
        names = [shortened(each.name) for each in shown[MOST_CHARTED:]]
        elements.append(
            Paragraph(f"To keep the page small, these columns have no charts: {listed(names)}.")
        )
    return Section(title="Labels", anchor="labels", elements=tuple(elements))


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


def _overview(columns: Sequence[LabelColumn]) -> Table:
    return Table(
        caption="All label columns",
        header=("column", "posts with a value", "without a value", "values"),
        rows=tuple(
            (shortened(each.name), f"{each.posts:,}", f"{each.missing:,}", _values(each))
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
                f"{shortened(each.value)} {each.share:.1%}" for each in column.categories[:4]
            ) + (", …" if len(column.categories) > 4 else "")
        case HiddenColumn():
            return f"not shown: {column.reason}"


def _charts(column: LabelColumn, period: Period, sample: SampleFacts | None) -> Iterator[Figure]:
    is_weighted = sample is not None and sample.is_weighted
    match column:
        case NumberColumn():
            yield _histogram(column, is_weighted=is_weighted)
            yield from _course(f"{shortened(column.name)}: mean", [column.course], period, "mean")
        case CategoryColumn():
            yield _categories(column)
            title = f"{shortened(column.name)}: shares"
            if len(column.courses) == 1:
                title = f"{shortened(column.name)}: share of {shortened(column.courses[0].name)}"
            yield from _course(title, column.courses, period, "share")
        case HiddenColumn():
            return


def _histogram(column: NumberColumn, *, is_weighted: bool) -> Figure:
    low, first, median, third, high = map(format_value, column.quantiles)
    spread = (
        f", standard deviation {format_value(column.deviation)}"
        if column.deviation is not None
        else ""
    )
    height = "posts, weighted" if is_weighted else "posts"
    edges = column.edges
    return Figure(
        chart=Histogram(
            title=shortened(column.name),
            edges=edges,
            series=Series(name=height, values=column.counts),
            axis="value",
            height=height,
        ),
        description=(
            f"{counted(column.posts, 'post')} with a value{_missing(column)}: mean "
            f"{format_value(column.mean)}{spread}; quartiles {first}, {median} and {third}; from "
            f"{low} to {high}."
        ),
        table=Table(
            caption=f"Distribution of {shortened(column.name)}",
            header=("from", "to", height),
            rows=tuple(
                (format_value(start), format_value(end), f"{count:,.0f}")
                for start, end, count in zip(edges, edges[1:], column.counts, strict=False)
            ),
            numbers=frozenset({0, 1, 2}),
        ),
    )


def _missing(column: LabelColumn) -> str:
    return f", {column.missing:,} without" if column.missing else ""


def _categories(column: CategoryColumn) -> Figure:
    return Figure(
        chart=Bars(
            title=shortened(column.name),
            categories=tuple(shortened(each.value) for each in column.categories),
            series=(
                Series(
                    name="share",
                    values=tuple(100 * each.share for each in column.categories),
                ),
            ),
            axis="% of posts with a value",
        ),
        description=f"{counted(column.posts, 'post')} with a value{_missing(column)}.",
        table=Table(
            caption=f"Values of {shortened(column.name)}",
            header=("value", "posts", "share"),
            rows=tuple(
                (shortened(each.value), f"{each.posts:,}", f"{each.share:.1%}")
                for each in column.categories
            ),
            numbers=frozenset({1, 2}),
        ),
    )


def _course(title: str, courses: Sequence[Course], period: Period, height: str) -> Iterator[Figure]:
    if not courses or len(courses[0].points) < 2:
        return
    several = len(courses) > 1
    yield Figure(
        chart=TimeCurves(
            title=f"{title} by {period}",
            curves=tuple(
                Curve(
                    name=shortened(course.name),
                    tone=_TONES[number % len(_TONES)],
                    points=tuple(
                        Point(
                            at=datetime.combine(point.start, time()),
                            value=point.value,
                            interval=point.interval,
                        )
                        for point in course.points
                    ),
                )
                for number, course in enumerate(courses)
            ),
            height=height,
        ),
        description=_describe_course(courses, period, height),
        table=Table(
            caption=f"{title} by {period}",
            header=(
                *(("category",) if several else ()), str(period), "posts", height, "95% interval",
            ),
            rows=tuple(
                (
                    *((shortened(course.name),) if several else ()),
                    format_period(point.start, period),
                    f"{point.posts:,}",
                    format_value(point.value),
                    format_interval(point.interval),
                )
                for course in courses
                for point in course.points
            ),
            numbers=frozenset(range(1 + several, 4 + several)),
        ),
    )  # fmt: skip


def _describe_course(courses: Sequence[Course], period: Period, height: str) -> str:
    points = courses[0].points
    first, last = points[0], points[-1]
    name = f" of {shortened(courses[0].name)}" if courses[0].name else ""
    return (
        f"{counted(len(points), str(period))} of posts. The {height}{name} was "
        f"{format_value(first.value)} in {format_period(first.start, period)} and "
        f"{format_value(last.value)} in {format_period(last.start, period)}."
    )
