"""Stand in for the Perspective API: its key, its quota, its counters and its failures.

The real service has given out no new keys since February 2026 and ends with that year. What it
says is in `perspective_answers`.

    python -m tests.servers.perspective --key K [--port 0] [--quota 60] [--latency 0.1]
"""

from __future__ import annotations

import argparse
import json
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import FrameType
from typing import Any

from .http import Body, LoopbackServer, Reply, Request
from .perspective_answers import (
    ServiceError,
    analyze,
    key_invalid,
    key_missing,
    quota_exceeded,
    score,
    spans,
)

__all__ = ["ANALYZE", "Fault", "PerspectiveServer", "score", "spans"]

ANALYZE = "/v1alpha1/comments:analyze"
KEY_HEADER = "X-Goog-Api-Key"


@dataclass(frozen=True, kw_only=True, slots=True)
class Fault:
    """What happens to one request instead of the service's own answer.

    Only the given fields change it. `Fault(delay_s=3)` is the right answer, but late, and
    `invalid_json` is half of the right answer. A `status` without a body gets Google's error body.
    `cut_connection` cuts before the first byte, or half way through `body` if there is one.
    """

    status: int | None = None
    body: Body | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    cut_connection: bool = False
    invalid_json: bool = False
    delay_s: float = 0.0


class PerspectiveServer(LoopbackServer):
    """The service behind one key, for one Google project.

    It counts the `requests` to the method, the replies `by_status` (0: connection cut), the
    complete answers with scores (`paid`, `paid_by_text`) and the requests that each minute's quota
    was spent on (`admitted_by_minute`).

    Args:
        key: the only valid key.
        quota: requests per calendar minute; None for no limit. Every request with a valid key that
            finds room in the minute counts, even if it gets a 400 or a fault; a 429 does not.
        latency_s: how long an answer takes.
        faults: called with the text and how often it has been admitted, from 1.
        unsupported: (attribute, language) pairs to reject beside those that the service itself
            does not support.
        clock: returns seconds since 1970; a test moves it to the next minute without waiting.
        path: where a look-alike of the service is.
        key_header: the header in which it expects `key`, which is then the whole value.
    """

    def __init__(
        self,
        *,
        key: str = "test-key",
        quota: int | None = None,
        latency_s: float = 0.0,
        faults: Callable[[str, int], Fault | None] | None = None,
        unsupported: Iterable[tuple[str, str]] = (),
        clock: Callable[[], float] = time.time,
        path: str = ANALYZE,
        key_header: str = KEY_HEADER,
    ) -> None:
        super().__init__()
        self.path, self.key_header = path, key_header
        self.key, self.quota, self.latency_s = key, quota, latency_s
        self.faults, self.unsupported, self.clock = faults, frozenset(unsupported), clock
        self.requests = self.paid = 0
        self.by_status: Counter[int] = Counter()
        self.paid_by_text: Counter[str] = Counter()
        self.admitted_by_minute: Counter[int] = Counter()
        self.last_request: Request | None = None
        self._seen: Counter[str] = Counter()

    def stats(self) -> dict[str, Any]:
        """Return the counters at one moment, as `GET /_stats` does."""
        with self.lock:
            names = ("requests", "paid", "peak_in_flight", "by_status", "admitted_by_minute")
            counts = {name: getattr(self, name) for name in names}
            counts["paid_by_text"] = self.paid_by_text
            return dict(json.loads(json.dumps(counts)))

    def respond(self, request: Request) -> Reply:
        if (request.method, request.path) == ("GET", "/_stats"):
            return Reply(body=self.stats())
        if (request.method, request.path) != ("POST", self.path):
            page = "<!DOCTYPE html><title>Error 404 (Not Found)!!1</title>"
            return Reply(status=404, body=page, headers={"Content-Type": "text/html"})
        text: str | None = None
        try:
            self._admit(request)
            reply, text = self._serve(request)
        except ServiceError as rejection:
            reply = rejection.reply
        with self.lock:
            self.requests += 1
            self.last_request = request
            self.by_status[0 if reply.cut else reply.status] += 1
            if text is not None:
                self.paid += 1
                self.paid_by_text[text] += 1
        return reply

    def _admit(self, request: Request) -> None:
        """Check the key, then the quota, before the service itself sees anything."""
        key = request.headers.get(self.key_header) or request.query.get("key")
        if not key:
            raise key_missing()
        if key != self.key:
            raise key_invalid()
        minute = int(self.clock() // 60)
        with self.lock:
            if self.quota is not None and self.admitted_by_minute[minute] >= self.quota:
                raise quota_exceeded(self.quota)
            self.admitted_by_minute[minute] += 1

    def _serve(self, request: Request) -> tuple[Reply, str | None]:
        """Return the answer, and the text if that answer has scores."""
        text = _text(request.body)
        with self.lock:
            self._seen[text] += 1
            nth = self._seen[text]
        fault = (self.faults(text, nth) if self.faults else None) or Fault()
        paid: str | None = None
        if fault.cut_connection and fault.body is None:
            reply = Reply(cut=True)
        elif fault.body is not None:
            reply = Reply(status=fault.status or 200, body=fault.body, cut=fault.cut_connection)
        elif fault.status is not None:
            reply = ServiceError(fault.status, f"The service answers {fault.status}.").reply
        else:
            try:
                reply = Reply(body=analyze(request.body, self.unsupported))
                paid = text
            except ServiceError as rejection:
                reply = rejection.reply
        if fault.invalid_json:
            whole = reply.encoded()
            reply, paid = replace(reply, body=whole[: len(whole) // 2]), None
        delay_s = self.latency_s + fault.delay_s
        return replace(reply, headers=fault.headers, delay_s=delay_s), paid


def _text(raw: bytes) -> str:
    """Return the text by which a fault is chosen; "" if the body has none."""
    try:
        return str(json.loads(raw)["comment"]["text"])
    except (ValueError, TypeError, KeyError):
        return ""


def main(argv: list[str] | None = None) -> None:
    """Serve until SIGTERM or Ctrl-C, for tests whose clients are other processes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--key", required=True)
    parser.add_argument("--quota", type=int, help="requests a minute; without it, no limit")
    parser.add_argument("--latency", type=float, default=0.0, help="seconds an answer takes")
    parser.add_argument("--port-file", type=Path, help="gets the port once the server listens")
    options = parser.parse_args(argv)
    ended = threading.Event()

    def end(_signal: int, _frame: FrameType | None) -> None:
        ended.set()

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    stand_in = PerspectiveServer(key=options.key, quota=options.quota, latency_s=options.latency)
    stand_in.port = options.port
    with stand_in as server:
        if options.port_file:
            unfinished = options.port_file.with_name(options.port_file.name + ".tmp")
            unfinished.write_text(f"{server.port}\n")
            unfinished.replace(options.port_file)
        print(server.url, flush=True)
        ended.wait()


if __name__ == "__main__":
    main()
