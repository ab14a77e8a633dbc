"""A stand-in for the Perspective API: its answers, its refusals, its quota, its failures.

The real one costs quota, has given out no new keys since February 2026 and ends with that year.
What it says is in `perspective_answers.py`; this is the service: key, quota, counters, faults.

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


@dataclass(frozen=True, kw_only=True, slots=True)
class Fault:
    """What happens to one request in place of the service's own answer.

    Only what is given changes: `Fault(delay_s=3)` is the right answer, late; `invalid_json` the
    right answer, half of it; a `status` without a body has Google's error body. `cut_connection`
    is before the first byte, or half way through `body` where one is given.
    """

    status: int | None = None
    body: Body | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    cut_connection: bool = False
    invalid_json: bool = False
    delay_s: float = 0.0


class PerspectiveServer(LoopbackServer):
    """The service behind one key, for one Google project.

    quota: requests a calendar minute, None for no limit. Whatever has a right key and finds room
    in the minute is counted against it, a 400 or a fault too; a 429 is not.
    unsupported: (attribute, language) pairs refused beside those which the service lacks itself.
    faults: asked with (text, how many times this text has been admitted, from 1).
    clock: seconds since the epoch; a test moves it to the next minute without waiting.

    Counters: `requests` to the method; `by_status` (0: connection cut); `paid` and `paid_by_text`,
    whole answers with scores; `admitted_by_minute`, what each minute's quota was spent on.
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
        port: int = 0,
    ) -> None:
        super().__init__(port=port)
        self.key, self.quota, self.latency_s = key, quota, latency_s
        self.faults, self.unsupported, self.clock = faults, frozenset(unsupported), clock
        self.requests = self.paid = 0
        self.by_status: Counter[int] = Counter()
        self.paid_by_text: Counter[str] = Counter()
        self.admitted_by_minute: Counter[int] = Counter()
        self.last_request: Request | None = None
        self._seen: Counter[str] = Counter()

    def stats(self) -> dict[str, Any]:
        """The counters at one moment, as `GET /_stats` gives them."""
        with self.lock:
            names = ("requests", "paid", "peak_in_flight", "by_status", "admitted_by_minute")
            counts = {name: getattr(self, name) for name in names}
            counts["paid_by_text"] = self.paid_by_text
            return dict(json.loads(json.dumps(counts)))

    def respond(self, request: Request) -> Reply:
        if (request.method, request.path) == ("GET", "/_stats"):
            return Reply(body=self.stats())
        if (request.method, request.path) != ("POST", ANALYZE):
            page = "<!DOCTYPE html><title>Error 404 (Not Found)!!1</title>"
            return Reply(status=404, body=page, headers={"Content-Type": "text/html"})
        text: str | None = None
        try:
            self._admit(request)
            reply, text = self._serve(request)
        except ServiceError as refusal:
            reply = refusal.reply
        with self.lock:
            self.requests += 1
            self.last_request = request
            self.by_status[0 if reply.cut else reply.status] += 1
            if text is not None:
                self.paid += 1
                self.paid_by_text[text] += 1
        return reply

    def _admit(self, request: Request) -> None:
        """Key, then quota: both are checked before the service itself sees anything."""
        key = request.headers.get("X-Goog-Api-Key") or request.query.get("key")
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
        """The answer, and the text where that answer is worth its price."""
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
            except ServiceError as refusal:
                reply = refusal.reply
        if fault.invalid_json:
            whole = reply.encoded()
            reply, paid = replace(reply, body=whole[: len(whole) // 2]), None
        delay_s = self.latency_s + fault.delay_s
        return replace(reply, headers=fault.headers, delay_s=delay_s), paid


def _text(raw: bytes) -> str:
    """The text a fault is chosen by; "" where the body has none."""
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
    with PerspectiveServer(
        key=options.key, quota=options.quota, latency_s=options.latency, port=options.port
    ) as server:
        if options.port_file:
            unfinished = options.port_file.with_name(options.port_file.name + ".tmp")
            unfinished.write_text(f"{server.port}\n")
            unfinished.replace(options.port_file)
        print(server.url, flush=True)
        ended.wait()


if __name__ == "__main__":
    main()
