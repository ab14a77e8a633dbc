"""Show a bar for a step of long work that takes over a second, and remove it afterwards."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich.console import Console

from hpc.display.blocks import BarPart, Line, StackedBar, Tone
from hpc.display.terminal.area import Area
from hpc.display.terminal.render import render_lines
from pipeline.progress import Measure
from pipeline.text import MINUTE, estimated_duration, format_duration

# A step that is over sooner shows nothing.
DELAY_S = 1.0
PAUSE_S = 0.25
_CELLS = 100
# Too early to say how long it will take.
_LEAST_SHARE, _LEAST_S = 0.02, 5.0


@dataclass(kw_only=True, slots=True)
class BarStep:
    """A step, as `pipeline.progress.Step` describes it."""

    what: str
    total: int | None
    unit: str
    measure: Measure | None
    done: int = 0
    largest_share: float = 0.0
    has_fallen: bool = False
    """Whether the share has become smaller, so that it is not that of the whole step."""
    began: float = field(default_factory=time.monotonic)

    def advance(self, done: int) -> None:
        """Record that this many units are done."""
        self.done = done

    def draw(self, console: Console, height: int) -> list[str]:
        """Return a line and a bar; nothing in the first second."""
        elapsed = time.monotonic() - self.began
        if elapsed < DELAY_S or height < 1:
            return []
        share = self._share()
        line = Line(f"{self._describe(share)}{_time(share, elapsed)}")
        if share is None or height < 2:
            return render_lines(console, [line])[:height]
        done = min(_CELLS, int(share * _CELLS))
        bar = StackedBar(
            (
                BarPart(amount=done, symbol="█", caption="", tone=Tone.ACTIVE),
                BarPart(amount=_CELLS - done, symbol="·", caption="", tone=Tone.FAINT),
            )
        )
        lines = [text for text in render_lines(console, [line, bar]) if text.strip()]
        return lines[:height]

    def _share(self) -> float | None:
        if self.total:
            return min(1.0, self.done / self.total)
        share = self.measure() if self.measure else None
        if share is None or self.has_fallen:
            return None
        # A step may consist of several queries, and nobody knows how many are to come.
        self.has_fallen = share < self.largest_share
        self.largest_share = max(share, self.largest_share)
        return None if self.has_fallen else min(1.0, max(0.0, share))

    def _describe(self, share: float | None) -> str:
        if self.total:
            return f"{self.what}: {self.done:,} of {self.total:,} {self.unit}s"
        return self.what if share is None else f"{self.what}: {int(share * 100)} %"


def _time(share: float | None, elapsed: float) -> str:
    if share and share >= _LEAST_SHARE and elapsed >= _LEAST_S and share < 1:
        to_go = elapsed / share - elapsed
        if to_go >= MINUTE:
            return f", {estimated_duration(to_go)} to go"
    return f", {format_duration(elapsed)}"


@contextmanager
def bar_step(area: Area, step: BarStep) -> Iterator[BarStep]:
    """Show a step in an area of the terminal until the block ends."""
    with area.showing(step.draw, pause_s=PAUSE_S):
        yield step
