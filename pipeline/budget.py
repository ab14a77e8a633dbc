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

    def reserve(self) -> float:
        """Takes the next slot; returns how many seconds from now it is."""
        with self._lock:
            now = self._clock()
            slot = max(self._next, now)
            self._next = slot + self._interval
            return slot - now

    def pause(self, seconds: float) -> None:
        """No slot starts within the next `seconds`: the service said that it has had enough."""
        with self._lock:
            self._next = max(self._next, self._clock() + seconds)

    def wait(self, stop: threading.Event) -> bool:
        """Waits for a slot; False when `stop` was set first."""
        return not stop.wait(self.reserve())
