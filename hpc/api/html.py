"""Show reports in a notebook, as HTML in which everything is escaped."""

from collections.abc import Sequence
from html import escape

from hpc.display.blocks import Bar, Block, Line, StackedBar, Table, Tone
from pipeline.terminal import clean

# Readable on a white and on a dark background.
_COLORS = {
    Tone.PLAIN: "",
    Tone.GOOD: "color:#2e8b57",
    Tone.ACTIVE: "color:#2a8fbd",
    Tone.PENDING: "color:#b8860b",
    Tone.BAD: "color:#d33;font-weight:bold",
    Tone.FAINT: "opacity:0.6",
}


def to_html(blocks: Sequence[Block]) -> str:
    """Return a report as HTML, with the texts of posts, tasks and services escaped."""
    return "".join(["<div>", *map(_block, blocks), "</div>"])


def progress_html(label: str, share: float | None) -> str:
    """Return a bar and the words beside it; the bar moves by itself if no share is known."""
    value = "" if share is None else f' value="{share:.4f}"'
    return f'<div><progress max="1"{value} style="width:20em"></progress> {_text(label)}</div>'


def _block(block: Block) -> str:
    match block:
        case Line():
            style = f"white-space:pre-wrap;{_COLORS[block.tone]}"
            return f'<div style="{style}">{_text(block.text) or "&nbsp;"}</div>'
        case Bar():
            return progress_html("", block.done / max(block.total, 1))
        case StackedBar():
            return _stacked(block)
        case Table():
            return _table(block)


def _stacked(bar: StackedBar) -> str:
    """Return a bar in which each part has its share of the width, and a legend."""
    total = max(sum(part.amount for part in bar.parts), 1)
    parts = (
        f'<span style="display:inline-block;height:0.8em;width:{part.amount / total:.2%};'
        f'background:currentColor;{_COLORS[part.tone]}"></span>'
        for part in bar.parts
        if part.amount
    )
    legend = ", ".join(part.caption for part in bar.parts if part.caption)
    drawn = f'<div style="width:30em;white-space:nowrap">{"".join(parts)}</div>'
    return f"{drawn}<div>{_text(legend)}</div>"


def _table(table: Table) -> str:
    rows = []
    if table.header:
        cells = (_cell("th", table, number, text) for number, text in enumerate(table.header))
        rows.append(f"<thead><tr>{''.join(cells)}</tr></thead>")
    for index, row in enumerate(table.rows):
        tone = table.tones[index] if table.tones else Tone.PLAIN
        cells = (
            _cell("td", table, number, text, "" if number else _COLORS[tone])
            for number, text in enumerate(row)
        )
        rows.append(f"<tr>{''.join(cells)}</tr>")
    return f"<table>{''.join(rows)}</table>"


def _cell(tag: str, table: Table, number: int, text: str, style: str = "") -> str:
    align = "right" if number in table.right_aligned else "left"
    return f'<{tag} style="text-align:{align};{style}">{_text(text)}</{tag}>'


def _text(text: str) -> str:
    return escape(clean(text))
