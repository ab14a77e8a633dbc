"""Figures of comparisons: whole files, honest axes, nothing that hides something else."""

import itertools
import re
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from xml.etree import ElementTree

import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

from hpc.figures import plan
from hpc.figures.draw import draw, save_figures
from hpc.figures.plan import CalibrationFigure, MonthsFigure, PlannedFigure
from pipeline.analysis.results import Bin, Comparison, Curve, Month

NOW = datetime(2024, 6, 15)
HOSTILE = "a $\\frac{x$ name\x1b[31m of a column that is much longer than any title can be"


def curve(score: str = "a") -> Curve:
    bins = tuple(
        Bin(
            low=number / 10, high=number / 10 + 0.1, posts=10**number,
            mean_score=number / 10 + 0.05, share_positive=number / 9,
            interval=(number / 12, number / 9) if 0 < number < 9 else None,
        )
        for number in range(10)
    )  # fmt: skip
    return Curve(score=score, label="B >= 0.5", bins=bins)


def months(count: int) -> tuple[Month, ...]:
    return tuple(
        Month(month=f"{2020 + number // 12}-{number % 12 + 1:02d}", posts=50 + number,
              agreement=0.8, interval=(0.7, 0.9) if number % 5 else None)
        for number in range(count)
    )  # fmt: skip


def comparison(column: str) -> Comparison:
    return Comparison(
        a=column, b=column, kinds=("number", "number"), posts=9, without_a=0, without_b=0,
        measures={}, calibration=(curve("a"), curve("b")), months=months(3),
    )  # fmt: skip


PLANS: dict[str, PlannedFigure] = {
    "calibration": CalibrationFigure(stem="c", title="t", score="s", label="l", curve=curve()),
    "long names": plan.of_names((HOSTILE, HOSTILE), [comparison(HOSTILE)], NOW)[0],
    "one month": MonthsFigure(stem="m", title="t", months=months(1)),
    "many months": MonthsFigure(stem="m", title="t", months=months(60)),
    "wrong months": MonthsFigure(stem="m", title="t", months=months(1), left_out=1234),
}


def words(figure: Figure) -> list[Text]:
    """Titles, the names of axes, and the legend."""
    figure.draw_without_rendering()
    names = {
        name
        for axes in figure.axes
        for name in (axes.get_title(loc="left"), axes.get_xlabel(), axes.get_ylabel())
    }
    (legend,) = figure.legends
    names |= {text.get_text() for text in legend.get_texts()}
    return [text for text in figure.findobj(Text) if text.get_text() in names - {""}]


@pytest.mark.parametrize("figure", PLANS.values(), ids=PLANS.keys())
def test_no_text_covers_another_or_leaves_the_page(figure: PlannedFigure) -> None:
    drawn = draw(figure)
    boxes = [(text.get_text(), text.get_window_extent()) for text in words(drawn)]
    page = drawn.bbox
    for name, box in boxes:
        assert box.x0 >= 0 and box.x1 <= page.x1 and box.y0 >= 0 and box.y1 <= page.y1, name
    overlapping = [
        (name, other)
        for (name, box), (other, beside) in itertools.combinations(boxes, 2)
        if box.overlaps(beside)
    ]
    assert overlapping == []


@pytest.mark.parametrize("figure", PLANS.values(), ids=PLANS.keys())
def test_shares_have_the_whole_range_from_0_to_1(figure: PlannedFigure) -> None:
    shares, posts = draw(figure).axes
    low, high = shares.get_ylim()
    assert low <= 0 and high >= 1
    assert posts.get_ylim()[0] == 0


def test_a_month_without_posts_leaves_a_gap() -> None:
    first, _, third = months(3)
    drawn = draw(MonthsFigure(stem="m", title="t", months=(first, third)))
    assert [round(bar.get_x() + bar.get_width() / 2) for bar in drawn.axes[1].patches] == [0, 2]
    assert [text.get_text() for text in drawn.axes[1].get_xticklabels()] == [
        "2020-01", "2020-02", "2020-03"
    ]  # fmt: skip


def test_figures_are_written_as_svg_and_png(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "folder"
    svg, png = save_figures([PLANS["calibration"]], folder)
    assert ElementTree.parse(svg).getroot().tag.endswith("svg")
    assert png.read_bytes().startswith(b"\x89PNG")
    first = svg.read_bytes()
    save_figures([PLANS["calibration"]], folder)
    assert (svg.read_bytes() == first, sorted(folder.iterdir())) == (True, [png, svg])


@pytest.mark.filterwarnings("error")
def test_names_in_any_script_can_be_drawn(tmp_path: Path) -> None:
    figure = replace(PLANS["calibration"], title="評価 تقييم")
    assert len(save_figures([figure], tmp_path)) == 2


def test_columns_with_any_characters_get_files_of_their_own() -> None:
    columns = ("../x/y", "../x.y", HOSTILE)
    planned = plan.of_names(("a", "b"), [comparison(column) for column in columns], NOW)
    stems = [figure.stem for figure in planned]
    assert len(set(stems)) == len(stems) == 9
    assert all(re.fullmatch(r"[\w-]+", stem, re.ASCII) for stem in stems)


def test_months_that_cannot_be_right_have_no_place_in_a_figure() -> None:
    wrong = ("0001-01", "1989-12", "2024-07", "2031-01", "12000-01", "-infinity", "infinity")
    right = ("1990-01", "2023-01", "2024-06")
    all_months = tuple(replace(months(1)[0], month=name, posts=5) for name in (*wrong, *right))
    names = plan.of_names(("a", "b"), [replace(comparison("c"), months=all_months)], NOW)
    figure = names[-1]
    assert isinstance(figure, MonthsFigure)
    assert tuple(each.month for each in figure.months) == right
    assert figure.left_out == 5 * len(wrong)
    assert any(figure.note in each.get_text() for each in draw(figure).findobj(Text))
    nothing = [replace(comparison("c"), months=all_months[: len(wrong)])]
    assert not any(
        isinstance(each, MonthsFigure) for each in plan.of_names(("a", "b"), nothing, NOW)
    )
