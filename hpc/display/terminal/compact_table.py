"""Show a table whose rows are single lines, or its rows as paragraphs where a screen is narrow.

Rich would shrink all columns, and takes ten times as long.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from rich.text import Text

from hpc.display.blocks import Table, Tone

_GAP = 2
"""Blanks between the columns of a table."""
_DEEPER = 2
"""How much further to the right the values of a paragraph begin than its text."""


def compact_lines(
    block: Table, cells: Sequence[Sequence[Text]], styles: Mapping[Tone, str], width: int
) -> list[Text]:
    """Return a table as lines that are no wider than a screen.

    Args:
        block: a compact table.
        cells: its texts, row by row; the first row is the header.
        styles: how the first cell of a row looks, by its tone.
        width: of the screen, in cells.
    """
    widths = [max(row[number].cell_len for row in cells) for number in range(len(cells[0]) - 1)]
    room = width - block.indent - sum(widths) - _GAP * len(widths)
    longest = max((row[-1].cell_len for row in cells[1:]), default=0)
    if room < min(block.least_last, longest):
        return [line for row in cells[1:] for line in _paragraph(block, cells[0], row, width)]
    tones = [Tone.PLAIN, *(block.tones or [Tone.PLAIN] * len(block.rows))]
    return [
        _line(block, row, widths, "bold" if row is cells[0] else "", styles[tone], width)
        for row, tone in zip(cells, tones, strict=True)
    ]


def _line(
    block: Table, row: Sequence[Text], widths: Sequence[int], style: str, first: str, width: int
) -> Text:
    """Return a row as one line, of which only the last column gives way."""
    line = Text(" " * block.indent, style=style)
    for number, cell in enumerate(row):
        if not number:
            cell.stylize(first)
        pad = " " * (widths[number] - cell.cell_len) if number < len(widths) else ""
        parts = (pad, cell) if number in block.right_aligned else (cell, pad)
        line.append_text(Text.assemble(*parts, " " * _GAP))
    line.rstrip()
    return _cut(line, width)


def _paragraph(
    block: Table, header: Sequence[Text], row: Sequence[Text], width: int
) -> Iterator[Text]:
    """Yield a row as its last cell on a line, and below it the others with their names."""
    yield _cut(Text.assemble(" " * block.indent, row[-1]), width)
    indent = " " * (block.indent + _DEEPER)
    values = [
        Text.assemble((name.plain, "dim"), " ", cell)
        for name, cell in zip(header[:-1], row[:-1], strict=True)
    ]
    for line in _fill_lines(values, width - len(indent)):
        yield _cut(Text.assemble(indent, line), width)


def _fill_lines(parts: Iterable[Text], width: int) -> Iterator[Text]:
    """Yield lines with as many parts as fit on each; a name and its value stay together."""
    line = Text()
    for part in parts:
        if line and line.cell_len + _GAP + part.cell_len > width:
            yield line
            line = Text()
        line.append_text(Text.assemble(" " * _GAP if line else "", part))
    if line:
        yield line


def _cut(line: Text, width: int) -> Text:
    line.truncate(width, overflow="ellipsis")
    return line
