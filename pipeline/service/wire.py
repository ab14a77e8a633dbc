"""Bound the requests of a task that are on the wire, and count those that only wait for later.

A request that the service has asked to come back later takes no connection. If it took the place
of another request, a few of them would keep the whole task waiting.
"""

import threading

# How often to check whether the result is still wanted.
POLL_SECONDS = 0.2


class Wire:
    """The places of one task's requests between the first byte sent and the last received."""

    def __init__(self, places: int) -> None:
        """Begin with that many free places."""
        self._free = threading.BoundedSemaphore(places)
        self._lock = threading.Lock()
        self._waiting = 0

    def waiting(self) -> int:
        """Return how many requests wait now until they may be sent again."""
        return self._waiting

    def enter(self, stop: threading.Event) -> bool:
        """Take a place as soon as one is free, and return whether this request has one.

        Returns:
            False if `stop` was set first. Otherwise the caller must call `leave`.
        """
        while not self._free.acquire(timeout=POLL_SECONDS):
            if stop.is_set():
                return False
        return True

    def leave(self) -> None:
        """Give the place back."""
        self._free.release()

    def wait(self, seconds: float, stop: threading.Event) -> bool:
        """Wait without a place, and return whether the time is over.

        Returns:
            False if `stop` was set first.
        """
        with self._lock:
            self._waiting += 1
        try:
            return not stop.wait(seconds)
        finally:
            with self._lock:
                self._waiting -= 1
