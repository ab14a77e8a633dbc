"""Render the parts of a report with rich, which finds out what the terminal can do.

Rich honors NO_COLOR. What posts and tasks wrote is cleaned, and never read as markup.
"""

import contextlib
import io
import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from typing import TextIO

from msgspec.structs import replace
from rich.console import Console, ConsoleDimensions, Group, RenderableType
from rich.padding import Padding
from rich.table import Table as RichTable
from rich.text import Text

from hpc.display.blocks import Bar, BarPart, Block, FullScreen, Line, StackedBar, Table, Tone
from hpc.display.live.stacked_bar import divide
from hpc.display.terminal.compact_table import compact_lines
from hpc.display.terminal.wrapping import ends_with_command, wrap_line
from pipeline.terminal import clean, in_ascii
from pipeline.text import counted

# Text that is not for a terminal is not wrapped: programs such as grep read whole lines.
UNWRAPPED = 100_000
BAR_WIDTH, LONGEST_BAR = 40, 100
_GAP = 2
"""Blanks between the columns of a table."""
_SHARE_OF_NOTES = 3
"""The notes below a table get at most one part in this many of the room for both."""
STYLES = {
    Tone.PLAIN: "",
    Tone.GOOD: "green",
    Tone.ACTIVE: "cyan",
    Tone.PENDING: "yellow",
    Tone.BAD: "bold red",
    Tone.FAINT: "dim",
}
# What a terminal without Unicode shows instead of what bars and rich draw. Each is a single cell,
# so that lines keep their length.
_ASCII = str.maketrans("█▓▒░━×·…", "#=-:-x.~")
_NO_LANGUAGE = ("C", "POSIX")


def create_console(*, ascii_only: bool = False) -> Console:
    """Return a console that renders for a terminal, and writes nothing itself.

    What it renders is written elsewhere. So a terminal that is gone fails no rendering.

    Args:
        ascii_only: whether it renders ASCII only.
    """
    encoding = "ascii" if ascii_only else "utf-8"
    return Console(
        file=io.TextIOWrapper(io.BytesIO(), encoding=encoding),
        force_terminal=True,
        force_jupyter=False,
        markup=False,
        emoji=False,
        highlight=False,
    )


def measure(console: Console, stream: TextIO) -> None:
    """Let a console have the size that a terminal has now.

    Rich believes the environment, where COLUMNS may be that of another terminal.
    """
    size = os.terminal_size((0, 0))
    with contextlib.suppress(OSError, ValueError):
        size = os.get_terminal_size(stream.fileno())
    if size.columns < 1 or size.lines < 1:
        size = shutil.get_terminal_size()
    console.size = ConsoleDimensions(max(size.columns, 1), max(size.lines, 1))


def is_ascii_only(stream: TextIO, environment: Mapping[str, str] = os.environ) -> bool:
    """Tell whether a terminal may be unable to show more than ASCII, by its encoding and locale.

    With `LANG=C`, Python writes UTF-8 all the same, and sets LC_CTYPE for that (PEP 538).
    """
    if not (stream.encoding or "ascii").lower().startswith("utf"):
        return True
    if chosen := environment.get("LC_ALL"):
        return chosen in _NO_LANGUAGE
    own = environment.get("LC_CTYPE", "")
    if own not in ("", "C.UTF-8", *_NO_LANGUAGE):
        return False
    return environment.get("LANG", "") in ("", *_NO_LANGUAGE)


def _to_ascii(text: str) -> str:
    """Return a text of the same length in ASCII: a question mark for each other character."""
    return text.translate(_ASCII).encode("ascii", errors="replace").decode()


def plain_text(blocks: Iterable[Block]) -> str:
    """Return a report without colors, bars and wrapped lines."""
    console = Console(
        file=io.StringIO(),
        width=UNWRAPPED,
        color_system=None,
        force_terminal=False,
        force_jupyter=False,  # rich would add an output to the cell of a notebook
        markup=False,
        emoji=False,
        highlight=False,
    )
    shown = (block for block in blocks if not isinstance(block, Bar | StackedBar))
    # Rich fills the last column of a table with blanks.
    return "\n".join(line.rstrip() for line in render_lines(console, shown))


def render_lines(console: Console, blocks: Iterable[Block]) -> list[str]:
    """Return a report as lines, none of them wider than the console.

    An arrow becomes two characters in ASCII, so words are replaced before lines are broken.
    """
    ascii_only = console.options.ascii_only
    shown = map(_in_ascii, blocks) if ascii_only else blocks
    with console.capture() as capture:
        console.print(_group(shown, console.width))
    lines = capture.get().splitlines()
    return [_to_ascii(line) for line in lines] if ascii_only else lines


def render_report(console: Console, blocks: Iterable[Block]) -> list[str]:
    """Return a report as lines; a command at the end of one stays whole, however wide it is.

    For what is printed once. What is drawn again has to fit the console (`render_lines`).
    """
    lines: list[str] = []
    narrow: list[Block] = []
    for block in blocks:
        if (
            isinstance(block, Line)
            and len(block.text) > console.width
            and any(map(ends_with_command, block.text.split("\n")))
        ):
            lines += render_lines(console, narrow) if narrow else []
            lines += _render_commands(console, block)
            narrow = []
        else:
            narrow.append(block)
    return lines + (render_lines(console, narrow) if narrow else [])


def _render_commands(console: Console, block: Line) -> list[str]:
    ascii_only = console.options.ascii_only
    text = clean(in_ascii(block.text) if ascii_only else block.text)
    wrapped = "\n".join(wrap_line(line, console.width) for line in text.split("\n"))
    with console.capture() as capture:
        console.print(Text(wrapped, style=STYLES[block.tone]), soft_wrap=True)
    lines = capture.get().splitlines()
    return [_to_ascii(line) for line in lines] if ascii_only else lines


def _in_ascii(block: Block) -> Block:
    """Return a block whose words are in ASCII. The symbols of a bar keep their single cell."""
    if isinstance(block, Line):
        return replace(block, text=in_ascii(block.text))
    if isinstance(block, Table):
        return replace(
            block,
            header=tuple(map(in_ascii, block.header)),
            rows=tuple(tuple(map(in_ascii, row)) for row in block.rows),
        )
    return block


def fit_screen(console: Console, screen: FullScreen, head: Sequence[str], height: int) -> list[str]:
    """Return a screen as at most `height` lines: as many rows of its table as there is room for.

    Args:
        console: renders the lines.
        screen: the screen.
        head: its head as lines, which stay the same for many drawings.
        height: how many lines there is room for.
    """
    foot = render_lines(console, [screen.foot])
    rows = len(screen.table.rows) + screen.more_rows
    # The heading of the table, at least one row, and a line that counts the others.
    notes = render_lines(console, screen.notes)
    room = height - len(head) - len(foot) - 1
    notes = notes[: max(0, room // _SHARE_OF_NOTES)]
    room -= len(notes)
    least = min(rows, 2)
    if rows and room < least:
        head, notes = head[: max(1, len(head) + room - least)], []
        room = height - len(head) - len(foot) - 1
    if not rows or room < 1:
        return [*head[: max(0, height - len(foot))], *foot][:height]
    shown = rows if rows <= room and not screen.more_rows else max(1, room - 1)
    shown = min(shown, len(screen.table.rows))
    table = render_lines(console, [_first_rows(screen.table, shown)])
    if shown == rows and len(head) + len(table) + len(notes) + len(foot) < height:
        table = ["", *table]
    if hidden := rows - shown:
        table += render_lines(console, [Line(f"  and {counted(hidden, f'more {screen.noun}')}")])
    return [*head, *table, *notes, *foot][:height]


def _first_rows(table: Table, count: int) -> Table:
    return Table(
        header=table.header,
        rows=table.rows[:count],
        right_aligned=table.right_aligned,
        tones=table.tones[:count],
        indent=table.indent,
        is_compact=table.is_compact,
        least_last=table.least_last,
    )


def _group(blocks: Iterable[Block], width: int) -> Group:
    return Group(*(_render(block, width) for block in blocks))


def _render(block: Block, width: int) -> RenderableType:
    if isinstance(block, Line):
        # What is broken into several lines keeps its indent.
        text = block.text.lstrip(" ")
        indent = len(block.text) - len(text)
        line = _text(text, block.tone)
        return Padding(line, (0, 0, 0, indent), expand=False) if indent else line
    if isinstance(block, Bar):
        parts = (
            BarPart(amount=block.done, symbol="━", caption="", tone=Tone.GOOD),
            BarPart(amount=block.total - block.done, symbol="·", caption="", tone=Tone.FAINT),
        )
        return Padding(_bar(parts, min(BAR_WIDTH, width - 2)), (0, 0, 0, 2))
    if isinstance(block, StackedBar):
        bar = _bar(block.parts, min(LONGEST_BAR, width - 4))
        return Padding(Group(bar, _legend(block)), (0, 0, 0, 2))
    if block.is_compact:
        cells = [[_cell(text) for text in row] for row in (block.header, *block.rows)]
        return Group(*compact_lines(block, cells, STYLES, width))
    return _table(_without_spare(block, width) if block.spare else block, width)


def _bar(parts: Iterable[BarPart], cells: int) -> Text:
    bar, parts = Text(no_wrap=True), tuple(parts)
    for part, count in zip(parts, divide([part.amount for part in parts], cells), strict=True):
        bar.append(part.symbol * count, STYLES[part.tone])
    return bar


def _legend(bar: StackedBar) -> Text:
    legend = Text()
    for part in bar.parts:
        if part.caption:
            legend.append("  " if legend else "")
            legend.append(f"{part.symbol} {part.caption}", STYLES[part.tone])
    return legend


def _without_spare(block: Table, width: int) -> Table:
    """Return a table without as many of its spare columns as it takes to fit a screen."""
    rows = [block.header, *block.rows] if block.header else [*block.rows]
    widths = [max(_cell(cell).cell_len for cell in column) for column in zip(*rows, strict=True)]
    kept = [*range(len(widths))]
    for number in block.spare:
        if block.indent + sum(widths[each] for each in kept) + _GAP * (len(kept) - 1) <= width:
            break
        kept.remove(number)
    return replace(
        block,
        header=tuple(block.header[number] for number in kept) if block.header else (),
        rows=tuple(tuple(row[number] for number in kept) for row in block.rows),
        right_aligned=frozenset(
            place for place, number in enumerate(kept) if number in block.right_aligned
        ),
    )


def _table(block: Table, width: int) -> RenderableType:
    table = RichTable(
        box=None,
        show_header=bool(block.header),
        pad_edge=False,
        padding=(0, _GAP, 0, 0),
        collapse_padding=True,
        header_style="bold",
    )
    columns = len(block.rows[0]) if block.rows else len(block.header)
    longest = max((_cell(row[-1]).cell_len for row in block.rows), default=0)
    for number in range(columns):
        is_last = number == columns - 1
        table.add_column(
            _cell(block.header[number]) if block.header else "",
            justify="right" if number in block.right_aligned else "left",
            no_wrap=not is_last,
            overflow="fold" if is_last else "ellipsis",
            min_width=min(longest, width - block.indent) if is_last and block.spare else None,
        )
    for number, row in enumerate(block.rows):
        tone = block.tones[number] if block.tones else Tone.PLAIN
        first, *rest = row
        table.add_row(_cell(first, tone), *map(_cell, rest))
    return Padding(table, (0, 0, 0, block.indent))


def _text(text: str, tone: Tone = Tone.PLAIN) -> Text:
    return Text(clean(text), style=STYLES[tone])


def _cell(text: str, tone: Tone = Tone.PLAIN) -> Text:
    """Return the text of a cell as one line, so that no value can look like another row."""
    return _text(text.replace("\n", " "), tone)
