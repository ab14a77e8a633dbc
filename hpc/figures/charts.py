"""Describe the charts of a report as values, which `draw_charts` draws. Pure."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Tone(StrEnum):
    """What a color stands for. The page decides which color that is, in light and dark mode."""

    FIRST = "first"
    SECOND = "second"
    THIRD = "third"
    FOURTH = "fourth"
    FIFTH = "fifth"
    GRAY = "gray"


@dataclass(frozen=True, kw_only=True, slots=True)
class Series:
    """Numbers of one kind, in one color."""

    name: str
    values: tuple[float, ...]
    tone: Tone = Tone.FIRST


@dataclass(frozen=True, kw_only=True, slots=True)
class Bars:
    """Bars beside each other that lie, one for each category; several series are stacked."""

    title: str
    categories: tuple[str, ...]
    series: tuple[Series, ...]
    axis: str
    """What the length of a bar means."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Histogram:
    """Bars between edges, such as ranges of a score."""

    title: str
    edges: tuple[float, ...]
    """One more than there are values."""
    series: Series
    axis: str
    """What the edges measure."""
    height: str
    """What the height of a bar means."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TimeBars:
    """Stacked bars over time, all of the same width."""

    title: str
    starts: tuple[datetime, ...]
    """Where each bar begins (UTC)."""
    width_s: float
    """How long a bar lasts, in seconds."""
    series: tuple[Series, ...]
    height: str
    line: float | None = None
    """Where a level line is drawn, such as at a quota."""
    line_name: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Point:
    """A value at a time."""

    at: datetime
    value: float
    interval: tuple[float, float] | None = None
    is_open: bool = False
    """Whether it is of posts of which some have no value yet, so that it may change."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Curve:
    """Values over time, in one color."""

    name: str
    points: tuple[Point, ...]
    tone: Tone = Tone.FIRST


@dataclass(frozen=True, kw_only=True, slots=True)
class TimeCurves:
    """Curves over time with their intervals."""

    title: str
    curves: tuple[Curve, ...]
    height: str
    limits: tuple[float, float] | None = None
    """The ends of the axis; None for those of the values."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Span:
    """A bar from one time to another."""

    start: datetime
    end: datetime
    tone: Tone


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """What lies beside each other in one row of a timeline."""

    name: str
    spans: tuple[Span, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Timeline:
    """Rows of spans, such as the attempts of each shard."""

    title: str
    rows: tuple[Row, ...]
    legend: tuple[tuple[str, Tone], ...]


Chart = Bars | Histogram | TimeBars | TimeCurves | Timeline
