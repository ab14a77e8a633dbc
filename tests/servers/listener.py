"""Listen on loopback, and answer each connection in a thread of its own."""

from __future__ import annotations

import contextlib
import socket
import threading
from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self


class Listener(ABC):
    """A server of bare sockets on 127.0.0.1, at `port`. Leaving it ends all connections."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.opened: list[socket.socket] = []
        self.port: int = self._listener.getsockname()[1]

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        for connection in (self._listener, *self.opened):
            end(connection)

    @abstractmethod
    def answer(self, connection: socket.socket) -> None:
        """Talk to one client."""

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.opened.append(connection)
            threading.Thread(target=self.answer, args=[connection], daemon=True).start()


def copy(source: socket.socket, target: socket.socket) -> None:
    """Pass on what one side sends until it ends."""
    with contextlib.suppress(OSError):
        while piece := source.recv(1 << 16):
            target.sendall(piece)


def end(connection: socket.socket) -> None:
    """End a connection, also one that has ended already."""
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()
