"""Report a run that is watched in plain lines: what changed, and now and then that it goes on."""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager

from hpc.display.run.progress_line import describe_progress
from hpc.run.model.run import Say
from hpc.run.run_state import RunState
from hpc.run.run_view import Sight, never_early, sleep_until_due
from pipeline.progress import NO_PROGRESS, Measure, Step

# A log shows at least every this many seconds that somebody still looks.
SIGN_OF_LIFE_S = 600.0
PACE_S = 30.0


class PlainLines:
    """Says how a run is whenever that has changed."""

    def __init__(
        self,
        say: Say,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Say nothing yet.

        Args:
            say: shows a message.
            clock: monotonic, in seconds.
            sleep: lets this many seconds pass.
        """
        self._say = say
        self._clock = clock
        self._sleep = sleep
        self._last_lines: list[str] = []
        self._said_at = clock()

    def __call__(self, message: str) -> None:
        """Show a message."""
        self._say(message)
        self._said_at = self._clock()

    def show(self, sight: Sight) -> None:
        """Say how the run is, if that has changed or nothing was said for long.

        Of a run that was complete before, its result is all there is to say.
        """
        if sight.status.state is RunState.COMPLETE and not self._last_lines:
            return
        lines = describe_progress(sight)
        is_silent = self._clock() - self._said_at >= SIGN_OF_LIFE_S
        if lines != self._last_lines or is_silent:
            self("\n".join(lines))
            self._last_lines = lines

    def step(
        self, what: str, *, total: int | None = None, unit: str = "", measure: Measure | None = None
    ) -> AbstractContextManager[Step]:
        """Show nothing of long work."""
        return NO_PROGRESS.step(what)

    def expect_look(self, seconds: float) -> None:
        """Do nothing: lines say when they were written, and not when the next one comes."""

    @property
    def poll_interval_s(self) -> float:
        """As often as a log needs a line."""
        return PACE_S

    def wait(self, seconds: float, is_due: Callable[[], bool] = never_early) -> None:
        """Let time pass."""
        sleep_until_due(seconds, is_due, self._sleep)
