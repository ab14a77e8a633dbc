"""A SOCKS proxy is the way to a service, where the package for it is installed."""

import contextlib
import socket
import struct
import threading
from collections.abc import Iterator

import pytest

from pipeline.errors import Cause, TaskError
from tests.pipeline.service.scripted_replies import GOOD, NEVER
from tests.pipeline.service.test_causes import PATH, make_endpoint
from tests.servers.http import LoopbackServer, Reply, Request
from tests.servers.listener import copy

pytest.importorskip("socks", reason="PySocks is not installed")


class Service(LoopbackServer):
    """Answers everything; `paths` has what was asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.paths: list[str] = []

    def respond(self, request: Request) -> Reply:
        self.paths.append(request.path)
        return GOOD


@contextlib.contextmanager
def socks_proxy(service: Service) -> Iterator[tuple[int, list[tuple[str, int]]]]:
    """Yield the port of a SOCKS5 proxy that leads to `service`, and what it was asked for."""
    targets: list[tuple[str, int]] = []
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with contextlib.suppress(OSError):
            client, _ = listener.accept()
            client.recv(client.recv(2)[1])
            client.sendall(b"\x05\x00")
            client.recv(4)
            host = client.recv(client.recv(1)[0]).decode()
            targets.append((host, struct.unpack(">H", client.recv(2))[0]))
            target = socket.create_connection(("127.0.0.1", service.port))
            client.sendall(b"\x05\x00\x00\x01" + bytes(6))
            threading.Thread(target=copy, args=[target, client], daemon=True).start()
            copy(client, target)

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield listener.getsockname()[1], targets
    finally:
        listener.close()


def test_a_request_goes_through_a_socks_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    with Service() as service, socks_proxy(service) as (port, targets):
        monkeypatch.setenv("ALL_PROXY", f"socks5h://127.0.0.1:{port}")
        assert make_endpoint("http://service.example:81/v1").post({}, NEVER).status == 200
    assert (targets, service.paths) == ([("service.example", 81)], [f"/v1{PATH}"])


def test_a_socks_proxy_that_cannot_be_reached_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    monkeypatch.setenv("ALL_PROXY", f"socks5h://127.0.0.1:{port}")
    with pytest.raises(TaskError) as raised:
        make_endpoint("http://service.example:81/v1").post({}, NEVER)
    assert raised.value.cause is Cause.UNAVAILABLE
    assert f"127.0.0.1:{port}" in str(raised.value)
