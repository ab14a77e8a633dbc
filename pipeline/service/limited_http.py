"""Read HTTP answers within limits: of time and of bytes, for the whole answer.

The timeouts of `requests` and `http.client` hold for one read from the socket. A server that sends
a byte now and then, be it of a header, of the body or of a trailer, would be waited for without
end. And both read a body, or the line that says how long a chunk is, however long it is.
"""

import functools
import io
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPResponse
from typing import TYPE_CHECKING, Any

from requests.adapters import HTTPAdapter
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import DecodeError

from pipeline import limits

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse  # urllib3 1.26 has another name for it

# Compressed bytes that are taken at once. Older versions of urllib3 decompress all of them, a
# thousandfold in the worst case.
CHUNK_BYTES = 4096
ACCEPTED_ENCODINGS = "gzip, deflate"
# Others can grow far more than these, as can one within another.
_UNDERSTOOD = {"", "identity", "gzip", "x-gzip", "deflate"}


class TooLong(Exception):
    """An answer with more bytes than its limit."""


class TooSlow(Exception):
    """An answer that was not complete in time."""


class ProxyRefused(OSError):
    """A proxy opens no tunnel; `status` is the HTTP status of its answer."""

    def __init__(self, status: int) -> None:
        super().__init__(f"the proxy answered HTTP {status}")
        self.status = status


class UndecodableBody(Exception):
    """An answer whose body makes no sense; the message says why, and quotes nothing."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AnswerLimits:
    """What one answer may take, and who may give it."""

    seconds: float
    """From the beginning of the connection, or else of the request, to the end of the answer."""

    most_bytes: int = limits.ANSWER_BYTES
    """Of the body, decompressed."""

    listener: Callable[[int], object] | None = None
    """Returns who listens on a port of this machine. Raises OSError if that may be a stranger.

    It is called before and after each connection is made, before anything is sent. If both results
    are equal, who accepted the connection listened all the time.
    """


class LimitedAdapter(HTTPAdapter):
    """Makes the connections of a session, with limits for every answer."""

    def __init__(self, bounds: AnswerLimits, *, connections: int) -> None:
        """Keep that many connections open."""
        self._bounds = bounds
        self._pools = {
            "http": _limited_pool(HTTPConnectionPool, bounds),
            "https": _limited_pool(HTTPSConnectionPool, bounds),
        }
        super().__init__(pool_maxsize=connections, pool_connections=1)

    def init_poolmanager(self, *args: Any, **keys: Any) -> None:
        """Make the manager of the connections."""
        super().init_poolmanager(*args, **keys)
        self.poolmanager.pool_classes_by_scheme = self._pools

    def proxy_manager_for(self, proxy: str, **keys: Any) -> Any:
        """Return the manager of the connections through a proxy."""
        is_new = proxy not in self.proxy_manager
        manager = super().proxy_manager_for(proxy, **keys)
        if is_new:
            # One for SOCKS has classes of its own, which find the way through the proxy.
            manager.pool_classes_by_scheme = {
                scheme: _limited_pool(pool, self._bounds)
                for scheme, pool in manager.pool_classes_by_scheme.items()
            }
        return manager


def read_body(response: "BaseHTTPResponse", most_bytes: int) -> bytes:
    """Return the body of an answer that is not read yet, decompressed.

    Raises:
        TooLong: it has more than `most_bytes`.
        TooSlow: it was not complete in time.
        UndecodableBody: it is damaged, or compressed in a way that was not asked for.
        OSError: the connection broke; or urllib3's HTTPError.
    """
    encoding = response.headers.get("Content-Encoding", "").strip().lower()
    if encoding not in _UNDERSTOOD:
        raise UndecodableBody("its body is compressed in a way that was not asked for")
    body = bytearray()
    try:
        for chunk in response.stream(CHUNK_BYTES, decode_content=True):
            body += chunk
            if len(body) > most_bytes:
                raise TooLong
    except DecodeError:
        raise UndecodableBody("its body cannot be decompressed") from None
    return bytes(body)


def get_status(
    host: str, port: int, path: str, headers: dict[str, str], bounds: AnswerLimits
) -> int:
    """Return the HTTP status of a page of a server on this machine; the body is not read.

    The server is asked directly: a proxy cannot reach this machine's loopback.

    Raises:
        TooSlow, TooLong: the status and the headers exceed a limit.
        OSError, http.client.HTTPException: nobody answers, or not in HTTP.
    """
    connection = _connection(HTTPConnection, bounds)(host, port, timeout=bounds.seconds)
    try:
        connection.request("GET", path, headers=headers)
        status: int = connection.getresponse().status
    finally:
        connection.close()
    return status


def _limited_pool(pool: Any, bounds: AnswerLimits) -> Any:
    return type(
        f"Limited{pool.__name__}",
        (pool,),
        {"ConnectionCls": _connection(pool.ConnectionCls, bounds)},
    )


def _connection(kind: Any, bounds: AnswerLimits) -> Any:
    """Return a class of connections of this kind that keep to the limits."""
    return type(f"Limited{kind.__name__}", (_LimitedConnection, kind), {"bounds": bounds})


class _LimitedConnection(HTTPConnection):
    """The first base of a class of connections, whose other base makes them."""

    bounds: AnswerLimits
    response_class: Any = HTTPResponse
    ends = 0.0
    has_begun = False
    tunnel_status = 200
    gathered: list[bytes] | None = None

    def connect(self) -> None:
        self._begin()
        listener = self.bounds.listener
        before = listener(self.port) if listener else None
        self.tunnel_status = 200
        try:
            super().connect()
        except OSError as error:
            if self.tunnel_status != 200:
                raise ProxyRefused(self.tunnel_status) from error
            raise
        if listener and listener(self.port) != before:
            self.close()
            raise ConnectionAbortedError("another process listens on the port by now")

    def request(self, *args: Any, **keys: Any) -> None:
        """Send headers and body together: one call of the system, and mostly one packet."""
        self._begin()
        if self.sock is None:
            self.connect()
        self.gathered = []
        try:
            super().request(*args, **keys)
            whole = b"".join(self.gathered)
        finally:
            self.gathered = None
        self.send(whole)

    def send(self, data: Any) -> None:
        if self.gathered is not None:
            self.gathered.append(data)
            return
        if self.sock is None:
            super().send(data)
            return
        self.sock.settimeout(_seconds_left(self.ends))
        try:
            super().send(data)
        except TimeoutError:
            raise TooSlow from None

    def getresponse(self, *args: Any, **keys: Any) -> Any:
        self.has_begun = False
        return super().getresponse(*args, **keys)

    def close(self) -> None:
        self.has_begun = False
        super().close()

    def _begin(self) -> None:
        """Let the time for a request begin, unless it began when its connection was made."""
        if self.has_begun:
            return
        self.has_begun = True
        self.ends = time.monotonic() + self.bounds.seconds
        # Twice, because each chunk of a body comes with its length.
        most_bytes = 2 * self.bounds.most_bytes + limits.FRAMING_BYTES
        # Also what a proxy says before the connection to the service stands is such an answer.
        self.response_class = functools.partial(
            _LimitedResponse, ends=self.ends, most_bytes=most_bytes, asker=self
        )


class _LimitedResponse(HTTPResponse):
    """An answer that is read from its socket until a moment, and up to a number of bytes."""

    def __init__(
        self,
        sock: socket.socket,
        *args: Any,
        ends: float,
        most_bytes: int,
        asker: Any,
        **keys: Any,
    ) -> None:
        super().__init__(sock, *args, **keys)
        self._asker = asker
        reader = _LimitedReader(self.fp.detach(), sock, ends, most_bytes)
        self.fp = io.BufferedReader(reader)

    def _read_status(self) -> tuple[str, int, str]:
        """Keep the status: that of a proxy's answer to CONNECT is only in an error's words."""
        version, status, words = super()._read_status()  # type: ignore[misc]  # not in typeshed
        self._asker.tunnel_status = status
        return version, status, words


class _LimitedReader(io.RawIOBase):
    def __init__(
        self, stream: io.RawIOBase, sock: socket.socket, ends: float, most_bytes: int
    ) -> None:
        self._stream = stream
        self._socket = sock
        self._ends = ends
        self._bytes_left = most_bytes

    def readable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._stream.fileno()

    def readinto(self, buffer: Any) -> int | None:
        self._socket.settimeout(_seconds_left(self._ends))
        try:
            count: int | None = self._stream.readinto(buffer)
        except TimeoutError:
            raise TooSlow from None
        self._bytes_left -= count or 0
        if self._bytes_left < 0:
            raise TooLong
        return count

    def close(self) -> None:
        self._stream.close()
        super().close()


def _seconds_left(ends: float) -> float:
    left = ends - time.monotonic()
    if left <= 0:
        raise TooSlow
    return left
