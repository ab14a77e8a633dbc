"""Render a page as HTML: one file that runs no script and requests nothing.

The page's own policy forbids both, so that whatever a name, a label or a prompt holds stays text.
Styles are in one sheet whose hash the policy names; no element has a style of its own.
"""

import base64
import hashlib
from collections.abc import Iterable, Mapping
from typing import Protocol

from hpc.display.html.markup import Markup, join, tag
from hpc.figures.charts import Chart
from hpc.figures.inline_svg import SvgElement, with_prefix
from hpc.figures.plan import CalibrationFigure, MonthsFigure, PlannedFigure
from hpc.html_report.elements import (
    Details,
    Element,
    Facts,
    Figure,
    Figures,
    Page,
    Paragraph,
    Preformatted,
    Section,
    Subject,
    Table,
)
from hpc.html_report.style import stylesheet

GENERATOR = "hpc report"
_WIDE = 400
"""Charts that are wider, in pixels, are also drawn for a narrow page."""
_PHONE, _TABLET = 46, 105
"""Characters beside each other in a table on a page of 390 and of 800 pixels."""
_GAP = 2
"""Characters between two columns of a table."""


_ROLES = {"table": "table", "tbody": "rowgroup", "tr": "row", "th": "rowheader", "td": "cell"}
"""A row that is shown as a paragraph is no longer one to a screen reader, unless it says so."""


class DrawChart(Protocol):
    """Draws a chart as SVG."""

    def __call__(self, chart: Chart | PlannedFigure, *, is_narrow: bool = False) -> SvgElement:
        """Return the chart; a narrow one can be read on a phone."""


def render(page: Page, draw: DrawChart) -> str:
    """Return a page as HTML.

    Args:
        page: what to show.
        draw: draws its charts.
    """
    return _Renderer(draw).page(page)


class _Renderer:
    """Renders one page, and collects the styles that its charts use."""

    def __init__(self, draw: DrawChart) -> None:
        self._draw = draw
        self._classes: dict[str, str] = {}
        self._charts = 0

    def page(self, page: Page) -> str:
        several = len(page.subjects) > 1
        body = join(
            (
                tag("header", tag("h1", tag("bdi", page.title)), self._navigation(page)),
                tag("main", *(self._subject(each, several=several) for each in page.subjects)),
                tag("footer", tag("p", page.footer)),
            )
        )
        style = stylesheet("".join(f".{name}{{{style}}}" for style, name in self._classes.items()))
        digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
        policy = (
            f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
        )
        head = tag(
            "head",
            tag("meta", attributes={"charset": "utf-8"}),
            tag(
                "meta",
                attributes={"http-equiv": "Content-Security-Policy", "content": policy},
            ),
            tag("title", page.title),
            _meta("viewport", "width=device-width, initial-scale=1"),
            _meta("color-scheme", "light dark"),
            _meta("referrer", "no-referrer"),
            _meta("generator", GENERATOR),
            tag("style", Markup(style)),
        )
        html = tag("html", head, "\n", tag("body", body), attributes={"lang": "en"})
        return f"<!DOCTYPE html>\n{html}\n"

    def _navigation(self, page: Page) -> Markup:
        entries = [
            tag("li", tag("a", title, attributes={"href": f"#{anchor}"}))
            for subject in page.subjects
            for title, anchor in (
                [(subject.title, subject.sections[0].anchor)]
                if len(page.subjects) > 1
                else [(section.title, section.anchor) for section in subject.sections]
            )
        ]
        return tag("nav", tag("ul", *entries), attributes={"aria-label": "Sections"})

    def _subject(self, subject: Subject, *, several: bool) -> Markup:
        sections = [
            self._section(section, "h3" if several else "h2") for section in subject.sections
        ]
        if not several:
            return join(sections)
        return tag("article", tag("h2", tag("bdi", subject.title)), *sections)

    def _section(self, section: Section, heading: str) -> Markup:
        return tag(
            "section",
            tag(heading, section.title, attributes={"id": section.anchor}),
            *map(self._element, section.elements),
            "\n",
        )

    def _element(self, element: Element) -> Markup:
        match element:
            case Paragraph():
                attributes = {"class": "notice", "role": "note"} if element.is_notice else {}
                return tag("p", element.text, attributes=attributes)
            case Table():
                return _table(element)
            case Facts():
                pairs = [
                    part
                    for name, value in element.rows
                    for part in (tag("dt", name), tag("dd", tag("bdi", value)))
                ]
                return tag("dl", *pairs, attributes={"class": "facts"})
            case Details():
                return tag(
                    "details",
                    tag("summary", element.summary),
                    *map(self._element, element.children),
                )
            case Preformatted():
                # The browser drops a line break right after the tag.
                return tag("pre", "\n", element.text, attributes={"dir": "auto", "tabindex": "0"})
            case Figures():
                parts = map(self._figure, element.figures)
                return tag("div", *parts, attributes={"class": "figures"})
            case Figure():
                return self._figure(element)

    def _figure(self, figure: Figure) -> Markup:
        svg = self._draw(figure.chart)
        if float(svg.attributes["viewBox"].split()[2]) > _WIDE:
            drawn = [
                self._chart(svg, figure, "wide"),
                self._chart(self._draw(figure.chart, is_narrow=True), figure, "narrow"),
            ]
        else:
            drawn = [self._chart(svg, figure)]
        return tag(
            "figure",
            *drawn,
            tag("figcaption", figure.description),
            tag("details", tag("summary", "Numbers"), _table(figure.table)),
        )

    def _chart(self, svg: SvgElement, figure: Figure, width: str = "") -> Markup:
        """Return a chart; its width says on which pages it is shown, '' for all."""
        self._charts += 1
        prefix = f"c{self._charts}-"
        names = {
            "role": "img",
            "aria-labelledby": f"{prefix}title",
            "aria-describedby": f"{prefix}desc",
            "viewBox": svg.attributes["viewBox"],
            "class": f"chart {width}".strip(),
        }
        return tag(
            "svg",
            tag("title", _title(figure.chart), attributes={"id": f"{prefix}title"}),
            tag("desc", figure.description, attributes={"id": f"{prefix}desc"}),
            *(self._part(child, prefix) for child in svg.children),
            attributes=names,
        )

    def _part(self, part: SvgElement, prefix: str) -> Markup:
        attributes = with_prefix(part.attributes, prefix)
        if part.style:
            attributes["class"] = self._class_of(part.style)
        children = [self._part(child, prefix) for child in part.children]
        return tag(part.name, *children, part.text, attributes=attributes)

    def _class_of(self, style: str) -> str:
        return self._classes.setdefault(style, f"s{len(self._classes)}")


def _title(chart: Chart | PlannedFigure) -> str:
    if isinstance(chart, CalibrationFigure):
        return f"{chart.title}: calibration"
    if isinstance(chart, MonthsFigure):
        return f"{chart.title}: agreement by month"
    return chart.title


def _meta(name: str, content: str) -> Markup:
    return tag("meta", attributes={"name": name, "content": content})


def _let_scroll(content: Markup, label: str) -> Markup:
    """Return what scrolls where the page is too narrow, also with the keyboard."""
    return tag(
        "div",
        content,
        attributes={"class": "scroll", "tabindex": "0", "role": "region", "aria-label": label},
    )


def _table(table: Table) -> Markup:
    header = [
        tag("th", name, attributes={"scope": "col", **_number_class(table, column)})
        for column, name in enumerate(table.header)
    ]
    width = _width_class(table)
    roles = {name: {"role": role} if width else {} for name, role in _ROLES.items()}
    content = tag(
        "table",
        tag("caption", table.caption),
        tag("thead", tag("tr", *header, attributes=roles["tr"]), attributes=roles["tbody"]),
        tag("tbody", *_rows(table, roles), attributes=roles["tbody"]),
        attributes={"class": width, **roles["table"]} if width else {},
    )
    return _let_scroll(content, table.caption)


def _width_class(table: Table) -> str:
    """Return the class of a table whose rows are paragraphs on a narrow page; '' for others."""
    columns = zip(table.header, *table.rows, strict=True)
    width = sum(max(map(len, cells)) + _GAP for cells in columns)
    if width <= _PHONE:
        return ""
    return "wide" if width <= _TABLET else "widest"


def _rows(table: Table, roles: Mapping[str, Mapping[str, str]]) -> Iterable[Markup]:
    for row in table.rows:
        cells = (
            tag("td" if column else "th", tag("bdi", cell), attributes=_cell(table, column, roles))
            for column, cell in enumerate(row)
        )
        yield tag("tr", *cells, attributes=roles["tr"])


def _cell(table: Table, column: int, roles: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    """Return the attributes of a cell; where rows may be paragraphs, it brings its own name."""
    role = roles["td" if column else "th"]
    return {
        **({} if column else {"scope": "row"}),
        **_number_class(table, column),
        **({"data-name": table.header[column], **role} if role else {}),
    }


def _number_class(table: Table, column: int) -> dict[str, str]:
    return {"class": "number"} if column in table.numbers else {}
