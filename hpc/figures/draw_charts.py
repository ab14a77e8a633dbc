"""Draw the charts of a report as SVG.

Each color stands for a role, which `inline_svg` replaces with a color of the page. Texts stay
texts, so that a page can be searched and read aloud.
"""

import io
import warnings
from collections.abc import Callable, Sequence
from datetime import datetime
from itertools import pairwise

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.dates import (
    DAILY,
    HOURLY,
    MICROSECONDLY,
    MINUTELY,
    MONTHLY,
    SECONDLY,
    YEARLY,
    AutoDateLocator,
    ConciseDateFormatter,
    date2num,
)
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from hpc.figures.charts import (
    Bars,
    Chart,
    Curve,
    Histogram,
    Series,
    Span,
    TimeBars,
    TimeCurves,
    Timeline,
    Tone,
)
from hpc.figures.draw import WIDEST_IN, draw
from hpc.figures.inline_svg import ROLES, SvgElement, read_svg
from hpc.figures.plan import PlannedFigure
from pipeline.terminal import one_line

WIDTH_IN, WIDE_IN = 5.0, 10.0
"""A point is a pixel of the page: 360 or 720."""
_INK = "#000000"
_STYLE = {
    "text.parse_math": False,  # a name may hold a dollar sign
    "svg.hashsalt": "hpc",  # the same chart has the same bytes
    "svg.fonttype": "none",  # texts stay texts
    "font.size": 10.5,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": ROLES[Tone.GRAY],
    "xtick.color": ROLES[Tone.GRAY],
    "ytick.color": ROLES[Tone.GRAY],
    "xtick.labelcolor": _INK,
    "ytick.labelcolor": _INK,
    "legend.frameon": False,
    "legend.fontsize": 10,
    "legend.handlelength": 1.2,
}
_LONGEST_NAME = 26
_LONGEST_TITLE = 46
_LONGEST_LABEL = 40
_MOST_MARKERS = 60
_SECOND = 1 / 86_400
"""In days, the unit of times on an axis."""
_DAYS = (date2num(datetime(1, 1, 1)), date2num(datetime(9999, 12, 31)))
# A time with seconds is long, so that few of them fit.
_MOST_TICKS = {
    YEARLY: 7, MONTHLY: 7, DAILY: 7, HOURLY: 7, MINUTELY: 7, SECONDLY: 5, MICROSECONDLY: 5,
}  # fmt: skip
# By what differs between two ticks: years, months, days, hours, minutes, seconds.
_TICK = ("%Y", "%b", "%d", "%H:%M", "%H:%M", "%H:%M:%S.%f")
_FIRST_TICK = ("", "%Y", "%b", "%b-%d", "%H:%M", "%H:%M:%S")
_BESIDE_AXIS = ("", "%Y", "%Y-%b", "%Y-%b-%d UTC", "%Y-%b-%d UTC", "%Y-%b-%d UTC")
_ROW_IN = 0.27
_MARGIN_IN = 1.0
_LEAST_BAR_IN = 0.05
"""A bar on a timeline, of which its white edge takes a part."""


def draw_chart(chart: Chart, *, is_narrow: bool = False) -> SvgElement:
    """Return a chart as SVG; a narrow one is at most WIDTH_IN wide."""
    return _as_svg(lambda: _draw(chart, WIDTH_IN if is_narrow else WIDE_IN))


def draw_planned(plan: PlannedFigure, *, is_narrow: bool = False) -> SvgElement:
    """Return a figure of a comparison as SVG; a narrow one is at most WIDTH_IN wide."""
    return _as_svg(lambda: draw(plan, WIDTH_IN if is_narrow else WIDEST_IN))


def _as_svg(make: Callable[[], Figure]) -> SvgElement:
    with mpl.rc_context(_STYLE), warnings.catch_warnings():
        # Names in any script may be in a title. The reader's browser has the glyphs.
        warnings.filterwarnings("ignore", message=r"Glyph \d+ .* missing from font")
        out = io.BytesIO()
        make().savefig(out, format="svg", transparent=True, metadata={"Date": None})
    return read_svg(out.getvalue().decode())


def _draw(chart: Chart, widest: float) -> Figure:
    match chart:
        case Bars():
            return _draw_bars(chart)
        case Histogram():
            return _draw_histogram(chart)
        case TimeBars():
            return _draw_time_bars(chart)
        case TimeCurves():
            return _draw_curves(chart)
        case Timeline():
            return _draw_timeline(chart, widest)


def _axes(title: str, *, height: float, width: float = WIDTH_IN) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots()
    longest = _LONGEST_TITLE * round(width / WIDTH_IN)
    axes.set_title(_shorten(title, longest), loc="left")
    axes.tick_params(length=3)
    return figure, axes


def _draw_bars(chart: Bars) -> Figure:
    figure, axes = _axes(chart.title, height=_MARGIN_IN + _ROW_IN * max(2, len(chart.categories)))
    places = range(len(chart.categories))
    left = [0.0] * len(chart.categories)
    for series in chart.series:
        axes.barh(
            places, series.values, left=left, height=0.7, color=ROLES[series.tone],
        )  # fmt: skip
        left = [before + value for before, value in zip(left, series.values, strict=True)]
    axes.set_yticks(places, [_shorten(name) for name in chart.categories])
    axes.invert_yaxis()
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel(_shorten(chart.axis, _LONGEST_LABEL))
    axes.set_xlim(0, max(left, default=0) * 1.05 or 1)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=4, integer=_are_counts(chart.series)))
    axes.xaxis.set_major_formatter(_number)
    if len(chart.series) > 1:
        _add_legend(figure, chart.series)
    return figure


def _draw_histogram(chart: Histogram) -> Figure:
    figure, axes = _axes(chart.title, height=2.6)
    edges, values = chart.edges, chart.series.values
    axes.bar(
        edges[:-1],
        values,
        width=[high - low for low, high in pairwise(edges)],
        align="edge",
        color=ROLES[chart.series.tone],
        edgecolor="white",
        linewidth=0.8,
    )
    axes.set(xlabel=chart.axis, ylabel=chart.height, xlim=(edges[0], edges[-1]))
    has_whole_bins = edges[1] - edges[0] == 1
    axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=has_whole_bins))
    axes.xaxis.set_major_formatter(_number)
    _count_from_zero(axes, max(values, default=0), [chart.series])
    return figure


def _draw_time_bars(chart: TimeBars) -> Figure:
    figure, axes = _axes(chart.title, height=2.8)
    starts = [date2num(start) for start in chart.starts]
    days = chart.width_s * _SECOND
    bottom = [0.0] * len(starts)
    for series in chart.series:
        axes.bar(
            starts, series.values, width=days * 0.92, bottom=bottom, align="edge",
            color=ROLES[series.tone],
        )  # fmt: skip
        bottom = [below + value for below, value in zip(bottom, series.values, strict=True)]
    top = max(bottom, default=0)
    if chart.line is not None:
        axes.axhline(chart.line, color=ROLES[Tone.SECOND], linestyle="--")
        top = max(top, chart.line)
    axes.set_ylabel(chart.height)
    _count_from_zero(axes, top, chart.series)
    _show_time(axes, starts[0], starts[-1] + days)
    if len(chart.series) > 1 or chart.line is not None:
        _add_legend(figure, chart.series, chart.line_name)
    return figure


def _draw_curves(chart: TimeCurves) -> Figure:
    figure, axes = _axes(chart.title, height=2.8)
    for curve in chart.curves:
        _draw_curve(axes, curve)
    times = [point.at for curve in chart.curves for point in curve.points]
    axes.set_ylabel(chart.height)
    if chart.limits:
        low, high = chart.limits
        axes.set_ylim(low - 0.02 * (high - low), high + 0.02 * (high - low))
    axes.yaxis.set_major_locator(MaxNLocator(nbins=5))
    axes.yaxis.set_major_formatter(_number)
    start, end = date2num(min(times)), date2num(max(times))
    margin = (end - start) * 0.02 or 0.5
    _show_time(axes, start - margin, end + margin)
    if len(chart.curves) > 1:
        _add_legend(figure, [Series(name=each.name, values=(), tone=each.tone)
                             for each in chart.curves])  # fmt: skip
    return figure


def _draw_curve(axes: Axes, curve: Curve) -> None:
    color = ROLES[curve.tone]
    closed = [point for point in curve.points if not point.is_open]
    axes.plot(
        [date2num(point.at) for point in closed],
        [point.value for point in closed],
        color=color,
        linewidth=1.2,
        marker="o" if len(curve.points) <= _MOST_MARKERS else None,
        markersize=3,
    )
    axes.plot(
        [date2num(point.at) for point in curve.points if point.is_open],
        [point.value for point in curve.points if point.is_open],
        color=color,
        linestyle="none",
        marker="o",
        markersize=5,
        markerfacecolor="none",
    )
    known = [point for point in curve.points if point.interval]
    if known:
        axes.vlines(
            [date2num(point.at) for point in known],
            [point.interval[0] for point in known if point.interval],
            [point.interval[1] for point in known if point.interval],
            color=color,
            linewidth=1,
        )


def _draw_timeline(chart: Timeline, width: float) -> Figure:
    figure, axes = _axes(
        chart.title, height=_MARGIN_IN + 0.4 + _ROW_IN * max(2, len(chart.rows)), width=width
    )
    spans = [span for row in chart.rows for span in row.spans]
    start = date2num(min(span.start for span in spans))
    end = max(date2num(max(span.end for span in spans)), start + _SECOND)
    least = (end - start) * _LEAST_BAR_IN / width
    for place, row in enumerate(chart.rows):
        # A short one lies above a long one that began right after it.
        drawn = sorted(row.spans, key=lambda span: span.end - span.start, reverse=True)
        axes.broken_barh(
            [_visible(span, least, end) for span in drawn],
            (place - 0.35, 0.7),
            facecolors=[ROLES[span.tone] for span in drawn],
            edgecolor="white",
            linewidth=0.6,
        )  # fmt: skip
    axes.set_yticks(range(len(chart.rows)), [_shorten(row.name) for row in chart.rows])
    axes.set_ylim(len(chart.rows) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)
    _show_time(axes, start, end)
    _add_legend(figure, [Series(name=name, values=(), tone=tone) for name, tone in chart.legend])
    return figure


def _visible(span: Span, least: float, end: float) -> tuple[float, float]:
    """Return where a bar begins and how long it is, in days, so that it is seen.

    Slurm's times are whole seconds: a task may have taken 0 s.

    Args:
        span: the bar.
        least: how long it is at least, in days.
        end: of the axis; the bar stays before it.
    """
    start = date2num(span.start)
    length = max(date2num(span.end) - start, least)
    return min(start, end - length), length


def _add_legend(figure: Figure, series: Sequence[Series], line: str = "") -> None:
    """Add the legend below the axes, where it hides nothing."""
    handles: list[object] = [
        Patch(color=ROLES[each.tone], label=_shorten(each.name)) for each in series
    ]
    if line:
        handles.append(mpl.lines.Line2D([], [], color=ROLES[Tone.SECOND], linestyle="--",
                                        label=line))  # fmt: skip
    columns = 5 if figure.get_figwidth() > WIDTH_IN else 2
    figure.legend(handles=handles, loc="outside lower left", ncols=columns)


def _show_time(axes: Axes, start: float, end: float) -> None:
    """Let an axis go from one time to another, in days; no calendar goes further than _DAYS."""
    axes.set_xlim(max(start, _DAYS[0]), min(end, _DAYS[1]))
    locator = AutoDateLocator(minticks=2, maxticks=_MOST_TICKS)
    for unit in (MINUTELY, SECONDLY):  # else 5 follows 1, and leaves a single tick of 4
        locator.intervald[unit] = [1, 2, 3, 5, 10, 15, 30]
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(
        ConciseDateFormatter(
            locator, formats=_TICK, zero_formats=_FIRST_TICK, offset_formats=_BESIDE_AXIS
        )
    )


def _count_from_zero(axes: Axes, top: float, series: Sequence[Series]) -> None:
    axes.set_ylim(0, top * 1.05 or 1)
    axes.yaxis.set_major_locator(MaxNLocator(nbins=4, integer=_are_counts(series)))
    axes.yaxis.set_major_formatter(_number)


def _are_counts(series: Sequence[Series]) -> bool:
    """Tell whether all values are whole numbers, so that a fraction between two means nothing."""
    return all(float(value).is_integer() for each in series for value in each.values)


def _number(value: float, _: float = 0) -> str:
    """Return a number of an axis, without needless digits."""
    if abs(value) >= 1e12:
        return f"{value:.2e}"
    if abs(value) >= 1_000_000:
        return f"{value / 1_000_000:g}M"
    return f"{value:z,.10g}" if abs(value) < 10_000 else f"{value / 1000:,g}k"


def _shorten(name: str, longest: int = _LONGEST_NAME) -> str:
    """Return a text as one line that fits, without characters that cannot be drawn."""
    plain = one_line(name)
    return plain if len(plain) <= longest else f"{plain[: longest - 1]}…"
