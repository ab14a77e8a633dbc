"""Answer like a chat server and like the Perspective API, as cheaply as Python can.

    python benchmarks/worker/service.py LATENCY_S

It prints its port. GET /stats says how many requests came, and when the first and the last one
came, on the machine's monotonic clock; then it counts anew.
"""

import asyncio
import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

CHAT = json.dumps(
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
        "usage": {"prompt_tokens": 9, "completion_tokens": 5},
    }
).encode()
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
SCORE = {"summaryScore": {"value": 0.25, "type": "PROBABILITY"}}


class Service(asyncio.Protocol):
    """One connection. A request may come in several pieces."""

    latency_s = 0.0
    arrivals: list[float] = []  # noqa: RUF012 - of all connections

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.received = b""

    def data_received(self, data: bytes) -> None:
        self.received += data
        head, separator, body = self.received.partition(b"\r\n\r\n")
        if not separator:
            return
        place = head.lower().find(b"content-length:")
        length = int(head[place + 15 :].split(b"\r\n", 1)[0]) if place >= 0 else 0
        if len(body) < length:
            return
        self.received = b""
        if head.startswith(b"GET"):
            self.send(self.stats())
            return
        self.arrivals.append(time.monotonic())
        answer = CHAT if b"/chat/completions" in head[:80] else analyze(body)
        if self.latency_s:
            asyncio.get_running_loop().call_later(self.latency_s, self.send, answer)
        else:
            self.send(answer)

    def send(self, answer: bytes) -> None:
        self.transport.write(HEAD % len(answer) + answer)

    def stats(self) -> bytes:
        arrivals = list(self.arrivals)
        self.arrivals.clear()
        return json.dumps(arrivals).encode()


def analyze(body: bytes) -> bytes:
    request = json.loads(body)
    scores = dict.fromkeys(request["requestedAttributes"], SCORE)
    answer = {"attributeScores": scores, "languages": ["en"], "clientToken": request["clientToken"]}
    return json.dumps(answer).encode()


@contextmanager
def serving(latency_s: float = 0.0) -> Iterator[str]:
    """Yield the address of a service in a process of its own."""
    server = subprocess.Popen(
        [sys.executable, str(Path(__file__)), str(latency_s)], stdout=subprocess.PIPE, text=True
    )
    assert server.stdout
    try:
        yield f"http://127.0.0.1:{int(server.stdout.readline())}"
    finally:
        server.kill()
        server.wait()


def take_arrivals(base_url: str) -> list[float]:
    """Return when each request came since the last call."""
    with urllib.request.urlopen(f"{base_url}/stats") as reply:
        return list(json.load(reply))


async def main() -> None:
    Service.latency_s = float(sys.argv[1])
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Service, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
