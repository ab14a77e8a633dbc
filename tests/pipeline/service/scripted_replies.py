"""Replies of a service as the endpoint's tests script them."""

import threading

from tests.servers.http import Reply

NEVER = threading.Event()
"""A request's stop event that is never set."""

GOOD = Reply(body={"ok": True})
QUOTA = Reply(status=429, body={"error": {"status": "RESOURCE_EXHAUSTED"}})

FAILURES = {
    **{
        str(code): Reply(status=code, body={"error": {}}) for code in (408, 409, 425, 500, 503, 599)
    },
    "html 502": Reply(status=502, body="<html>Bad Gateway"),
    "cut at once": Reply(cut=True),
    "cut half way": Reply(body={"ok": True, "much": "more" * 50}, cut=True),
    "no JSON": Reply(body="<html>Welcome to the network"),
    "empty": Reply(),
    "number too long": Reply(body="1" * 5000),
    "nested too deep": Reply(body="[" * 100_000),
}
"""Replies after which the same request may succeed, by what is wrong with them."""


class RecordedWaits(threading.Event):
    """A stop event that records how long it is waited for; it is set from the nth wait on."""

    def __init__(self, *, until: int = 2) -> None:
        super().__init__()
        self.waits_s: list[float] = []
        self._until = until

    def wait(self, timeout: float | None = None) -> bool:
        assert timeout is not None
        self.waits_s.append(timeout)
        return len(self.waits_s) >= self._until
