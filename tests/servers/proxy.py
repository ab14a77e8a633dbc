"""Stand in for a proxy on loopback: one that opens tunnels, or one that refuses."""

from __future__ import annotations

import contextlib
import socket
import threading
from types import TracebackType
from typing import Self


class TunnelProxy:
    """Answers each CONNECT with `status`, and with 200 opens the tunnel.

    `asked` has the first line of each request, `credentials` its Proxy-Authorization or ''.
    """

    def __init__(self, status: str = "200 OK") -> None:
        self._status = status
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = []
        self.port: int = self._listener.getsockname()[1]
        self.asked: list[str] = []
        self.credentials: list[str] = []

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        for connection in (self._listener, *self._open):
            _end(connection)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._open.append(connection)
            threading.Thread(target=self._answer, args=[connection], daemon=True).start()

    def _answer(self, client: socket.socket) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            piece = client.recv(1 << 16)
            if not piece:
                return
            head += piece
        lines = head.decode("latin-1").split("\r\n")
        self.asked.append(lines[0])
        self.credentials.append(
            next((line for line in lines if line.lower().startswith("proxy-auth")), "")
        )
        client.sendall(f"HTTP/1.1 {self._status}\r\nContent-Length: 0\r\n\r\n".encode())
        if not self._status.startswith("200"):
            _end(client)
            return
        host, _, port = lines[0].split()[1].rpartition(":")
        service = socket.create_connection((host.strip("[]"), int(port)))
        self._open.append(service)
        threading.Thread(target=_copy, args=[service, client], daemon=True).start()
        _copy(client, service)


def _copy(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while piece := source.recv(1 << 16):
            target.sendall(piece)
    _end(target)


def _end(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()
