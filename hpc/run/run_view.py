"""Define how a person watches a run: the looks at it, messages, and the time between two looks.

`supervise` gets a view as a value. A terminal shows it live, a log gets plain lines, and a notebook
can plug in a view of its own.
"""

from collections.abc import Callable
from typing import Protocol

import msgspec

from hpc.run.run_state import RunStatus
from pipeline.progress import Progress

# How often somebody who waits asks whether the wait is over.
_ASK_S = 1.0


def never_early() -> bool:
    """Report that no look is due before its time."""
    return False


def sleep_until_due(
    seconds: float, is_due: Callable[[], bool], sleep: Callable[[float], None]
) -> None:
    """Let this many seconds pass, or fewer where a look is due before that.

    Args:
        seconds: how long to wait at most.
        is_due: reports whether to look at once.
        sleep: lets this many seconds pass.
    """
    left = seconds
    while left > 0 and not is_due():
        piece = left if is_due is never_early else min(left, _ASK_S)
        sleep(piece)
        left -= piece


class Sight(msgspec.Struct, frozen=True, kw_only=True):
    """A run as it was seen at one moment, and what its supervisor adds to that."""

    status: RunStatus
    """The run."""
    trouble: str | None = None
    """What kept submissions from being finished; None for nothing."""
    later: int = 0
    """How many shards will be submitted once there is room for them."""
    next_step: str = ""
    """What the watching person could type next; '' where the watching process does it itself."""
    blocked: tuple[str, ...] = ()
    """What that process leaves to the person, a sentence for each."""


class RunView(Progress, Protocol):
    """Shows a run while a process looks at it again and again. It never looks by itself."""

    def __call__(self, message: str) -> None:
        """Show a message, as `Say` does; it stays visible."""

    def show(self, sight: Sight) -> None:
        """Show the run as it was just seen, instead of the last sight."""

    def wait(self, seconds: float, is_due: Callable[[], bool] = never_early) -> None:
        """Let time pass until the next look is due. What is shown may count the time.

        Args:
            seconds: how long to wait at most.
            is_due: asked now and then whether to look at once; costs next to nothing.
        """

    def expect_look(self, seconds: float) -> None:
        """Learn in how many seconds the next look is due, without waiting for it."""

    @property
    def poll_interval_s(self) -> float:
        """How many seconds should pass between two looks, where looks cost little."""
