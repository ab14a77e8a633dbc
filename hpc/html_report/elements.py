"""Define the parts of a page as values; `render` writes them as HTML. Pure.

Texts are plain text, whoever wrote them: only `render` knows HTML, and it escapes everything.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from hpc.figures.charts import Chart
from hpc.figures.plan import PlannedFigure


@dataclass(frozen=True, slots=True)
class Paragraph:
    """A paragraph of text."""

    text: str
    is_notice: bool = False
    """Whether the reader must not miss it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """Rows of cells under a header."""

    caption: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numbers: frozenset[int] = frozenset()
    """Columns of numbers."""


@dataclass(frozen=True, slots=True)
class Facts:
    """Names and their values, one a line."""

    rows: tuple[tuple[str, str], ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Details:
    """What a reader opens with a click."""

    summary: str
    children: "tuple[Element, ...]"


@dataclass(frozen=True, slots=True)
class Preformatted:
    """A text whose lines and blanks count, such as a prompt."""

    text: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Figure:
    """A chart, what it shows in words, and its numbers."""

    chart: Chart | PlannedFigure
    description: str
    """For a reader who does not see the chart, and as its caption."""
    table: Table


@dataclass(frozen=True, slots=True)
class Figures:
    """Charts beside each other, where the page is wide enough."""

    figures: tuple[Figure, ...]


Element = Paragraph | Table | Facts | Details | Preformatted | Figure | Figures


@dataclass(frozen=True, kw_only=True, slots=True)
class Section:
    """A section of the page under a heading of its own."""

    title: str
    anchor: str
    """Its name in the page's address."""
    elements: tuple[Element, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Subject:
    """All that the page says about one name or run."""

    title: str
    sections: tuple[Section, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Page:
    """A whole page."""

    title: str
    subjects: tuple[Subject, ...]
    footer: str


def figures(elements: Sequence[Figure]) -> tuple[Element, ...]:
    """Return charts side by side; nothing where there are none."""
    return (Figures(tuple(elements)),) if elements else ()
