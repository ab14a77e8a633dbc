"""Serve over TLS on loopback, with certificates that the openssl program makes."""

from __future__ import annotations

import shutil
import ssl
import subprocess
from pathlib import Path
from typing import Self

import pytest

from tests.servers.http import LoopbackServer, Reply, Request

HOSTS = "subjectAltName=DNS:localhost,IP:127.0.0.1"


def make_certificate(folder: Path, *, hosts: str = HOSTS, days: int = 2) -> Path:
    """Return a PEM file with a self-signed certificate and its key; -1 day: it has expired.

    The test is skipped where there is no openssl.
    """
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("needs openssl")
    key, request, certificate = (folder / name for name in ("key.pem", "request.pem", "cert.pem"))
    new = ["req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    sign = ["x509", "-req", "-in", request, "-signkey", key, "-days", str(days)]
    for command in (
        [*new, "-keyout", key, "-subj", "/CN=localhost", "-addext", hosts, "-out", request],
        [*sign, "-copy_extensions", "copy", "-out", certificate],
    ):
        subprocess.run([openssl, *command], check=True, capture_output=True)
    both = folder / "both.pem"
    both.write_text(key.read_text() + certificate.read_text())
    return both


class TlsServer(LoopbackServer):
    """Answers every request over TLS with one reply; `seen` has the requests."""

    def __init__(self, certificate: Path, reply: Reply) -> None:
        super().__init__()
        self._certificate = certificate
        self._reply = reply
        self.seen: list[Request] = []

    @property
    def url(self) -> str:
        return super().url.replace("http://", "https://")

    def respond(self, request: Request) -> Reply:
        self.seen.append(request)
        return self._reply

    def start(self) -> Self:
        super().start()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self._certificate)
        server = self._server
        assert server
        # The handshake belongs to the connection's own thread: a client may never finish it.
        server.socket = context.wrap_socket(
            server.socket, server_side=True, do_handshake_on_connect=False
        )
        return self
