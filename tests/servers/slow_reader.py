"""Take requests on loopback slowly, a little now and then, with or without TLS."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

PAUSE_S = 0.02
PIECE_BYTES = 1 << 14


class SlowReader:
    """A server that reads and never answers, until it is left or its client gives up."""

    def __init__(self, certificate: Path | None = None) -> None:
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER) if certificate else None
        if self._context and certificate:
            self._context.load_cert_chain(certificate)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._ended = threading.Event()
        scheme = "https" if certificate else "http"
        self.url = f"{scheme}://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._read, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self._ended.set()
        self._listener.close()

    def _read(self) -> None:
        with contextlib.suppress(OSError):
            connection, _ = self._listener.accept()
            if self._context:
                connection = self._context.wrap_socket(connection, server_side=True)
            with connection:
                while connection.recv(PIECE_BYTES) and not self._ended.wait(PAUSE_S):
                    pass
