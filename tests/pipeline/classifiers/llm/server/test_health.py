"""When a server counts as ready, and what is reported until then."""

import socket
from dataclasses import replace

import pytest

from pipeline.classifiers.llm.server.health import check_health
from pipeline.classifiers.llm.server.options import ServerOptions
from pipeline.config.secret import NO_KEY, Secret
from tests.servers.http import LoopbackServer, Reply, Request

HOST = "127.0.0.1"
DEFAULT = ServerOptions(
    command=("x",),
    env={},
    ready=("/health", "/v1/models"),
    ready_seconds=1.0,
    base_path="/v1",
    model="m",
)


class Pages(LoopbackServer):
    """Answers each path with its status, else with 404; records the requests."""

    def __init__(self, **pages: int) -> None:
        super().__init__()
        self._pages = pages
        self.seen: list[Request] = []

    def respond(self, request: Request) -> Reply:
        self.seen.append(request)
        return Reply(status=self._pages.get(request.path.rpartition("/")[2], 404))


@pytest.mark.parametrize(
    ("pages", "ready", "finding"),
    [
        ({"health": 200}, True, "GET /health: HTTP 200"),
        ({"health": 503, "models": 200}, False, "GET /health: HTTP 503"),  # llama.cpp, SGLang
        ({"models": 200}, True, "GET /v1/models: HTTP 200"),  # llama-cpp-python, Ollama
        ({"models": 401}, False, "GET /v1/models: HTTP 401"),
        ({}, False, "GET /v1/models: HTTP 404"),
    ],
)
def test_the_first_page_that_exists_decides(
    pages: dict[str, int], ready: bool, finding: str
) -> None:
    with Pages(**pages) as server:
        assert check_health(HOST, server.port, DEFAULT, NO_KEY) == (ready, finding)


def test_a_configured_page_is_the_only_one_asked() -> None:
    with Pages(models=200) as server:
        named = replace(DEFAULT, ready=("/ping",))
        assert check_health(HOST, server.port, named, NO_KEY) == (False, "GET /ping: HTTP 404")
    assert [request.path for request in server.seen] == ["/ping"]


def test_the_key_is_sent_if_there_is_one() -> None:
    with Pages(health=200) as server:
        check_health(HOST, server.port, DEFAULT, Secret("sk-4711"))
        check_health(HOST, server.port, DEFAULT, NO_KEY)
    sent = [request.headers.get("Authorization") for request in server.seen]
    assert sent == ["Bearer sk-4711", None]


def test_no_proxy_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    with Pages(health=200) as server:
        assert check_health(HOST, server.port, DEFAULT, NO_KEY)[0]


def test_a_port_without_an_http_server_is_not_ready() -> None:
    with socket.create_server((HOST, 0)) as server:
        port = server.getsockname()[1]
        assert check_health(HOST, port, DEFAULT, NO_KEY) == (False, "GET /health: no answer")
    assert check_health(HOST, port, DEFAULT, NO_KEY) == (False, "GET /health: no connection")
