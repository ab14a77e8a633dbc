"""The ports of a task's own server, and what happens when another process has one."""

import socket
import threading
from pathlib import Path
from typing import Any

import pytest

from pipeline.classifiers.llm.server import process
from pipeline.config.secret import Secret
from tests.pipeline.classifiers.llm.server.started_servers import (
    NEVER,
    MakeServer,
    failure,
    starts,
    status_of,
)


def test_a_taken_port_does_not_use_up_the_restart(
    make_server: MakeServer, starts_folder: Path
) -> None:
    server = make_server("bind", "bind", "die", "serve")
    assert status_of(server.address(NEVER)) == 200
    assert len({start["port"] for start in starts(starts_folder)}) == 4


def test_ports_that_are_always_taken_end_the_task(
    make_server: MakeServer, starts_folder: Path
) -> None:
    error = failure(make_server(*["bind"] * 20))
    assert "address already in use" in str(error)
    assert len(starts(starts_folder)) == 7  # five other ports, and one restart


def test_another_process_that_answers_on_the_port_is_not_trusted(
    make_server: MakeServer, starts_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first start does not get its port, where another server answers, and lives on.

    The other server reads the port off the command line, and hopes for the key.
    """
    take, taken, received = process.Ports.take, [], bytearray()

    class Other(threading.Thread):
        """A server that answers 200 to everything."""

        def __init__(self, port: int) -> None:
            super().__init__(daemon=True)
            self.server = socket.create_server(("127.0.0.1", port))

        def run(self) -> None:
            while True:
                try:
                    connection, _ = self.server.accept()
                except OSError:
                    return
                with connection:
                    received.extend(connection.recv(1000))
                    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    def with_another(ports: Any) -> int:
        port = take(ports)
        if not taken:
            Other(port).start()
        taken.append(port)
        return port

    monkeypatch.setattr(process.Ports, "take", with_another)
    server = make_server("polite", "polite", key=Secret("sk-secret-4711"))
    assert server.address(NEVER) == f"http://127.0.0.1:{taken[1]}/v1"
    assert status_of(server.address(NEVER)) == 200
    assert received == b""


def test_two_tasks_never_reserve_the_same_port(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel may offer the same port twice before a server has bound it."""
    offered = iter([40001, 40001, 40002])

    class Free:
        def __enter__(self) -> "Free":
            return self

        def __exit__(self, *_: object) -> None: ...

        def getsockname(self) -> tuple[str, int]:
            return "127.0.0.1", next(offered)

    monkeypatch.setattr(socket, "create_server", lambda _: Free())
    first, second = process.Ports(), process.Ports()
    assert (first.take(), second.take()) == (40001, 40002)
    first.close()
    second.close()
