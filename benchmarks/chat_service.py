"""Answer chat requests and look-alikes of Perspective's as cheaply as Python can.

    python -m benchmarks.chat_service LATENCY_S [ERRORS THROTTLED]

It prints its port on loopback. Of 100 requests, ERRORS get HTTP 500, and THROTTLED an HTTP 429 that
asks to wait for a second, spread evenly. GET /stats says how many requests were answered with HTTP
200, and when each request came, on the machine's monotonic clock; then it counts anew.
"""

import asyncio
import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_ROOT = Path(__file__).resolve().parents[1]
_CHAT = json.dumps(
    {
        "object": "chat.completion",
        "model": "bench",
        "choices": [
            {
                "index": 0,
                "finish_reason": "stop",
                "message": {"role": "assistant", "content": '{"civic": true}'},
            }
        ],
        "usage": {"prompt_tokens": 9, "completion_tokens": 5, "total_tokens": 14},
    }
).encode()
_HEAD = b"HTTP/1.1 %b\r\nContent-Type: application/json\r\nContent-Length: %d\r\n%b\r\n"
_SCORE = {"summaryScore": {"value": 0.25, "type": "PROBABILITY"}}
_OK, _ERROR, _THROTTLED = b"200 OK", b"500 Internal Server Error", b"429 Too Many Requests"
_EVEN_STEP = 37  # has no factor in common with 100: visits each of 100 places once


@dataclass(frozen=True, kw_only=True, slots=True)
class Behavior:
    """How the service answers."""

    latency_s: float = 0.0
    errors: int = 0
    """Of 100 requests, how many get HTTP 500."""
    throttled: int = 0
    """Of 100 requests, how many get HTTP 429 with `Retry-After: 1`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Stats:
    """What came since the last time that somebody asked."""

    arrivals: tuple[float, ...]
    """When each request came, on the machine's monotonic clock."""
    paid: int
    """How many were answered with HTTP 200."""


class _Counts:
    """What came to all connections."""

    def __init__(self) -> None:
        self.arrivals: list[float] = []
        self.paid = 0
        self.number = 0

    def take(self) -> bytes:
        counted = json.dumps({"arrivals": self.arrivals, "paid": self.paid}).encode()
        self.arrivals, self.paid = [], 0
        return counted


class _Connection(asyncio.Protocol):
    """One connection. A request may come in several pieces."""

    def __init__(self, behavior: Behavior, counts: _Counts) -> None:
        self.behavior, self.counts = behavior, counts
        self.received = b""
        self.transport: Any = None

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.received += data
        head, separator, body = self.received.partition(b"\r\n\r\n")
        if not separator:
            return
        lower = head.lower()
        place = lower.find(b"content-length:")
        length = int(lower[place + 15 :].split(b"\r\n", 1)[0]) if place >= 0 else 0
        if len(body) < length:
            return
        self.received = b""
        closes = b"connection: close" in lower
        if head.startswith(b"GET"):
            self.send(_OK, self.counts.take() if head.startswith(b"GET /stats") else b"{}", closes)
            return
        self.counts.arrivals.append(time.monotonic())
        status, answer = self.judge()
        if status is _OK:
            answer = _CHAT if b"/chat/completions" in head[:80] else _analyze(body)
            self.counts.paid += 1
        if self.behavior.latency_s:
            loop = asyncio.get_running_loop()
            loop.call_later(self.behavior.latency_s, self.send, status, answer, closes)
        else:
            self.send(status, answer, closes)

    def judge(self) -> tuple[bytes, bytes]:
        self.counts.number += 1
        place = self.counts.number * _EVEN_STEP % 100
        if place < self.behavior.errors:
            return _ERROR, b"{}"
        if place < self.behavior.errors + self.behavior.throttled:
            return _THROTTLED, b"{}"
        return _OK, b""

    def send(self, status: bytes, answer: bytes, closes: bool) -> None:
        if self.transport.is_closing():  # the client is gone
            return
        headers = b"Retry-After: 1\r\n" if status is _THROTTLED else b""
        self.transport.write(_HEAD % (status, len(answer), headers) + answer)
        if closes:
            self.transport.close()


def _analyze(body: bytes) -> bytes:
    request = json.loads(body)
    scores = dict.fromkeys(request["requestedAttributes"], _SCORE)
    answer = {"attributeScores": scores, "languages": ["en"], "clientToken": request["clientToken"]}
    return json.dumps(answer).encode()


@contextmanager
def serving(behavior: Behavior | None = None) -> Iterator[str]:
    """Yield the address of a service in a process of its own."""
    behavior = behavior or Behavior()
    arguments = map(str, (behavior.latency_s, behavior.errors, behavior.throttled))
    server = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.chat_service", *arguments],
        cwd=_ROOT, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert server.stdout
    try:
        yield f"http://127.0.0.1:{int(server.stdout.readline())}"
    finally:
        server.kill()
        server.wait()
        server.stdout.close()


def take_stats(base_url: str) -> Stats:
    """Return what came since the last call."""
    with urllib.request.urlopen(f"{base_url}/stats") as reply:
        document = json.load(reply)
    return Stats(arrivals=tuple(document["arrivals"]), paid=document["paid"])


async def main(behavior: Behavior) -> None:
    """Answer until the process is killed."""
    counts = _Counts()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: _Connection(behavior, counts), "127.0.0.1", 0, backlog=4096
    )
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    latency, *faults = sys.argv[1:]
    errors, throttled = map(int, faults or (0, 0))
    asyncio.run(main(Behavior(latency_s=float(latency), errors=errors, throttled=throttled)))
