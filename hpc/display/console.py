"""Print messages and reports: in colors, with bars and a live screen on a terminal.

Elsewhere, everything is plain text.
"""

import errno
import importlib
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import date, datetime
from typing import TYPE_CHECKING, TextIO

from hpc.display.blocks import Block, Line, Tone
from hpc.display.live.plain_lines import PlainLines
from hpc.display.terminal.area import Area
from hpc.display.terminal.bars import BarStep, bar_step
from hpc.display.terminal.clock import PAUSE_S, local_now
from hpc.display.terminal.render import (
    create_console,
    is_ascii_only,
    measure,
    plain_text,
    render_lines,
    render_report,
)
from hpc.display.terminal.wrapping import wrap_line
from hpc.run.run_view import RunView
from pipeline.progress import NO_PROGRESS, Measure, Step
from pipeline.terminal import CleanStream, clean, in_ascii
from pipeline.text import format_duration

if TYPE_CHECKING:
    from hpc.display.terminal.live_view import LiveView

# After so long, a line says what is waited for where nothing can be drawn again.
LATE_S = 10.0


class Printer:
    """Prints a verb's messages and reports. A call prints one message."""

    def __init__(
        self, stream: TextIO | None = None, *, now: Callable[[], datetime] = local_now
    ) -> None:
        """Find out what the stream is.

        Args:
            stream: where to print; stdout by default.
            now: returns the time, in the time zone to show.
        """
        self._stream = stream or sys.stdout
        self._now = now
        self.is_terminal = self._stream.isatty()
        # Rich writes its own colors and movements. What it is given to show is cleaned before.
        stream = self._stream
        self._below = stream.stream if isinstance(stream, CleanStream) else stream
        self._ascii_only = self.is_terminal and is_ascii_only(self._below)
        self._console = create_console(ascii_only=self._ascii_only)
        self._area = Area(self._below, self._console)
        self._can_redraw = self.is_terminal and not self._console.is_dumb_terminal
        self._has_times = False
        self._said_late: set[str] = set()
        self._day: date | None = None

    def __call__(self, message: str) -> None:
        """Print a message without what would control a terminal."""
        text = clean(message)
        if self._has_times:
            text = "\n".join(map(self._with_time, text.split("\n")))
        if self._ascii_only:
            text = in_ascii(text)
        if self.is_terminal:
            measure(self._console, self._below)
            text = "\n".join(wrap_line(line, self._console.width) for line in text.split("\n"))
        self._print(text)

    def ask(self, question: str) -> str:
        """Print a question, and return the line that a person types, without blanks around it.

        Raises:
            EOFError: nobody answers: stdin has ended.
        """
        is_answered = False
        try:
            # Ctrl-C may come as soon as the question can be seen.
            print(clean(question), end=" ", file=self._stream, flush=True)
            line = sys.stdin.readline()
            is_answered = bool(line)
        finally:  # after Ctrl-C and Ctrl-D, what follows begins a line of its own
            if not is_answered:
                print(file=self._stream, flush=True)
        if not line:
            raise EOFError
        return line.strip()

    def show(self, *blocks: Block) -> None:
        """Print a report."""
        if not self.is_terminal:
            self(plain_text(blocks))
            return
        measure(self._console, self._below)
        self._print("\n".join(render_report(self._console, blocks)), is_clean=True)

    def step(
        self, what: str, *, total: int | None = None, unit: str = "", measure: Measure | None = None
    ) -> AbstractContextManager[Step]:
        """Show a step of long work, as `pipeline.progress.Progress` describes it."""
        if not self._can_redraw:
            return NO_PROGRESS.step(what)
        return bar_step(self._area, BarStep(what=what, total=total, unit=unit, measure=measure))

    def awaiting(self, what: str) -> AbstractContextManager[object]:
        """Show what is waited for: after a second on a terminal, elsewhere as a line after ten."""
        return self.step(what) if self._can_redraw else self._say_if_late(what)

    @contextmanager
    def _say_if_late(self, what: str) -> Iterator[None]:
        def say() -> None:
            if what not in self._said_late:  # of ten questions, the first one is enough
                self._said_late.add(what)
                self(f"{what}, for more than {format_duration(LATE_S)} so far")

        timer = threading.Timer(LATE_S, say)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
            timer.join()

    @contextmanager
    def watching(self, leaving: str) -> Iterator[RunView]:
        """Yield a view of a run: a live screen on a terminal, lines with the time elsewhere.

        The screen is removed at the end, unless an error or Ctrl-C ends the block.

        Args:
            leaving: what Ctrl-C does, as a sentence.
        """
        if self._can_redraw:
            # Most commands watch no run, and its import takes 12 ms.
            live = importlib.import_module("hpc.display.terminal.live_view")
            view: LiveView = live.LiveView(self._area, self, leaving, now=self._now)
            with self._area.showing(view.draw, pause_s=PAUSE_S, stays=True):
                try:
                    yield view
                except BaseException:
                    view.leave()
                    raise
            return
        self._has_times = True
        try:
            yield PlainLines(self)
        finally:
            self._has_times = False

    def wait(self, seconds: float, why: str) -> None:
        """Let time pass: with a countdown on a terminal, after one plain line elsewhere.

        Args:
            seconds: how long to wait.
            why: what for, a phrase that the remaining time can follow.
        """
        end = time.monotonic() + seconds
        if not self._can_redraw:
            self(f"{why}: {format_duration(seconds)}")
            time.sleep(seconds)
            return

        def draw(console: object, height: int) -> list[str]:
            left = format_duration(max(0.0, end - time.monotonic()))
            line = Line(f"{why}: {left} left. Ctrl-C ends the wait.", Tone.PENDING)
            return render_lines(self._console, [line])[:height]

        with self._area.showing(draw, pause_s=PAUSE_S):
            time.sleep(seconds)

    def _print(self, text: str, *, is_clean: bool = False) -> None:
        """Print a text above all that is drawn again.

        Nobody reads what a terminal that is gone would show, and the work goes on without it.
        """
        stream = self._below if is_clean else self._stream
        try:
            self._area.print_above(lambda: print(text, file=stream, flush=True))
        except OSError as error:
            if not (self.is_terminal and error.errno == errno.EIO):
                raise
            self._area.is_gone = True

    def _with_time(self, line: str) -> str:
        """Return a line with the time before it, and with the date on the first one of each day."""
        if not line:
            return line
        now = self._now()
        is_new_day, self._day = now.date() != self._day, now.date()
        return f"{now:%Y-%m-%d %H:%M:%S} {line}" if is_new_day else f"{now:%H:%M:%S} {line}"
