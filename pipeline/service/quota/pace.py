"""When a task's next request may go out: evenly spaced slots, and the pauses that a service asks
for."""

import math
import random
import threading
import time
from collections.abc import Callable

from pipeline.service.quota.leases import LeaseTerms, Permit


class Pace:
    """Lets requests go as they come, but for the pauses: where there is no quota to keep.

    `trouble` is why nothing may be sent at the moment; '' where something may.
    """

    trouble = ""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._paused_until = -math.inf

    def pause(self, seconds: float) -> None:
        """Nothing is sent within the next `seconds`: the service said that it has had enough."""
        with self._lock:
            self._paused_until = max(self._paused_until, self._clock() + seconds)

    def wait(self, stop: threading.Event) -> bool:
        """Waits until a request may be sent; False when `stop` was set first. TaskError where it
        never may."""
        while True:
            if stop.wait(max(0.0, self._paused_until - self._clock())):
                return False
            if self._clock() >= self._paused_until:
                return True

    def close(self) -> None:
        """Nothing more is sent."""


class Slots:
    """The moments at which one task may send, by its permits. Pure; times as of `Seat`."""

    def __init__(self, terms: LeaseTerms) -> None:
        self._terms = terms
        self._share = 0
        self._interval = math.inf
        # One interval after the last slot that was taken.
        self._next = self._ends = self._paused_until = -math.inf

    def adopt(self, permit: Permit, now: float) -> None:
        """Goes on by a new permit. Where the share changes, or nothing might be sent for a while,
        there is an interval of silence."""
        if permit.share != self._share or now > self._ends:
            self._share = permit.share
            if permit.share:
                self._interval = self._terms.minute / permit.share
                self._next = max(self._next, permit.starts) + self._interval
        self._ends = permit.ends

    def pause(self, until: float) -> None:
        self._paused_until = max(self._paused_until, until)

    def take(self, now: float) -> float:
        """0 where a request may go out at once: its slot is taken. Else the seconds after which to
        ask again, infinite where only a new permit can help."""
        if not self._share or now > self._ends:
            return math.inf
        slot = max(self._next, self._paused_until, now - self._terms.late)
        if slot > now:
            return slot - now
        self._next = slot + self._interval
        return 0.0

    def end(self, now: float) -> float:
        """No slot any more; for how many seconds the last ones' share is still in use."""
        self._ends = -math.inf
        return max(0.0, self._next - now)


def until_next_minute(now: float | None = None) -> float:
    """Seconds to the next minute of the clock, and a little: tasks must not start it together."""
    return 60.0 - (time.time() if now is None else now) % 60.0 + random.uniform(0.1, 2.0)
