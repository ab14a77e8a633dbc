"""Count what a task sends to its service, and which faults come back, by kind.

A person who watches a run reads the counts in its tasks' heartbeats. No logic depends on them,
except that somebody is notified when a run is throttled for long.
"""

import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from enum import StrEnum

import msgspec

from pipeline.service.http_reply import DISCONNECTED, INCOMPLETE, TIMED_OUT

WINDOW_S = 60
_OK, _TOO_MANY_REQUESTS = 200, 429
_LOWEST_STATUS, _HIGHEST_STATUS = 100, 599


class RequestFault(StrEnum):
    """Why a request brought no answer. Most are sent again, so a post may cause several."""

    THROTTLED = "throttled"
    """HTTP 429: too many requests."""
    REJECTED = "rejected"
    """Any other HTTP status below 500 that is no answer."""
    SERVER_ERROR = "server_error"
    """HTTP 500 and above."""
    BAD_ANSWER = "bad_answer"
    """HTTP 200 with a body that is no answer."""
    TIMED_OUT = "timed_out"
    """No answer in time."""
    NO_CONNECTION = "no_connection"
    """No connection, or one that was lost."""


def _fault_of_status(status: int) -> RequestFault | None:
    if status == _OK:
        return None
    if status == _TOO_MANY_REQUESTS:
        return RequestFault.THROTTLED
    return RequestFault.SERVER_ERROR if status >= 500 else RequestFault.REJECTED


FAULTS: Mapping[int, RequestFault | None] = {
    status: _fault_of_status(status) for status in range(_LOWEST_STATUS, _HIGHEST_STATUS + 1)
} | {
    INCOMPLETE: RequestFault.BAD_ANSWER,
    TIMED_OUT: RequestFault.TIMED_OUT,
    DISCONNECTED: RequestFault.NO_CONNECTION,
}
"""What each status of a `Reply` means; None for an answer."""


class ServiceActivity(msgspec.Struct, frozen=True, kw_only=True):
    """What a task has to do with its service."""

    requests_last_minute: int
    """Requests that were sent within the last minute."""
    faults: Mapping[RequestFault, int] = {}
    """Requests without an answer since the task's process began, by kind."""
    quota_tasks: int | None = None
    """How many tasks share the quota of the key, those of other runs included; None if that is not
    known, or there is no quota."""
    is_throttled: bool = False
    """Whether the quota lets nothing through at the moment, or the last reply asked to wait."""


class RequestCounter:
    """Counts requests and faults of one task, from many threads."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Begin with nothing; `clock` is monotonic, in seconds."""
        self._clock = clock
        self._lock = threading.Lock()
        # One count for each second of the last minute, with the second that it is of.
        self._sent = [(-1, 0)] * WINDOW_S
        self._faults: Counter[RequestFault] = Counter()

    def record_sent(self) -> None:
        """Count a request that goes out now."""
        second = int(self._clock())
        with self._lock:
            known, count = self._sent[second % WINDOW_S]
            self._sent[second % WINDOW_S] = (second, count + 1 if known == second else 1)

    def record_reply(self, status: int) -> None:
        """Count what came back, by the status of its `Reply`."""
        # A status beyond the table is a gateway's own invention.
        fault = FAULTS.get(status, RequestFault.SERVER_ERROR)
        if fault:
            with self._lock:
                self._faults[fault] += 1

    def activity(
        self, quota_tasks: int | None = None, *, is_throttled: bool = False
    ) -> ServiceActivity:
        """Return what was counted so far, with what is known beside that."""
        now = int(self._clock())
        with self._lock:
            sent = sum(count for second, count in self._sent if 0 <= now - second < WINDOW_S)
            faults = dict(self._faults.most_common())
        return ServiceActivity(
            requests_last_minute=sent,
            faults=faults,
            quota_tasks=quota_tasks,
            is_throttled=is_throttled,
        )
