"""Draw calibration curves, and agreement by month.

The axes go from 0 to 1 whatever the values are, each share has its interval, and the number of
posts behind it is shown below it. The background is white in both formats, so that a figure is
readable on a dark page too.
"""

import warnings
from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from hpc.figures.plan import CalibrationFigure, MonthsFigure, PlannedFigure
from pipeline import files
from pipeline.analysis.results import CONFIDENCE, Interval

FORMATS = ("svg", "png")
# Distinct for all kinds of color vision (Okabe and Ito, 2008).
_BLUE, _ORANGE, _GRAY = "#0072B2", "#D55E00", "#666666"
_STYLE = {
    "text.parse_math": False,  # a name may hold a dollar sign
    "svg.hashsalt": "hpc",  # the same figure has the same bytes
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "savefig.facecolor": "white",
}
_DPI = 200
_MOST_MONTH_NAMES = 12
WIDEST_IN = 9.0


def save_figures(plans: Sequence[PlannedFigure], folder: Path) -> list[Path]:
    """Draw figures into a folder, as SVG and PNG; return the files.

    Raises:
        OSError: the disk is full, or the folder is closed to this user.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    with mpl.rc_context(_STYLE), warnings.catch_warnings():
        # Names in any script may be in a title; what the font lacks is shown as a box.
        warnings.filterwarnings("ignore", message=r"Glyph \d+ .* missing from font")
        for plan in plans:
            figure = draw(plan)
            for ending in FORMATS:
                target = folder / f"{plan.stem}.{ending}"
                with files.appearing_whole(target, sync=False) as temporary:
                    metadata = {"Date": None} if ending == "svg" else {}
                    figure.savefig(temporary, format=ending, dpi=_DPI, metadata=metadata)
                written.append(target)
    return written


def draw(plan: PlannedFigure, widest: float = WIDEST_IN) -> Figure:
    """Draw one figure.

    Args:
        plan: the figure.
        widest: how wide it may become, in inches; at least 4.6.
    """
    with mpl.rc_context(_STYLE):
        if isinstance(plan, MonthsFigure):
            return _draw_months(plan, widest)
        return _draw_calibration(plan)


def _draw_calibration(plan: CalibrationFigure) -> Figure:
    figure = Figure(figsize=(4.6, 5.6), layout="constrained")
    axes, posts = figure.subplots(2, 1, sharex=True, height_ratios=(4, 1))
    bins = plan.curve.bins
    axes.plot((0, 1), (0, 1), color=_GRAY, linestyle="--", linewidth=1, label="calibrated")
    _draw_shares(
        axes,
        [each.mean_score for each in bins],
        [each.share_positive for each in bins],
        [each.interval for each in bins],
    )
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), ylabel=f"share of posts with {plan.label}")
    axes.set_title(plan.title, loc="left")
    posts.bar(
        [each.low for each in bins],
        [each.posts for each in bins],
        width=[each.high - each.low for each in bins],
        align="edge",
        color=_GRAY,
        edgecolor="white",
    )
    posts.set(xlabel=plan.score, ylabel="posts")
    _whole_numbers(posts)
    _add_legend(figure)
    return figure


def _draw_months(plan: MonthsFigure, widest: float) -> Figure:
    months = plan.months
    places = _places([each.month for each in months])
    span = int(places[-1]) + 1
    figure = Figure(figsize=(max(4.6, min(widest, 0.45 * span + 2)), 4.8), layout="constrained")
    axes, posts = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    _draw_shares(
        axes,
        places.tolist(),
        [each.agreement for each in months],
        [each.interval for each in months],
    )
    axes.set(ylim=(-0.02, 1.02), ylabel="share of posts that agree")
    axes.set_title(plan.title, loc="left")
    posts.bar(places, [each.posts for each in months], color=_GRAY)
    below = f"\n({plan.note})" if plan.note else ""
    posts.set(ylabel="posts", xlabel=f"month of preprocessing{below}")
    step = -(-span // _MOST_MONTH_NAMES)
    ticks = range(0, span, step)
    names = [_month_name(months[0].month, tick) for tick in ticks]
    posts.set_xticks(ticks, names, rotation=45, ha="right")
    posts.set_xlim(-0.6, span - 0.4)
    _whole_numbers(posts)
    _add_legend(figure)
    return figure


def _places(months: Sequence[str]) -> NDArray[np.int64]:
    """Return how many months each one is after the first, so that gaps show."""
    numbers = np.array([_month_number(month) for month in months])
    places: NDArray[np.int64] = numbers - numbers[0]
    return places


def _month_number(month: str) -> int:
    year, _, of_year = month.partition("-")
    return int(year) * 12 + int(of_year) - 1


def _month_name(first: str, later: int) -> str:
    year, month = divmod(_month_number(first) + later, 12)
    return f"{year:04d}-{month + 1:02d}"


def _add_legend(figure: Figure) -> None:
    """Add the legend below the axes, where it hides nothing."""
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower left", ncols=2, frameon=False)


def _draw_shares(
    axes: Axes,
    where: Sequence[float],
    shares: Sequence[float],
    intervals: Sequence[Interval | None],
) -> None:
    """Draw shares with their intervals; hollow where the data do not give an interval."""
    known = [number for number, interval in enumerate(intervals) if interval]
    unknown = [number for number, interval in enumerate(intervals) if not interval]
    if known:
        ends = np.array([interval for interval in intervals if interval])
        middles = np.array([shares[number] for number in known])
        # Rounding may put a share just outside its interval.
        reach = np.maximum(np.abs(ends.T - middles), 0)
        axes.errorbar(
            [where[number] for number in known],
            middles,
            yerr=reach,
            fmt="o",
            color=_BLUE,
            capsize=2,
            markersize=4,
            label=f"share, {CONFIDENCE:.0%} interval",
        )
    if unknown:
        axes.plot(
            [where[number] for number in unknown],
            [shares[number] for number in unknown],
            "o",
            color=_ORANGE,
            markerfacecolor="white",
            markersize=4,
            label="share without an interval",
        )


def _whole_numbers(axes: Axes) -> None:
    """Count posts in whole numbers, from 0 on."""
    axes.set_ylim(bottom=0)
    axes.yaxis.set_major_locator(MaxNLocator(nbins=3, integer=True))
    axes.yaxis.set_major_formatter(lambda number, _: f"{number:,.0f}")
