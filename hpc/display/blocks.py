"""The parts that a report is made of, as values; `hpc.display.terminal` shows them. Pure."""

from dataclasses import dataclass
from enum import StrEnum


class Tone(StrEnum):
    """What a cell or line means to its reader; a terminal shows it as a color."""

    PLAIN = "plain"
    GOOD = "good"
    ACTIVE = "active"
    PENDING = "pending"
    BAD = "bad"
    FAINT = "faint"


@dataclass(frozen=True, slots=True)
class Line:
    """A line of text, or several."""

    text: str
    tone: Tone = Tone.PLAIN


@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """Rows of cells under a header; without a header, plain rows."""

    header: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...]
    right_aligned: frozenset[int] = frozenset()
    """Columns of numbers."""
    tones: tuple[Tone, ...] = ()
    """Of the first cell of every row; empty where all are plain."""
    indent: int = 2
    is_compact: bool = False
    """Whether each row is a single line, cut off at the edge of the screen."""
    spare: tuple[int, ...] = ()
    """Columns that a narrow screen leaves out, in this order, so that the last column stays whole.
    """


@dataclass(frozen=True, slots=True)
class Bar:
    """How much of a whole is done; shown on a terminal only."""

    done: int
    total: int


@dataclass(frozen=True, kw_only=True, slots=True)
class BarPart:
    """A part of a stacked bar."""

    amount: int
    symbol: str
    """One character, which shows the part where there are no colors."""
    caption: str
    """What it is, for the legend; '' for none."""
    tone: Tone


@dataclass(frozen=True, slots=True)
class StackedBar:
    """A whole in its parts, with a legend; shown on a terminal only."""

    parts: tuple[BarPart, ...]


Block = Line | Table | Bar | StackedBar


@dataclass(frozen=True, kw_only=True, slots=True)
class FullScreen:
    """What fills a terminal: a table with as many of its rows as fit, between lines that stay."""

    head: tuple[Block, ...]
    table: Table
    """Its first rows are the most important ones."""
    noun: str
    """What a row is, for the line that counts those left out."""
    more_rows: int
    """How many rows there are beyond those of the table."""
    foot: Line
    notes: tuple[Block, ...] = ()
    """What stands below the table where there is room."""
