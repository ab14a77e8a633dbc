"""Serve HTTP/1.1 on loopback from one function, as the base of all stand-ins.

The tests talk to a real socket, so that timeouts, cut connections and keep-alive are real. It needs
only the standard library: the tests of a compute node's code must run where nothing but the code's
own dependencies is installed.
"""

from __future__ import annotations

import json
import socket
import ssl
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from types import TracebackType
from typing import Any, Self, cast
from urllib.parse import parse_qsl, urlsplit

Body = dict[str, Any] | list[Any] | str | bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """One request as it came in; the case of header names does not matter."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class Reply:
    """One reply; a dict or list is sent as JSON, text and bytes as they are.

    `cut` ends the connection instead of answering: before the first byte, or, if there is a body,
    after half of it, under a Content-Length that promises all of it.
    """

    status: int = 200
    body: Body = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    delay_s: float = 0.0
    cut: bool = False

    def encoded(self) -> bytes:
        """Return the body's bytes, not ASCII-escaped, so that clients receive real UTF-8."""
        if isinstance(self.body, bytes):
            return self.body
        if isinstance(self.body, str):
            return self.body.encode()
        return json.dumps(self.body, ensure_ascii=False).encode()


class LoopbackServer:
    """A server on 127.0.0.1 that answers every request with `respond`.

    Port 0 becomes a free port that the server keeps, so `stop()` and `start()` are an outage of one
    address. `respond` runs in one thread per connection, many at once.
    """

    def __init__(self, *, port: int = 0) -> None:
        self.port = port
        self.peak_in_flight = 0
        self.crashes: list[BaseException] = []
        self.lock = threading.Lock()
        self._in_flight = 0
        self._stopping = threading.Event()
        self._server: _Server | None = None

    def respond(self, request: Request) -> Reply:
        """Return the reply to a request."""
        raise NotImplementedError

    @property
    def url(self) -> str:
        if not self.port:
            raise RuntimeError("the server has no address before start()")
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> Self:
        self._stopping.clear()
        self._server = _Server(self)
        self.port = self._server.server_address[1]
        # shutdown() waits for one turn of this loop, and tests start many servers.
        threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        ).start()
        return self

    def stop(self) -> None:
        """End at once, with open connections and delayed replies. Doing so twice does no harm."""
        server, self._server = self._server, None
        if server is None:
            return
        self._stopping.set()
        server.shutdown()
        server.server_close()
        server.close_connections()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self.stop()
        if error is None and self.crashes:
            raise RuntimeError("the stand-in itself crashed while answering") from self.crashes[0]

    def answer(self, request: Request) -> Reply:
        """Call `respond`, then wait for its delay, which ends early when the server is stopped."""
        with self.lock:
            self._in_flight += 1
            self.peak_in_flight = max(self.peak_in_flight, self._in_flight)
        try:
            reply = self.respond(request)
            if reply.delay_s and self._stopping.wait(reply.delay_s):
                return Reply(cut=True)
            return reply
        finally:
            with self.lock:
                self._in_flight -= 1


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 1024  # a burst of new connections must queue, not be refused

    def __init__(self, stand_in: LoopbackServer) -> None:
        self.stand_in = stand_in
        self._connections: set[socket.socket] = set()
        self._closed = False
        super().__init__(("127.0.0.1", stand_in.port), _Handler)

    def server_bind(self) -> None:
        # HTTPServer's own asks the resolver for the host's name: seconds where DNS is slow.
        TCPServer.server_bind(self)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        with self.stand_in.lock:
            self._connections.add(request)
            if self._closed:  # accepted just before the end, its thread started just after it
                _hang_up(request)
        try:
            super().process_request_thread(request, client_address)
        finally:
            with self.stand_in.lock:
                self._connections.discard(request)

    def close_connections(self) -> None:
        """Wake the threads that wait on a kept-alive connection; each then closes it."""
        with self.stand_in.lock:
            self._closed = True
            for connection in self._connections:
                _hang_up(connection)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Record an error of the stand-in itself; a client that went away is not one."""
        error = sys.exception()
        is_the_clients = isinstance(error, (ConnectionError, ssl.SSLError))
        if error is not None and not is_the_clients:
            self.stand_in.crashes.append(error)
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    # Head and body in one write, sent at once: with Nagle's algorithm on, every answer waits for
    # the client's delayed ACK, 40 ms.
    wbufsize = -1
    disable_nagle_algorithm = True

    def _serve(self) -> None:
        target = urlsplit(self.path)
        length = int(self.headers.get("Content-Length") or 0)
        reply = self.server.stand_in.answer(
            Request(
                method=self.command,
                path=target.path,
                query=dict(parse_qsl(target.query)),
                headers=cast(Mapping[str, str], self.headers),
                body=self.rfile.read(length),
            )
        )
        payload = reply.encoded()
        if reply.cut:
            self.close_connection = True
        if not reply.cut or payload:
            self._send(reply, payload)
        if reply.cut:
            self.wfile.flush()
            _hang_up(self.connection)

    def _send(self, reply: Reply, payload: bytes) -> None:
        self.send_response(reply.status)
        headers = {"Content-Type": "application/json; charset=UTF-8"} | dict(reply.headers)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(payload[: len(payload) // 2] if reply.cut else payload)

    do_HEAD = _serve  # noqa: N815  the standard library's names
    do_GET = _serve  # noqa: N815
    do_POST = _serve  # noqa: N815

    def log_message(self, format: str, *args: Any) -> None:
        """Write nothing: stderr belongs to the code under test."""


def _hang_up(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        return  # the client was faster
