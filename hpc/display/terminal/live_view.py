"""Watch a run on a terminal: a screen that shows the last look, and counts the time since."""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import datetime

from rich.console import Console

from hpc.display.blocks import Line, Tone
from hpc.display.live.screen import Clock, SeenRun, describe_sight, screen
from hpc.display.terminal.area import Area
from hpc.display.terminal.bars import DELAY_S, BarStep, bar_step
from hpc.display.terminal.clock import local_now
from hpc.display.terminal.render import fit_screen, render_lines
from hpc.run.model.run import Say
from hpc.run.run_view import Sight, never_early, sleep_until_due
from pipeline.progress import Measure, Step
from pipeline.text import format_duration

LOOK_PACE_S = 2.0
# The last messages stay visible above the screen, unless the terminal is small.
MESSAGE_LINES, LEAST_LINES = 4, 16


class LiveView:
    """Shows a run, as `hpc.run.run_view.RunView` describes it. It never looks by itself."""

    def __init__(
        self,
        area: Area,
        say: Say,
        leaving: str,
        *,
        now: Callable[[], datetime] = local_now,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Show nothing yet.

        Args:
            area: the lines of the terminal that are drawn again.
            say: prints a message above them.
            leaving: what Ctrl-C does, as a sentence.
            now: returns the time, in the time zone to show.
            sleep: lets this many seconds pass.
        """
        self._area = area
        self._say = say
        self._leaving = leaving
        self._now = now
        self._sleep = sleep
        self._seen: tuple[SeenRun, datetime] | None = None
        self._next_look: float | None = None
        self._began = time.monotonic()
        self._head: tuple[SeenRun | None, int, list[str]] = (None, 0, [])

    def __call__(self, message: str) -> None:
        """Print a message above the screen."""
        self._say(message)

    def show(self, sight: Sight) -> None:
        """Show the run as it was just seen."""
        seen_at = self._now()
        self._seen = describe_sight(sight, seen_at), seen_at
        self._area.wake()

    def wait(self, seconds: float, is_due: Callable[[], bool] = never_early) -> None:
        """Let time pass, and count it."""
        self.expect_look(seconds)
        sleep_until_due(seconds, is_due, self._sleep)
        self._next_look = None

    def step(
        self, what: str, *, total: int | None = None, unit: str = "", measure: Measure | None = None
    ) -> AbstractContextManager[Step]:
        """Show a step of long work below the screen."""
        return bar_step(self._area, BarStep(what=what, total=total, unit=unit, measure=measure))

    def expect_look(self, seconds: float) -> None:
        """Count the time to the next look."""
        self._next_look = time.monotonic() + seconds

    @property
    def poll_interval_s(self) -> float:
        """As often as a person sees a difference."""
        return LOOK_PACE_S

    def leave(self) -> None:
        """Say no more when the next look is, since there will be none."""
        self._leaving = ""

    def _draw_first_look(self, console: Console, height: int) -> list[str]:
        """Say that the first look is under way, if it takes long: Slurm may not answer."""
        elapsed = time.monotonic() - self._began
        if elapsed < DELAY_S:
            return []
        line = f"Looking at the run for the first time, {format_duration(elapsed)}. {self._leaving}"
        return render_lines(console, [Line(line.rstrip(), Tone.FAINT)])[:height]

    def draw(self, console: Console, height: int) -> list[str]:
        """Return the lines of the screen as it is now."""
        if self._seen is None:  # read once: another thread replaces it
            return self._draw_first_look(console, height)
        seen, seen_at = self._seen
        next_look = self._next_look
        left = None if next_look is None else next_look - time.monotonic()
        clock = Clock(now=self._now(), seen_at=seen_at, next_look_s=left)
        room = max(height - MESSAGE_LINES, min(height, LEAST_LINES))
        if self._head[0] is not seen or self._head[1] != console.width:
            self._head = seen, console.width, render_lines(console, seen.head)
        return fit_screen(console, screen(seen, clock, self._leaving), self._head[2], room)
