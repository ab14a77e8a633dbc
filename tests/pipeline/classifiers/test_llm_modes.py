"""What a server honours is found out once a task, and a busy or starting one is waited for."""

import functools
from collections.abc import Callable
from typing import Any

import pytest

from pipeline.classifiers import llm
from pipeline.classifiers.base import TaskShare
from pipeline.classifiers.labels import freeze
from pipeline.classifiers.llm import Llm
from pipeline.errors import Cause, TaskError
from pipeline.http import Patience
from pipeline.model import Answer, LabelValue
from tests.servers.http import Reply
from tests.servers.openai_stub import OpenAIStub, completion, error

from .asking import answers, posts, section

LABELS = freeze(section({"labels": [{"name": "civic", "type": "bool"}]}))
GOOD = completion('{"civic": true}')
NONSENSE = completion("I think that it is civic.")
VALUES: dict[str, LabelValue] = {"civic": True, "llm_model_name": "stub"}
QUESTION = "The sun is out today."


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    quick = functools.partial(Patience, first_wait=0.0005, longest_wait=0.0005)
    monkeypatch.setattr(llm, "Patience", quick)


def asker(server: OpenAIStub, **options: Any) -> Llm:
    frozen = {
        "base_url": server.base_url, "model": "tiny", "prompt": "Label.", "labels": LABELS,
        "structured_output": "auto", "temperature": 0.0, "max_tokens": 50, "answer_tries": 1,
        "max_in_flight": 4, "requests_per_minute": None, "timeout_seconds": 5.0, **options,
    }  # fmt: skip
    return Llm(frozen, TaskShare())


def mode(body: dict[str, Any]) -> str:
    return str(body.get("response_format", {}).get("type", "none"))


def is_probe(body: dict[str, Any]) -> bool:
    return QUESTION in body["messages"][1]["content"]


SERVERS: dict[str, tuple[dict[str, Reply], str]] = {
    "vLLM": ({"none": NONSENSE, "json_object": GOOD, "json_schema": GOOD}, "json_schema"),
    "llama.cpp, which rejects json_schema with a 500": (
        {"none": NONSENSE, "json_object": GOOD, "json_schema": Reply(status=500, body={})},
        "json_object",
    ),
    "one that ignores what it does not know": (
        {"none": NONSENSE, "json_object": GOOD, "json_schema": NONSENSE},
        "json_object",
    ),
    "one that refuses what it does not know": (
        {
            "none": GOOD,
            "json_object": Reply(status=422, body={"detail": "extra"}),
            "json_schema": Reply(status=400, body=error("unsupported", "unsupported")),
        },
        "none",
    ),
    "one whose model obeys though nothing binds it": (
        {"none": GOOD, "json_object": GOOD, "json_schema": GOOD},
        "json_schema",
    ),
}


@pytest.mark.parametrize("name", SERVERS)
def test_the_strictest_way_that_works_is_taken(name: str) -> None:
    replies, expected = SERVERS[name]
    with OpenAIStub(lambda body, _: replies[mode(body)]) as server:
        found = answers(asker(server), posts("a", "b", "c"))
    assert [answer.values for answer in found.values()] == [VALUES] * 3
    assert {mode(body) for body in server.bodies if not is_probe(body)} == {expected}
    assert sum(map(is_probe, server.bodies)) <= 3


def test_it_is_asked_once_a_task() -> None:
    with OpenAIStub(lambda *_: GOOD) as server:
        one = asker(server)
        for _ in range(3):
            answers(one, posts("a", "b"))
    assert sum(map(is_probe, server.bodies)) == 2
    assert server.requests == 8


def test_nothing_is_asked_where_the_way_is_configured_or_there_are_no_posts() -> None:
    with OpenAIStub(lambda *_: GOOD) as server:
        assert answers(asker(server), []) == {}
        answers(asker(server, structured_output="json_object"), posts("a"))
    assert [mode(body) for body in server.bodies] == ["json_object"]


def test_a_first_post_that_is_too_long_does_not_cost_the_others_their_constraints() -> None:
    """Probed with that post, every way would have seemed to fail."""

    def answer(body: dict[str, Any], nth: int) -> Reply:
        if "long" in body["messages"][1]["content"]:
            return Reply(status=400, body=error("too long", "context_length_exceeded"))
        return GOOD if mode(body) == "json_schema" else NONSENSE

    with OpenAIStub(answer) as server:
        found = answers(asker(server), posts("long", "short"))
    assert found == {
        "long": Answer("at://0", reason="context_length_exceeded"),
        "short": Answer("at://1", VALUES),
    }


STARTING: dict[str, Callable[[int], Reply]] = {
    "503": lambda nth: Reply(status=503, body=error("Loading model", "unavailable")),
    "cut": lambda nth: Reply(cut=True),
    "429": lambda nth: Reply(status=429, body=error("slow down", "rate_limit")),
    "a proxy's page": lambda nth: Reply(status=502, body="<html>Bad Gateway"),
}


@pytest.mark.parametrize("name", STARTING)
def test_a_server_that_is_still_starting_is_not_taken_for_one_that_honours_nothing(
    name: str,
) -> None:
    def answer(body: dict[str, Any], nth: int) -> Reply:
        if nth <= 4:
            return STARTING[name](nth)
        return GOOD if mode(body) == "json_schema" else NONSENSE

    with OpenAIStub(answer) as server:
        assert answers(asker(server), posts("a")) == {"a": Answer("at://0", VALUES)}


def test_a_server_that_never_answers_ends_the_task_as_crashed() -> None:
    with OpenAIStub(lambda *_: Reply(status=503)) as server, pytest.raises(TaskError) as raised:
        list(asker(server).classify(posts("a")))
    assert raised.value.cause is Cause.CRASHED
    assert str(raised.value) == f"{server.base_url}/chat/completions: HTTP 503:  (6 times)"
