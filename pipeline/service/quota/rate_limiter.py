"""Decide when a task's next request may go out.

A task's slots are evenly spaced, and the service may ask for pauses.
"""

import math
import random
import threading
import time
from collections.abc import Callable

from pipeline.service.quota.leases import LeaseTerms, Permit


class RateLimiter:
    """Lets requests go out at once, except during pauses: there is no quota to keep."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Begin without a pause; `clock` is monotonic, in seconds."""
        self._clock = clock
        self._lock = threading.Lock()
        self._paused_until = -math.inf

    @property
    def trouble(self) -> str:
        """Why nothing may be sent at the moment; '' where something may."""
        return ""

    @property
    def lacks_quota(self) -> bool:
        """Whether the task has no share of the quota at the moment."""
        return False

    @property
    def tasks(self) -> int | None:
        """How many tasks share the quota; None where that is not known, or there is no quota."""
        return None

    def pause(self, seconds: float) -> None:
        """Send nothing within the next `seconds`, because the service has asked for it."""
        with self._lock:
            self._paused_until = max(self._paused_until, self._clock() + seconds)

    def wait(self, stop: threading.Event) -> bool:
        """Wait until a request may be sent, and return whether it may.

        Returns:
            False if `stop` was set first.

        Raises:
            TaskError: nothing may be sent any more.
        """
        while True:
            if stop.wait(max(0.0, self._paused_until - self._clock())):
                return False
            if self._clock() >= self._paused_until:
                return True

    def close(self) -> None:
        """End: nothing more is sent."""


class Slots:
    """The moments at which one task may send under its permits.

    It does no I/O and reads no clock; the times are those of `Membership`.
    """

    def __init__(self, terms: LeaseTerms) -> None:
        """Begin without a permit: there is no slot."""
        self._terms = terms
        self._share = 0
        self._interval = math.inf
        # The next slot is one interval after the last one that was taken.
        self._next = self._ends = self._paused_until = -math.inf

    def adopt(self, permit: Permit, now: float) -> None:
        """Continue under a new permit.

        If the share changes, or if the last permit has ended, an interval of silence comes first.
        """
        if permit.share != self._share or now > self._ends:
            self._share = permit.share
            if permit.share:
                self._interval = self._terms.minute / permit.share
                self._next = max(self._next, permit.starts) + self._interval
        self._ends = permit.ends

    def pause(self, until: float) -> None:
        """Allow no slot before `until`."""
        self._paused_until = max(self._paused_until, until)

    def take(self, now: float) -> float:
        """Take the next slot if it has come.

        Returns:
            0 if the slot is taken: a request may go out at once. Otherwise the seconds after which
            to ask again; infinity if only a new permit can help.
        """
        if not self._share or now > self._ends:
            return math.inf
        slot = max(self._next, self._paused_until, now - self._terms.late)
        if slot > now:
            return slot - now
        self._next = slot + self._interval
        return 0.0

    def end(self, now: float) -> float:
        """Allow no more slots, and return for how many seconds the share is still in use."""
        self._ends = -math.inf
        return max(0.0, self._next - now)


def until_next_minute(now: float | None = None) -> float:
    """Return the seconds until shortly after the next minute of the wall clock begins.

    A random part keeps the tasks from all starting at once.
    """
    return 60.0 - (time.time() if now is None else now) % 60.0 + random.uniform(0.1, 2.0)
