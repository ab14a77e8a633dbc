"""Show in a notebook what a function does: messages, bars of long work, and how a run is.

IPython is not needed: without it, and outside of a notebook, everything is printed as lines.
"""

import importlib
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Protocol

from hpc.api.call.argument_types import check_argument_types
from hpc.display.blocks import Block, Line
from hpc.display.html.render import progress_html, to_html
from hpc.display.run.status_table import describe_status
from hpc.display.terminal.render import plain_text
from hpc.run.run_state import RunState
from hpc.run.run_view import RunView, Sight, never_early, sleep_until_due
from pipeline.progress import Measure, Step
from pipeline.terminal import clean
from pipeline.text import counted, format_duration
from pipeline.threads.repeat import repeat_in_background

# A step that is done by then gets no bar.
PATIENCE_S = 1.0
REDRAW_S = 0.5
Clock = Callable[[], float]


class Area(Protocol):
    """A place in the output of a cell, whose content can be replaced."""

    def show(self, html: str, text: str) -> None:
        """Replace the content: HTML for a browser, and the same as text."""


class _Outputs(Protocol):
    """What is used of `IPython.display`."""

    def display(
        self, data: Mapping[str, str], *, raw: bool, display_id: str, update: bool
    ) -> object:
        """Show content, or replace what was shown under this id."""


class CellArea:
    """An area in a cell of Jupyter."""

    def __init__(self, outputs: _Outputs) -> None:
        """Keep what shows output, such as the module `IPython.display`."""
        self._outputs = outputs
        self._id = f"hpc-{uuid.uuid4().hex}"
        self._is_shown = False

    def show(self, html: str, text: str) -> None:
        """Replace the content."""
        content = {"text/html": html, "text/plain": text}
        self._outputs.display(content, raw=True, display_id=self._id, update=self._is_shown)
        self._is_shown = True


class PrintedArea:
    """An area of an output in which nothing can be replaced."""

    def __init__(self) -> None:
        """Begin without content."""
        self._last = ""

    def show(self, html: str, text: str) -> None:
        """Print the content if it has changed."""
        if text and text != self._last:
            print(text, flush=True)
        self._last = text


def new_area() -> Area:
    """Return an area in the cell that is running, or else one of printed lines."""
    ipython = sys.modules.get("IPython")  # a notebook has imported it
    if ipython is None or ipython.get_ipython() is None:
        return PrintedArea()
    return CellArea(importlib.import_module("IPython.display"))


class NotebookScreen:
    """Shows messages as text, and long work and runs as HTML that is replaced in its place."""

    def __init__(
        self, new_area: Callable[[], Area] = new_area, clock: Clock = time.monotonic
    ) -> None:
        """Keep what makes an area of output, and a clock in seconds."""
        self._new_area = new_area
        self._clock = clock

    def __call__(self, message: str) -> None:
        """Show a message."""
        print(clean(message), flush=True)

    def show(self, *blocks: Block) -> None:
        """Show a report."""
        self._new_area().show(to_html(blocks), plain_text(blocks))

    def wait(self, seconds: float, why: str) -> None:
        """Let time pass, after a message."""
        self(f"{why}: {format_duration(seconds)}")
        time.sleep(seconds)

    @contextmanager
    def step(
        self, what: str, *, total: int | None = None, unit: str = "", measure: Measure | None = None
    ) -> Iterator[Step]:
        """Show a step of long work, as `pipeline.progress.Progress` describes it."""
        step = _NotebookStep(self._new_area, self._clock, what, total, unit)
        try:
            with _measuring(step, measure) if measure else nullcontext():
                yield step
        finally:
            step.remove()

    def awaiting(self, what: str) -> AbstractContextManager[object]:
        """Show nothing of it."""
        return nullcontext()

    @contextmanager
    def watching(self, leaving: str) -> Iterator[RunView]:
        """Yield a view of a run that is looked at again and again."""
        yield _NotebookView(self, self._new_area(), leaving)


@check_argument_types
def notebook() -> NotebookScreen:
    """Return a `say` for a notebook, which also shows bars and how a run is.

    Use it in any function: `api.submit("run.yaml", wait=True, say=api.notebook())`.
    """
    return NotebookScreen()


class _NotebookStep:
    """A bar that appears once a step takes long."""

    def __init__(
        self, new_area: Callable[[], Area], clock: Clock, what: str, total: int | None, unit: str
    ) -> None:
        self._new_area, self._clock = new_area, clock
        self._what, self._total, self._unit = what, total, unit
        self._next = clock() + PATIENCE_S
        self._area: Area | None = None

    def advance(self, done: int) -> None:
        """Record how many units are done, and redraw the bar now and then."""
        if self._total is None:
            self._draw(f"{self._what}: {done:,}", None)
        else:
            of = counted(self._total, self._unit)
            self._draw(f"{self._what}: {done:,} of {of}", done / max(self._total, 1))

    def measured(self, share: float) -> None:
        """Record which share is done, from 0 to 1."""
        self._draw(f"{self._what}: {share:.0%}", share)

    def _draw(self, text: str, share: float | None) -> None:
        if self._clock() < self._next:
            return
        self._next = self._clock() + REDRAW_S
        self._area = self._area or self._new_area()
        self._area.show(progress_html(text, share), text)

    def remove(self) -> None:
        """Remove the bar."""
        if self._area is not None:
            self._area.show("", "")


@contextmanager
def _measuring(step: _NotebookStep, measure: Measure) -> Iterator[None]:
    """Ask now and then how much is done, until the block ends."""

    def ask() -> None:
        if (share := measure()) is not None:
            step.measured(share)

    with repeat_in_background(ask, REDRAW_S, name="hpc-progress"):
        yield


class _NotebookView:
    """Shows a run while it is watched."""

    poll_interval_s = 2.0

    def __init__(self, screen: NotebookScreen, area: Area, leaving: str) -> None:
        self._screen, self._area, self._leaving = screen, area, leaving

    def __call__(self, message: str) -> None:
        """Show a message."""
        self._screen(message)

    def show(self, sight: Sight) -> None:
        """Show the run as it was just seen."""
        seen = f"{sight.status.observation.observed_at:%H:%M:%S} UTC"
        leaving = "" if sight.status.state is RunState.COMPLETE else f" {self._leaving}"
        blocks = [*describe_status(sight.status), Line(f"Seen at {seen}.{leaving}")]
        text = f"{seen}: {sight.status.state}, {sight.status.posts_done:,} posts done"
        self._area.show(to_html(blocks), text)

    def wait(self, seconds: float, is_due: Callable[[], bool] = never_early) -> None:
        """Let time pass until the next look is due."""
        sleep_until_due(seconds, is_due, time.sleep)

    def step(
        self, what: str, *, total: int | None = None, unit: str = "", measure: Measure | None = None
    ) -> AbstractContextManager[Step]:
        """Show a step of long work."""
        return self._screen.step(what, total=total, unit=unit, measure=measure)

    def expect_look(self, seconds: float) -> None:
        """Do nothing: what is shown does not count the time."""
