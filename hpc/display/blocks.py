"""The parts that a report is made of, as values; `hpc.display.console` shows them. Pure."""

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


@dataclass(frozen=True, slots=True)
class Bar:
    """How much of a whole is done; shown on a terminal only."""

    done: int
    total: int


Block = Line | Table | Bar
