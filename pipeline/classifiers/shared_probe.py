"""Ask once whether a service works, for all requests that failed before the question.

Where many posts are rejected at once, as in a study of hate speech, a probe for each would double
the cost. One answer proves something about every request that had failed when the probe was sent,
and nothing about later ones: a key may be revoked between two requests.
"""

import threading
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field

from pipeline.service.endpoint import Stopped

# How often a waiting request looks whether the task has been asked to stop.
_POLL_SECONDS = 0.2


@dataclass(kw_only=True, slots=True)
class _Round:
    """One probe, and who asked for it before it was sent."""

    waiting: int = 0
    ended: threading.Event = field(default_factory=threading.Event)
    is_answered: bool = False
    error: BaseException | None = None


class SharedProbe:
    """Sends at most one probe of a kind at a time, from many threads."""

    def __init__(self) -> None:
        """Send nothing yet."""
        self._lock = threading.Lock()
        self._next: dict[Hashable, _Round] = {}
        self._sending: dict[Hashable, threading.Lock] = {}

    @property
    def waiting(self) -> int:
        """How many requests wait for a probe that has not been sent yet."""
        with self._lock:
            return sum(probe.waiting for probe in self._next.values())

    def is_answered(
        self, ask: Callable[[], bool], stop: threading.Event, *, kind: Hashable = None
    ) -> bool:
        """Report whether a probe is answered that is sent after this call began.

        Args:
            ask: sends the probe. Of the threads that wait for the same probe, one calls its own.
            stop: set when the answer is no longer wanted.
            kind: probes of different kinds prove nothing about each other.

        Raises:
            TaskError: as `ask`, in every thread that waits for this probe.
            Stopped: `stop` was set first.
        """
        with self._lock:
            probe = self._next.setdefault(kind, _Round())
            probe.waiting += 1
            is_first = probe.waiting == 1
            sending = self._sending.setdefault(kind, threading.Lock())
        if is_first:
            self._send(probe, ask, sending, kind)
        while not probe.ended.wait(_POLL_SECONDS):
            if stop.is_set():
                raise Stopped
        if probe.error is not None:
            raise probe.error
        return probe.is_answered

    def _send(
        self, probe: _Round, ask: Callable[[], bool], sending: threading.Lock, kind: Hashable
    ) -> None:
        """Send a probe once the one before it has been answered."""
        with sending:
            with self._lock:
                del self._next[kind]  # whoever comes from now on needs another probe
            try:
                probe.is_answered = ask()
            except BaseException as error:  # noqa: BLE001 - raised in every thread that waits
                probe.error = error
            finally:
                probe.ended.set()
