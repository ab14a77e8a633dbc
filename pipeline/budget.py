"""Spending a per-minute quota evenly: the task's share of what the whole project may send."""

import threading
import time
from collections.abc import Callable


class Pace:
    """Hands out send times that are `60 / per_minute` seconds apart, and pauses when told to.

    Even spacing keeps every window of a minute within the quota, whichever minute the service
    counts by. Unused time is not saved up: a burst after a stall would pass the quota.
    """

    def __init__(
        self, per_minute: float | None, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._interval = 60.0 / per_minute if per_minute else 0.0
        self._clock = clock
        self._lock = threading.Lock()
        self._next = 0.0
        self._paused_until = 0.0

    def reserve(self) -> float:
        """Takes the next slot; returns when it is, by the clock."""
        with self._lock:
            slot = max(self._next, self._clock())
            self._next = slot + self._interval
            return slot

    def pause(self, seconds: float) -> None:
        """No slot starts within the next `seconds`, those taken before included: the service said
        that it has had enough."""
        with self._lock:
            self._paused_until = max(self._paused_until, self._clock() + seconds)
            self._next = max(self._next, self._paused_until)

    def wait(self, stop: threading.Event) -> bool:
        """Waits for a slot; False when `stop` was set first."""
        while True:
            slot = self.reserve()
            if stop.wait(slot - self._clock()):
                return False
            if slot >= self._paused_until:
                return True
