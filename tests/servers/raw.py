"""Answer each connection on loopback with the bytes that a test names, at its own pace.

What breaks the rules of HTTP, or keeps them and never ends, no ordinary server can be made to send.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator

from tests.servers.listener import Listener

Script = Callable[[], Iterator[bytes]]
"""Yields what is sent on one connection, piece by piece."""

PAUSE_S = 0.05
PIECES = 400
"""After so many slow pieces, 20 s, the connection ends: a client that waits for more fails."""


def drip(before: bytes, piece: bytes) -> Script:
    """Return a script that sends `before`, and then `piece` again and again, slowly."""

    def script() -> Iterator[bytes]:
        yield before
        for _ in range(PIECES):
            stop.wait(PAUSE_S)
            yield piece

    stop = threading.Event()
    return script


class RawServer(Listener):
    """A server on 127.0.0.1 that reads each request's head and answers as its script says.

    `heads` has the heads of the requests, `sent` how many bytes each connection took.
    """

    def __init__(self, script: Script) -> None:
        super().__init__()
        self._script = script
        self.url = f"http://127.0.0.1:{self.port}"
        self.heads: list[bytes] = []
        self.sent: list[int] = []

    def answer(self, connection: socket.socket) -> None:
        head = b""
        number = len(self.sent)
        self.sent.append(0)
        try:
            while b"\r\n\r\n" not in head:
                head += connection.recv(1 << 16)
            self.heads.append(head)
            for piece in self._script():
                connection.sendall(piece)
                self.sent[number] += len(piece)
            connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            return
