"""Show reports as HTML, such as in a notebook."""

from collections.abc import Iterator, Sequence

from hpc.display.blocks import Bar, Block, Line, StackedBar, Table, Tone
from hpc.display.html.markup import Markup, join, tag

# Readable on a white and on a dark background.
_COLORS = {
    Tone.PLAIN: "",
    Tone.GOOD: "color:#2e8b57",
    Tone.ACTIVE: "color:#2a8fbd",
    Tone.PENDING: "color:#b8860b",
    Tone.BAD: "color:#d33;font-weight:bold",
    Tone.FAINT: "opacity:0.6",
}
_EMPTY_LINE = Markup("&nbsp;")


def to_html(blocks: Sequence[Block]) -> Markup:
    """Return a report as HTML, with the texts of posts, tasks and services escaped."""
    return tag("div", *map(_block, blocks))


def progress_html(label: str, share: float | None) -> Markup:
    """Return a bar and the words beside it; the bar moves by itself if no share is known."""
    value = {} if share is None else {"value": f"{share:.4f}"}
    bar = tag("progress", attributes={"max": "1", **value, "style": "width:20em"})
    return tag("div", bar, " ", label)


def _block(block: Block) -> Markup:
    match block:
        case Line():
            style = {"style": f"white-space:pre-wrap;{_COLORS[block.tone]}"}
            return tag("div", block.text or _EMPTY_LINE, attributes=style)
        case Bar():
            return progress_html("", block.done / max(block.total, 1))
        case StackedBar():
            return _stack_parts(block)
        case Table():
            return _table(block)


def _stack_parts(bar: StackedBar) -> Markup:
    """Return a bar in which each part has its share of the width, and a legend."""
    total = max(sum(part.amount for part in bar.parts), 1)
    parts = [
        tag("span", attributes={"style": "display:inline-block;height:0.8em;"
            f"width:{part.amount / total:.2%};background:currentColor;{_COLORS[part.tone]}"})
        for part in bar.parts
        if part.amount
    ]  # fmt: skip
    legend = ", ".join(part.caption for part in bar.parts if part.caption)
    drawn = tag("div", *parts, attributes={"style": "width:30em;white-space:nowrap"})
    return join([drawn, tag("div", legend)])


def _table(table: Table) -> Markup:
    header = tag("tr", *_cells("th", table, table.header, "")) if table.header else ""
    return tag("table", *([tag("thead", header)] if header else []), *_rows(table))


def _rows(table: Table) -> Iterator[Markup]:
    for index, row in enumerate(table.rows):
        tone = table.tones[index] if table.tones else Tone.PLAIN
        yield tag("tr", *_cells("td", table, row, _COLORS[tone]))


def _cells(name: str, table: Table, texts: Sequence[str], first: str) -> Iterator[Markup]:
    """Yield the cells of a row; the first one has a style of its own."""
    for number, text in enumerate(texts):
        align = "right" if number in table.right_aligned else "left"
        style = f"text-align:{align};{'' if number else first}"
        yield tag(name, text, attributes={"style": style})
