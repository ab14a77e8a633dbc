"""Tell a service that throttles the whole task from one that throttles a single request.

Services answer 429 in both cases. Some never accept a certain request, because it alone exceeds a
limit of tokens per minute, and say so only in words. In the first case `endpoint` pauses the task;
in the second it lets one request wait, and `concurrency` keeps another one in flight meanwhile.
"""

import threading
from collections import deque
from dataclasses import dataclass

# After this many replies in a row that ask different requests to come back later, the whole task is
# throttled. If the service throttles 2 % of the requests at random, that happens once in six
# million replies.
SEVERAL = 4


@dataclass(frozen=True, kw_only=True, slots=True)
class Tally:
    """How many replies of each kind a task has got so far."""

    answered: int = 0
    """Answers to a post or to the probe."""

    throttled: int = 0
    """Replies that ask to come back later."""

    def shows_others_pass(self, before: "Tally", *, own: int) -> bool:
        """Report whether others were answered since `before`, and none of them was throttled.

        Args:
            before: an earlier tally.
            own: how many of the throttled replies since then were the asker's own.
        """
        return self.answered > before.answered and self.throttled - before.throttled <= own


class RecentReplies:
    """The replies of one task's requests, recorded by many threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._throttled: deque[int] = deque(maxlen=SEVERAL)
        self.tally = Tally()

    def record_throttled(self, request: int) -> None:
        """Record that this request, known by a number of its own, should come back later."""
        with self._lock:
            self._throttled.append(request)
            self.tally = Tally(answered=self.tally.answered, throttled=self.tally.throttled + 1)

    def record_passed(self) -> None:
        """Record that the service has looked at a request, whatever it said about it."""
        with self._lock:
            self._throttled.clear()

    def record_answered(self) -> None:
        """Record an answer to a post or to the probe."""
        with self._lock:
            self.tally = Tally(answered=self.tally.answered + 1, throttled=self.tally.throttled)

    @property
    def are_throttled(self) -> bool:
        """Whether the last replies throttled several requests, and let none pass."""
        return len(set(self._throttled)) == SEVERAL
