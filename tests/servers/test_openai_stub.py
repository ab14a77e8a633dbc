"""The scripted server: what it is asked, what it answers and what it records."""

from __future__ import annotations

import json
import socket
from typing import Any

import pytest
import requests

from .http import Reply
from .openai_stub import OpenAIStub, completion, error


def ask(stub: OpenAIStub, content: str, **headers: str) -> requests.Response:
    body = {"model": "stub", "messages": [{"role": "user", "content": content}]}
    return requests.post(
        f"{stub.base_url}/chat/completions", json=body, headers=headers, timeout=10
    )


def test_the_script_sees_the_request_and_its_number() -> None:
    def answer(request: dict[str, Any], nth: int) -> Reply:
        if nth == 1:
            return Reply(status=429, body=error("slow", "rate"), headers={"Retry-After-Ms": "5"})
        return completion(request["messages"][0]["content"].upper())

    with OpenAIStub(answer) as stub:
        first, second = ask(stub, "héllo 🦋"), ask(stub, "héllo 🦋", Authorization="Bearer K")
    assert (first.status_code, first.headers["retry-after-ms"]) == (429, "5")
    assert first.json()["error"]["code"] == "rate"
    assert second.json()["choices"] == [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "HÉLLO 🦋"},
            "finish_reason": "stop",
        }
    ]
    assert (stub.requests, stub.authorizations) == (2, [None, "Bearer K"])
    assert stub.by_status == {429: 1, 200: 1}


def test_models_are_listed_and_other_paths_are_404() -> None:
    with OpenAIStub(lambda *_: completion("x"), models=["a", "b"]) as stub:
        models = requests.get(f"{stub.base_url}/models", timeout=10).json()
        assert [model["id"] for model in models["data"]] == ["a", "b"]
        assert requests.get(f"{stub.url}/health", timeout=10).status_code == 404
        assert stub.requests == 0


def test_a_wrong_key_is_rejected() -> None:
    with OpenAIStub(lambda *_: completion("x"), key="K") as stub:
        assert ask(stub, "x", Authorization="Bearer other").status_code == 401
        assert ask(stub, "x", Authorization="Bearer K").ok
        assert stub.requests == 1


def test_a_reply_can_be_text_or_a_cut_connection() -> None:
    replies = [Reply(status=502, body="<html>Bad Gateway"), Reply(cut=True)]
    with OpenAIStub(lambda _, nth: replies[nth - 1]) as stub:
        assert ask(stub, "x").text == "<html>Bad Gateway"
        with pytest.raises(requests.ConnectionError):
            ask(stub, "x")
        assert stub.by_status == {502: 1, 0: 1}


def test_a_reply_is_sent_in_one_piece() -> None:
    """In two pieces, Nagle's algorithm would hold back the second until the client's delayed ACK.

    That takes 40 ms for each reply on a kept-alive connection.
    """
    body = json.dumps({"messages": []}).encode()
    request = (
        b"POST /v1/chat/completions HTTP/1.1\r\nHost: stub\r\n"
        b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
    )
    with (
        OpenAIStub(lambda *_: completion("x")) as stub,
        socket.create_connection(("127.0.0.1", stub.port), timeout=10) as connection,
    ):
        for _ in range(50):
            connection.sendall(request)
            head, _, payload = connection.recv(65536).partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200 ")
            assert json.loads(payload)["choices"][0]["message"]["content"] == "x"
