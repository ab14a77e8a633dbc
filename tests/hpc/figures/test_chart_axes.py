"""The axes of a report's charts: whole numbers for counts, and times that name their unit."""

import re
from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest

from hpc.figures.charts import (
    Bars,
    Chart,
    Histogram,
    Row,
    Series,
    Span,
    TimeBars,
    Timeline,
    Tone,
)
from hpc.figures.draw_charts import draw_chart
from hpc.figures.inline_svg import SvgElement

START = datetime(2026, 12, 1, 10, 5, 11)


def words(element: SvgElement) -> Iterator[str]:
    if element.text.strip():
        yield element.text.strip()
    for child in element.children:
        yield from words(child)


def numbers(chart: Chart) -> list[float]:
    return [float(word) for word in words(draw_chart(chart)) if re.fullmatch(r"-?[\d.]+", word)]


def bars_of(count: float) -> Bars:
    return Bars(
        title="t", categories=("a",), series=(Series(name="n", values=(count,)),), axis="posts"
    )


def bars_over(seconds: int) -> TimeBars:
    starts = tuple(START + timedelta(seconds=number) for number in range(seconds))
    series = Series(name="n", values=(1.0,) * seconds)
    return TimeBars(title="t", starts=starts, width_s=1.0, series=(series,), height="tasks")


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_counts_have_whole_numbers(count: int) -> None:
    heights = Histogram(
        title="t", edges=(0.0, 50.0, 100.0), axis="%", height="attempts",
        series=Series(name="n", values=(0.0, float(count))),
    )  # fmt: skip
    for chart in (bars_of(count), heights):
        assert all(number.is_integer() for number in numbers(chart))


def test_shares_have_fractions() -> None:
    assert not all(number.is_integer() for number in numbers(bars_of(0.9)))


@pytest.mark.parametrize("seconds", [1, 3, 5, 8, 16, 21, 41])
def test_a_time_of_seconds_is_written_out(seconds: int) -> None:
    shown = list(words(draw_chart(bars_over(seconds))))
    assert "2026-Dec-01 UTC" in shown
    times = [word for word in shown if re.fullmatch(r"10:05:\d\d(\.\d+)?", word)]
    assert len(times) >= 2


def bars_in(element: SvgElement, tone: Tone) -> Iterator[tuple[float, float]]:
    """Yield the left and the right end of each bar of a color, in pixels."""
    if f"fill:var(--{tone})" in element.style and "d" in element.attributes:
        lefts = [float(number) for number in re.findall(r"[ML] ([\d.]+)", element.attributes["d"])]
        yield min(lefts), max(lefts)
    for child in element.children:
        yield from bars_in(child, tone)


@pytest.mark.parametrize("is_narrow", [False, True])
def test_a_task_of_no_seconds_is_seen_also_where_another_began_at_once(is_narrow: bool) -> None:
    hours = START + timedelta(hours=20)
    chart = Timeline(
        title="t",
        rows=(
            Row(name="a", spans=(Span(start=START, end=START, tone=Tone.SECOND),
                                 Span(start=START, end=hours, tone=Tone.THIRD))),
            Row(name="b", spans=(Span(start=START, end=START, tone=Tone.GRAY),
                                 Span(start=hours, end=hours, tone=Tone.FIFTH))),
        ),
        legend=(),
    )  # fmt: skip
    drawn = draw_chart(chart, is_narrow=is_narrow)
    (first,), (long,), (last,) = (
        [*bars_in(drawn, tone)] for tone in (Tone.SECOND, Tone.THIRD, Tone.FIFTH)
    )
    assert first[1] - first[0] > 2
    assert last[1] - last[0] > 2
    assert (first[0], last[1]) == (long[0], long[1]), "within the axis"
    width = float(drawn.attributes["viewBox"].split()[2])
    assert (width < 400) is is_narrow


def test_a_short_bar_lies_above_a_long_one() -> None:
    spans = (Span(start=START, end=START, tone=Tone.SECOND),
             Span(start=START, end=START + timedelta(hours=1), tone=Tone.THIRD))  # fmt: skip
    drawn = draw_chart(Timeline(title="t", rows=(Row(name="a", spans=spans),), legend=()))

    def fills(element: SvgElement) -> Iterator[str]:
        if "d" in element.attributes:
            yield from re.findall(r"fill:var\(--(second|third)\)", element.style)
        for child in element.children:
            yield from fills(child)

    assert [*fills(drawn)] == ["third", "second"]
