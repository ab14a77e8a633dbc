"""Show what a function does to the program that called it. Nothing is printed."""

import time
from contextlib import AbstractContextManager, nullcontext

from hpc.display.blocks import Block
from hpc.display.live.plain_lines import PlainLines
from hpc.display.screen import Screen
from hpc.display.terminal.render import plain_text
from hpc.run.model.run import Say
from hpc.run.run_view import RunView
from pipeline.progress import NO_PROGRESS, Measure, Step
from pipeline.terminal import clean
from pipeline.text import format_duration


class CallerScreen:
    """Hands messages and reports to a function of the caller, as clean text."""

    def __init__(self, say: Say | None, *, with_reports: bool = True) -> None:
        """Keep the caller's function; None drops everything.

        Args:
            say: the function.
            with_reports: whether it gets reports as well as messages.
        """
        self._say = say
        self._with_reports = with_reports

    def __call__(self, message: str) -> None:
        """Hand over a message without what would control a terminal."""
        if self._say is not None:
            self._say(clean(message))

    def show(self, *blocks: Block) -> None:
        """Hand over a report as plain text."""
        if self._say is not None and self._with_reports:
            self(plain_text(blocks))

    def step(
        self, what: str, *, total: int | None = None, unit: str = "", measure: Measure | None = None
    ) -> AbstractContextManager[Step]:
        """Show nothing of long work."""
        return NO_PROGRESS.step(what)

    def awaiting(self, what: str) -> AbstractContextManager[object]:
        """Show nothing of it."""
        return nullcontext()

    def watching(self, leaving: str) -> AbstractContextManager[RunView]:
        """Hand over how a run is whenever that has changed."""
        return nullcontext(PlainLines(self))

    def wait(self, seconds: float, why: str) -> None:
        """Let time pass, after one message."""
        self(f"{why}: {format_duration(seconds)}")
        time.sleep(seconds)


def screen_of(say: Say | None) -> Screen:
    """Return where a function shows what it does: a verb's own screen, or the caller's function."""
    return say if isinstance(say, Screen) else CallerScreen(say)
