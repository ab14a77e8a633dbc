"""Show reports: with colors, a bar and a live view on a terminal, as plain text elsewhere.

Rich finds out what the terminal can do, and honors NO_COLOR. What posts and tasks wrote is never
read as markup.
"""

import io
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import TextIO, TypeVar

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.padding import Padding
from rich.progress_bar import ProgressBar
from rich.table import Table as RichTable
from rich.text import Text

from hpc.display.blocks import Bar, Block, Line, Table, Tone
from pipeline.terminal import CleanStream, clean
from pipeline.text import format_duration

# Text that is not for a terminal is not wrapped: programs such as grep read whole lines.
UNWRAPPED = 100_000
BAR_WIDTH = 40
STYLES = {
    Tone.PLAIN: "",
    Tone.GOOD: "green",
    Tone.ACTIVE: "cyan",
    Tone.PENDING: "yellow",
    Tone.BAD: "bold red",
    Tone.FAINT: "dim",
}


Seen = TypeVar("Seen")


class Printer:
    """Prints a verb's messages and reports. A call prints one message."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stdout
        self.is_terminal = self._stream.isatty()
        # Rich writes its own colors and movements. What it is given to show is cleaned before.
        below = self._stream.stream if isinstance(self._stream, CleanStream) else self._stream
        self._console = Console(file=below, markup=False, emoji=False, highlight=False)

    def __call__(self, message: str) -> None:
        """Print a message without what would control a terminal."""
        print(clean(message), file=self._stream, flush=True)

    def show(self, *blocks: Block) -> None:
        """Print a report."""
        if self.is_terminal:
            self._console.print(_render(blocks))
            self._stream.flush()
        else:
            self(plain_text(blocks))

    def watch(self, look: Callable[[], tuple[Seen, Sequence[Block], bool]], seconds: float) -> Seen:
        """Show reports until the last one, which is left for the caller to show.

        Args:
            look: returns what was seen, a report of it, and whether to look again.
            seconds: between two looks.

        Returns:
            What was seen last.
        """
        seen, blocks, goes_on = look()
        if not self.is_terminal:
            while goes_on:
                self.show(*blocks)
                time.sleep(seconds)
                seen, blocks, goes_on = look()
            return seen
        with Live(console=self._console, auto_refresh=False, transient=True) as live:
            while goes_on:
                self._count_down(live, blocks, seconds)
                seen, blocks, goes_on = look()
        return seen

    def wait(self, seconds: float, why: str) -> None:
        """Let time pass: with a countdown on a terminal, after one plain line elsewhere.

        Args:
            seconds: how long to wait.
            why: what for, a phrase that the remaining time can follow.
        """
        if not self.is_terminal:
            self(f"{why}: {format_duration(seconds)}")
            time.sleep(seconds)
            return
        end = time.monotonic() + seconds
        with Live(console=self._console, auto_refresh=False, transient=True) as live:
            while (left := end - time.monotonic()) > 0:
                line = f"{why}: {format_duration(left)} left. Ctrl-C ends the wait."
                live.update(_text(line, Tone.PENDING), refresh=True)
                time.sleep(min(1.0, left))

    def _count_down(self, live: Live, blocks: Sequence[Block], seconds: float) -> None:
        """Show a report and its age until the time for the next look has come."""
        looked_at, started = datetime.now(UTC), time.monotonic()
        while (left := started + seconds - time.monotonic()) > 0:
            age = Line(
                f"Seen at {looked_at:%H:%M:%S} UTC, {format_duration(seconds - left)} ago; next "
                f"look in {format_duration(left)}. Ctrl-C leaves, and the run goes on.",
                Tone.FAINT,
            )
            live.update(_render([*blocks, Line(""), age]), refresh=True)
            time.sleep(min(1.0, left))


def plain_text(blocks: Iterable[Block]) -> str:
    """Return a report without colors, bars and wrapped lines."""
    console = Console(
        file=io.StringIO(),
        width=UNWRAPPED,
        color_system=None,
        force_terminal=False,
        markup=False,
        emoji=False,
        highlight=False,
    )
    with console.capture() as capture:
        console.print(_render(block for block in blocks if not isinstance(block, Bar)))
    # Rich fills the last column of a table with blanks.
    return "\n".join(line.rstrip() for line in capture.get().splitlines())


def _render(blocks: Iterable[Block]) -> Group:
    return Group(*map(_render_block, blocks))


def _render_block(block: Block) -> RenderableType:
    if isinstance(block, Line):
        return _text(block.text, block.tone)
    if isinstance(block, Bar):
        bar = ProgressBar(total=max(1, block.total), completed=block.done, width=BAR_WIDTH)
        return Padding(bar, (0, 0, 0, 2))
    return _render_table(block)


def _render_table(block: Table) -> RenderableType:
    table = RichTable(
        box=None,
        show_header=bool(block.header),
        pad_edge=False,
        padding=(0, 2, 0, 0),
        collapse_padding=True,
        header_style="bold",
    )
    columns = len(block.rows[0]) if block.rows else len(block.header)
    for number in range(columns):
        is_last = number == columns - 1
        table.add_column(
            _cell(block.header[number]) if block.header else "",
            justify="right" if number in block.right_aligned else "left",
            no_wrap=not is_last,
            overflow="fold" if is_last else "ellipsis",
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
