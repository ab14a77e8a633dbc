"""Asking about one post, for checks: an end within seconds, whatever the service does."""

import threading

import pytest

from pipeline.classifiers.one_answer import ask_once
from pipeline.model import Post
from tests.pipeline import task_processes
from tests.servers.http import LoopbackServer, Reply, Request


class SilentServer(LoopbackServer):
    """Accepts each request, and says nothing before `released` is set."""

    def __init__(self) -> None:
        super().__init__()
        self.released = threading.Event()

    def respond(self, request: Request) -> Reply:
        self.released.wait()
        return Reply(status=503, body={})


def test_a_service_that_never_answers_ends_it_however_long_a_task_would_wait(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TEST_KEY", "a-key-of-some-length")
    with SilentServer() as server:
        frozen = {**task_processes.perspective(server.url), "type": "perspective"}
        frozen["timeout_seconds"] = 20.0
        result = ask_once(frozen, Post("at://a", "a text"), patience_s=0.5)
        server.released.set()
    assert result.answer is None
    assert result.error
    assert result.seconds < frozen["timeout_seconds"]
