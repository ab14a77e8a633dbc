"""Choose which figures a comparison gets, and how their files are named."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from pipeline.analysis.gold.results import GoldComparison
from pipeline.analysis.results import Comparison, Curve, Month
from pipeline.backlog.select import FIRST_CREDIBLE_YEAR
from pipeline.terminal import one_line
from pipeline.text import counted

# Longer texts would not fit beside the axes.
_MOST_IN_TITLE = 42
_MOST_IN_LABEL = 28
_MONTH = re.compile(r"\d{4}-\d{2}")


@dataclass(frozen=True, kw_only=True, slots=True)
class CalibrationFigure:
    """How often posts with a score have a label."""

    stem: str
    """The name of the files, without its ending."""
    title: str
    score: str
    """Whose score it is."""
    label: str
    """What a positive post is called."""
    curve: Curve


@dataclass(frozen=True, kw_only=True, slots=True)
class MonthsFigure:
    """How far two sides agree, month by month."""

    stem: str
    title: str
    months: tuple[Month, ...]
    left_out: int = 0
    """Posts with a time from before FIRST_CREDIBLE_YEAR, or later than the newest run."""

    @property
    def note(self) -> str:
        """What the figure does not show; '' for nothing."""
        if not self.left_out:
            return ""
        posts = counted(self.left_out, "post")
        return f"without {posts} from before {FIRST_CREDIBLE_YEAR} or after the newest run"


PlannedFigure = CalibrationFigure | MonthsFigure


def of_names(
    names: tuple[str, str], comparisons: Iterable[Comparison], until: datetime
) -> list[PlannedFigure]:
    """Return the figures of two names that were compared with each other.

    Args:
        names: A's and B's.
        comparisons: of their columns.
        until: up to when (UTC) months are shown.
    """
    figures: list[PlannedFigure] = []
    by_side = dict(zip("ab", names, strict=True))
    for comparison in comparisons:
        columns = {"a": comparison.a, "b": comparison.b}
        pair = f"{names[0]}-{comparison.a}-{names[1]}-{comparison.b}"
        for number, curve in enumerate(comparison.calibration):
            other = "b" if curve.score == "a" else "a"
            label = f"{by_side[other]} {curve.label.partition(' ')[2]}"
            figures.append(
                CalibrationFigure(
                    stem=_stem(f"{pair}-calibration-{number + 1}"),
                    title=_title(f"{by_side[curve.score]}: {columns[curve.score]}"),
                    score=_title(f"{by_side[curve.score]} {columns[curve.score]}"),
                    label=_title(label, _MOST_IN_LABEL),
                    curve=curve,
                )
            )
        title = f"{names[0]} and {names[1]}: {comparison.a}"
        figures += _of_months(f"{pair}-months", title, comparison.months, until)
    return _with_different_stems(figures)


def of_gold(
    gold: str, models: Sequence[tuple[str, Sequence[GoldComparison]]], until: datetime
) -> list[PlannedFigure]:
    """Return the figures of names that were compared with gold.

    Args:
        gold: the name of the human labels.
        models: the names with the comparisons of their columns.
        until: up to when (UTC) months are shown.
    """
    figures: list[PlannedFigure] = []
    for model, comparisons in models:
        for comparison in comparisons:
            pair = f"{model}-{comparison.model}-{gold}-{comparison.gold}"
            for curve in comparison.calibration:
                figures.append(
                    CalibrationFigure(
                        stem=_stem(f"{pair}-calibration"),
                        title=_title(f"{model} against {gold}"),
                        score=_title(f"{model} {comparison.model}"),
                        label=_title(
                            f"{gold} {comparison.gold} {curve.label.partition(' ')[2]}",
                            _MOST_IN_LABEL,
                        ),
                        curve=curve,
                    )
                )
            title = f"{model} {comparison.model} against {gold}"
            figures += _of_months(f"{pair}-months", title, comparison.months, until)
    return _with_different_stems(figures)


def _of_months(
    stem: str, title: str, months: Sequence[Month], until: datetime
) -> list[MonthsFigure]:
    """Return the figure of the months that can be right; a single wrong one squeezes the others."""
    shown = tuple(each for each in months if _is_credible(each.month, until))
    if not shown:
        return []
    left_out = sum(each.posts for each in months) - sum(each.posts for each in shown)
    return [MonthsFigure(stem=_stem(stem), title=_title(title), months=shown, left_out=left_out)]


def _is_credible(month: str, until: datetime) -> bool:
    """Tell whether posts are from a month. DuckDB also writes `infinity` and years beyond 9999."""
    if not _MONTH.fullmatch(month):
        return False
    return f"{FIRST_CREDIBLE_YEAR}-01" <= month <= f"{until:%Y-%m}"


def _stem(text: str) -> str:
    """Return the name of a file; columns may have any characters."""
    return re.sub(r"[^A-Za-z0-9_-]+", "_", text)[:150]


def _title(text: str, most: int = _MOST_IN_TITLE) -> str:
    plain = one_line(text)
    return plain if len(plain) <= most else f"{plain[: most - 1]}…"


def _with_different_stems(figures: Sequence[PlannedFigure]) -> list[PlannedFigure]:
    """Return figures whose files have different names."""
    seen: set[str] = set()
    named: list[PlannedFigure] = []
    for figure in figures:
        stem, number = figure.stem, 2
        while stem.lower() in seen:
            stem, number = f"{figure.stem}-{number}", number + 1
        seen.add(stem.lower())
        named.append(replace(figure, stem=stem))
    return named
