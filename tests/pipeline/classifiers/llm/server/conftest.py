"""A model server for a test: it does as the test says, and must leave no process behind."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from pipeline.classifiers.llm.server import options
from pipeline.classifiers.llm.server.server import ModelServer
from pipeline.config.secret import NO_KEY, Secret
from tests.pipeline.classifiers.llm.server import started_servers
from tests.pipeline.classifiers.llm.server.started_servers import MakeServer


@pytest.fixture
def starts_folder(tmp_path: Path) -> Path:
    """Return the folder in which the misbehaving program records its starts."""
    return tmp_path / "server"


@pytest.fixture
def make_server(tmp_path: Path, starts_folder: Path) -> Iterator[MakeServer]:
    """Return what makes a server whose starts do as the words say, one by one."""
    servers: list[ModelServer] = []

    def make(
        *words: str,
        key: Secret = NO_KEY,
        stopping: threading.Event | None = None,
        **keys: Any,
    ) -> ModelServer:
        program = started_servers.program(starts_folder, *words)
        program["env"] |= keys.pop("env", {})
        configured = msgspec.convert({**program, "ready_seconds": 60, **keys}, options.Server)
        started = options.server_options(configured, model="a/model")
        log = tmp_path / "logs" / "server.log"
        server = ModelServer(started, log=log, secret=key, stopping=stopping or threading.Event())
        servers.append(server)
        return server

    yield make
    for server in servers:
        server.close()
    assert started_servers.alive(starts_folder) == []
