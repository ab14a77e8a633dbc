"""Stand in for a proxy on loopback: one that opens tunnels, or one that refuses."""

from __future__ import annotations

import socket
import threading

from tests.servers.listener import Listener, copy, end


class TunnelProxy(Listener):
    """Answers each CONNECT with `status`, and with 200 opens the tunnel.

    `asked` has the first line of each request, `credentials` its Proxy-Authorization or ''.
    """

    def __init__(self, status: str = "200 OK") -> None:
        super().__init__()
        self._status = status
        self.asked: list[str] = []
        self.credentials: list[str] = []

    def answer(self, connection: socket.socket) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            piece = connection.recv(1 << 16)
            if not piece:
                return
            head += piece
        lines = head.decode("latin-1").split("\r\n")
        self.asked.append(lines[0])
        self.credentials.append(
            next((line for line in lines if line.lower().startswith("proxy-auth")), "")
        )
        connection.sendall(f"HTTP/1.1 {self._status}\r\nContent-Length: 0\r\n\r\n".encode())
        if not self._status.startswith("200"):
            end(connection)
            return
        host, _, port = lines[0].split()[1].rpartition(":")
        service = socket.create_connection((host.strip("[]"), int(port)))
        self.opened.append(service)
        threading.Thread(target=_copy, args=[service, connection], daemon=True).start()
        _copy(connection, service)


def _copy(source: socket.socket, target: socket.socket) -> None:
    copy(source, target)
    end(target)
