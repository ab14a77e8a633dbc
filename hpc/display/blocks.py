"""Define the parts of a report as values; `hpc.display.terminal` shows them. Pure."""

from enum import StrEnum

import msgspec


class Tone(StrEnum):
    """What a cell or line means to its reader; a terminal shows it as a color."""

    PLAIN = "plain"
    GOOD = "good"
    ACTIVE = "active"
    PENDING = "pending"
    BAD = "bad"
    FAINT = "faint"


class Line(msgspec.Struct, frozen=True):
    """A line of text, or several."""

    text: str
    tone: Tone = Tone.PLAIN


class Table(msgspec.Struct, frozen=True, kw_only=True):
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
    least_last: int = 0
    """How many cells the last column of a compact table needs; where a screen has fewer, each row
    is a paragraph: the last column on a line, and below it the others with their names."""
    spare: tuple[int, ...] = ()
    """Columns that a narrow screen leaves out, in this order, so that the last column stays whole.
    """


class Bar(msgspec.Struct, frozen=True):
    """How much of a whole is done; shown on a terminal only."""

    done: int
    total: int


class BarPart(msgspec.Struct, frozen=True, kw_only=True):
    """A part of a stacked bar."""

    amount: int
    symbol: str
    """One character, which shows the part where there are no colors."""
    caption: str
    """What it is, for the legend; '' for none."""
    tone: Tone


class StackedBar(msgspec.Struct, frozen=True):
    """A whole in its parts, with a legend; shown on a terminal only."""

    parts: tuple[BarPart, ...]


Block = Line | Table | Bar | StackedBar


class FullScreen(msgspec.Struct, frozen=True, kw_only=True):
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
