"""Detecting what a server enforces: proved once, noted, and repeated after a passing failure."""

import json
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from pipeline.classifiers.base import Classifier, TaskShare
from pipeline.classifiers.frozen_classifier import create
from pipeline.classifiers.options import Options
from pipeline.errors import Cause, TaskError
from pipeline.model import Answer, LabelValue
from tests.pipeline.classifiers.classifier_setup import KEY, answers, posts
from tests.servers.bound import bound, instance, mode_of, schema_of
from tests.servers.http import Reply
from tests.servers.openai_stub import OpenAIStub, completion, error

pytestmark = pytest.mark.usefixtures("quick_retries", "llm_key")

LABELS = [{"name": "civic", "type": "bool"}]
VALUES: dict[str, LabelValue] = {"civic": True, "llm_model_name": "stub"}
QUESTION = "The sun is out today."
Script = Callable[[dict[str, Any]], Reply]


def asker(server: OpenAIStub, notes: Path | None = None, **options: Any) -> Classifier[Options]:
    frozen = {
        "type": "llm", "base_url": server.base_url, "model": "tiny", "prompt": "Label.",
        "labels": LABELS,
        "structured_output": "auto", "temperature": 0.0, "max_tokens": 50, "answer_tries": 1,
        "max_in_flight": 4, "requests_per_minute": None, "timeout_seconds": 5.0, **options,
    }  # fmt: skip
    return create(frozen, TaskShare(notes=notes))


def is_probe(body: dict[str, Any]) -> bool:
    return QUESTION in body["messages"][1]["content"]


def says(content: str) -> Script:
    return lambda body: completion(content)


def answer_of(body: dict[str, Any]) -> str:
    return json.dumps(instance(schema_of(body)))


def fails(status: int, body: Any) -> Script:
    return lambda _: Reply(status=status, body=body)


OBEYS, NONSENSE = says('{"civic": true}'), says("I think that it is civic.")
UNKNOWN = fails(422, {"detail": "extra"})
SERVERS: dict[str, tuple[dict[str, Script], str]] = {
    "vLLM": (
        {"none": NONSENSE, "json_schema": bound, "json_object": OBEYS, "structured_outputs": bound},
        "json_schema",
    ),
    "llama.cpp, which rejects json_schema with a 500": (
        {"none": NONSENSE, "json_schema": fails(500, {}), "json_object": bound},
        "json_object",
    ),
    "a vLLM whose gateway knows no response_format": (
        {"none": OBEYS, "json_schema": UNKNOWN, "json_object": UNKNOWN,
         "structured_outputs": bound},
        "structured_outputs",
    ),
    "one that ignores what it does not know": (
        {"none": NONSENSE, "json_schema": NONSENSE, "json_object": bound},
        "json_object",
    ),
    "one that refuses what it does not know": (
        {"none": OBEYS, "json_schema": fails(400, error("unsupported", "unsupported")),
         "json_object": UNKNOWN, "structured_outputs": UNKNOWN},
        "none",
    ),
    "one whose model obeys though nothing binds it": (
        {"none": OBEYS, "json_schema": OBEYS, "json_object": OBEYS, "structured_outputs": OBEYS},
        "none",
    ),
    "one that cuts the answer short": (
        {"none": OBEYS, "json_object": bound,
         "json_schema": lambda body: completion(answer_of(body)[:-1], finish_reason="length")},
        "json_object",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", SERVERS)
def test_the_strictest_mode_that_is_proved_is_used(name: str) -> None:
    script, expected = SERVERS[name]
    if expected == "none":
        script = {**script, "none": OBEYS}
    with OpenAIStub(lambda body, _: script[mode_of(body)](body)) as server:
        found = answers(asker(server), posts("a", "b", "c"))
    assert [answer.values for answer in found.values()] == [VALUES] * 3
    asked = [mode_of(body) for body in server.bodies if not is_probe(body)]
    assert asked == [expected] * 3


def test_the_proof_word_is_only_in_the_schema() -> None:
    with OpenAIStub(lambda body, _: bound(body) if mode_of(body) != "none" else OBEYS({})) as it:
        answers(asker(it), posts("a"))
    probe = next(body for body in it.bodies if mode_of(body) == "json_schema")
    schema = probe["response_format"]["json_schema"]["schema"]
    (word,) = schema["properties"]["proof-word"]["enum"]
    assert schema["required"] == ["proof-word", "civic"]
    assert json.dumps(probe).count(word) == 1
    assert word not in json.dumps([body["messages"] for body in it.bodies])
    real = next(body for body in it.bodies if not is_probe(body))
    assert word not in json.dumps(real)
    assert probe["max_tokens"] == real["max_tokens"] + 64


def test_a_grammar_without_number_limits_still_counts_as_enforced() -> None:
    """What is out of range is asked again, and a reason in the end; without the schema it would
    be no better."""
    declared = [{"name": "anger", "type": "number", "maximum": 1}]

    def answer(body: dict[str, Any], nth: int) -> Reply:
        if mode_of(body) == "none":
            return NONSENSE(body)
        if is_probe(body):
            return bound(body)
        return completion(json.dumps(instance(schema_of(body)) | {"anger": 7}))

    with OpenAIStub(answer) as server:
        found = answers(asker(server, labels=declared), posts("a"))
    assert found["a"].reason == "invalid_answer: anger: '7' is not a valid number for this label"
    assert mode_of(server.bodies[-1]) == "json_schema"


def test_a_task_probes_its_server_once() -> None:
    with OpenAIStub(lambda body, _: bound(body) if mode_of(body) != "none" else OBEYS({})) as it:
        classifier = asker(it)
        for _ in range(3):
            answers(classifier, posts("a", "b"))
    assert sum(map(is_probe, it.bodies)) == 3  # unbound, json_schema with the word and without
    assert it.requests == 9


def test_a_configured_mode_is_only_asked_for_labels_and_nothing_if_there_are_no_posts(
    tmp_path: Path,
) -> None:
    with OpenAIStub(lambda body, _: bound(body)) as server:
        assert answers(asker(server, tmp_path / "notes"), []) == {}
        assert server.requests == 0
        for _ in range(2):  # the second task reads the first one's note
            answers(asker(server, tmp_path / "notes", structured_output="json_object"), posts("a"))
    assert [mode_of(body) for body in server.bodies] == ["json_object"] * 3
    assert [is_probe(body) for body in server.bodies] == [True, False, False]


def llama_like(body: dict[str, Any], nth: int = 0) -> Reply:
    return SERVERS["llama.cpp, which rejects json_schema with a 500"][0][mode_of(body)](body)


def test_other_tasks_use_the_note_instead_of_probing(tmp_path: Path) -> None:
    with OpenAIStub(llama_like) as server:
        answers(asker(server, tmp_path / "notes"), posts("a"))
        asked = sum(map(is_probe, server.bodies))
        found = answers(asker(server, tmp_path / "notes"), posts("b"))
    assert asked == 5  # unbound, json_schema twice, json_object, and for its labels
    assert sum(map(is_probe, server.bodies)) == asked
    assert found == {"b": Answer("at://0", VALUES)}
    assert Counter(mode_of(body) for body in server.bodies[asked:]) == {"json_object": 2}


def test_a_note_says_what_each_probe_was_answered(tmp_path: Path) -> None:
    with OpenAIStub(llama_like) as server:
        answers(asker(server, tmp_path / "notes"), posts("a"))
    (note,) = (tmp_path / "notes").iterdir()
    assert note.name.startswith("structured-output-")
    document = json.loads(note.read_text())
    assert document.pop("found_at")
    assert document == {
        "server": server.base_url,
        "model": "tiny",
        "mode": "json_object",
        "top_logprobs": 0,
        "said": {"json_schema": "HTTP 500: {}", "json_object": "honoured"},
    }


OTHERS: list[dict[str, Any]] = [
    {"model": "other"},
    {"labels": [{"name": "toxic", "type": "bool"}]},
]


@pytest.mark.parametrize("other", OTHERS, ids=["model", "labels"])
def test_another_model_or_other_labels_have_another_note(
    tmp_path: Path, other: dict[str, Any]
) -> None:
    with OpenAIStub(llama_like) as server:
        answers(asker(server, tmp_path), posts("a"))
        answers(asker(server, tmp_path, **other), posts("a"))
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize(
    "damaged",
    ["", "{", "[]", '{"mode": "json_object"}', '{"mode": "x", "top_logprobs": 0}',
     '{"mode": "none", "top_logprobs": true}', '{"mode": "none", "top_logprobs": -1}', "\xff"],
)  # fmt: skip
def test_a_damaged_note_is_replaced_after_a_new_probe(tmp_path: Path, damaged: str) -> None:
    with OpenAIStub(llama_like) as server:
        answers(asker(server, tmp_path), posts("a"))
        (note,) = tmp_path.iterdir()
        good = json.loads(note.read_text())
        note.write_text(damaged, encoding="latin-1")
        answers(asker(server, tmp_path), posts("a"))
        assert json.loads(note.read_text()).keys() == good.keys()
    assert sum(map(is_probe, server.bodies)) == 10


@pytest.mark.parametrize("passing", [503, 408, 200])
def test_a_probe_with_a_passing_failure_is_not_noted(tmp_path: Path, passing: int) -> None:
    """Otherwise one failure of a gateway would cost a whole run its constraints."""
    troubled = True

    def answer(body: dict[str, Any], nth: int) -> Reply:
        if mode_of(body) == "json_schema":
            return Reply(status=passing, body={}) if troubled else bound(body)
        return bound(body) if mode_of(body) == "json_object" else NONSENSE(body)

    with OpenAIStub(answer) as server:
        assert answers(asker(server, tmp_path), posts("a")) == {"a": Answer("at://0", VALUES)}
        assert list(tmp_path.iterdir()) == []
        troubled = False
        answers(asker(server, tmp_path), posts("a"))
    (note,) = tmp_path.iterdir()
    assert json.loads(note.read_text())["mode"] == "json_schema"


def test_a_note_that_cannot_be_written_costs_only_another_probe(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "notes").write_text("a file where the folder should be")
    with OpenAIStub(llama_like) as server:
        found = answers(asker(server, tmp_path / "notes"), posts("a"))
    assert found == {"a": Answer("at://0", VALUES)}
    assert str(tmp_path / "notes") in capsys.readouterr().out


def test_no_note_contains_the_key(tmp_path: Path) -> None:
    def answer(body: dict[str, Any], nth: int) -> Reply:
        if mode_of(body) == "none":
            return OBEYS(body)
        return Reply(status=400, body=error(f"{KEY} may not use that", "unsupported"))

    with OpenAIStub(answer) as server:
        answers(asker(server, tmp_path, api_key_env="LLM_KEY"), posts("a"))
    (note,) = tmp_path.iterdir()
    assert "[key] may not use that" in note.read_text()
    assert KEY not in note.read_text()


def test_a_server_that_no_longer_enforces_the_schema_gives_reasons_and_no_labels(
    tmp_path: Path,
) -> None:
    """It was restarted in another version. The note is old, but every answer is validated."""
    with OpenAIStub(llama_like) as server:
        answers(asker(server, tmp_path), posts("a"))
        port = server.port
    with OpenAIStub(lambda body, _: NONSENSE(body), port=port) as server:
        found = answers(asker(server, tmp_path), posts("a"))
    assert found["a"].reason == "invalid_answer: not JSON: 'I think that it is civic.'"


@pytest.mark.parametrize("status", [422, 404])
def test_a_note_that_the_server_contradicts_is_deleted(tmp_path: Path, status: int) -> None:
    """Otherwise a run that was rejected once, because the server changed, could never resume."""
    script = dict(SERVERS["vLLM"][0])
    with OpenAIStub(lambda body, _: script[mode_of(body)](body)) as server:
        answers(asker(server, tmp_path), posts("a"))
        script["json_schema"] = lambda _: Reply(status=status, body={"detail": "Not known here"})
        with pytest.raises(TaskError) as raised:
            answers(asker(server, tmp_path), posts("a"))
        assert raised.value.cause is Cause.REFUSED
        assert list(tmp_path.iterdir()) == []
        script["json_schema"] = UNKNOWN
        assert answers(asker(server, tmp_path), posts("a")) == {"a": Answer("at://0", VALUES)}
    (note,) = tmp_path.iterdir()
    assert json.loads(note.read_text())["mode"] == "structured_outputs"


def test_a_note_is_kept_when_a_single_post_is_rejected(tmp_path: Path) -> None:
    def answer(body: dict[str, Any], nth: int) -> Reply:
        if "bad" in body["messages"][1]["content"]:
            return Reply(status=400, body=error("flagged", "invalid_prompt"))
        return llama_like(body)

    with OpenAIStub(answer) as server:
        found = answers(asker(server, tmp_path), posts("bad"))
        assert found == {"bad": Answer("at://0", reason="http_400: invalid_prompt")}
    assert mode_of(server.bodies[-1]) == "json_object"
    assert is_probe(server.bodies[-1])
    assert len(list(tmp_path.iterdir())) == 1


def test_tasks_that_probe_at_the_same_time_write_the_same_note(tmp_path: Path) -> None:
    """Each waits in its first probe for the other's first probe."""
    both = threading.Barrier(2)

    def answer(body: dict[str, Any], nth: int) -> Reply:
        if nth <= 2:
            both.wait(60)
        return llama_like(body)

    with OpenAIStub(answer) as server, ThreadPoolExecutor(2) as pool:
        asked = [pool.submit(answers, asker(server, tmp_path), posts("a")) for _ in range(2)]
        found = [future.result() for future in asked]
    assert found == [{"a": Answer("at://0", VALUES)}] * 2
    (note,) = tmp_path.iterdir()
    assert json.loads(note.read_text())["mode"] == "json_object"


def test_a_long_first_post_does_not_affect_the_probe() -> None:
    """With that post as the probe, every mode would seem to fail."""

    def answer(body: dict[str, Any], nth: int) -> Reply:
        if "long" in body["messages"][1]["content"]:
            return Reply(status=400, body=error("too long", "context_length_exceeded"))
        return bound(body) if mode_of(body) == "json_schema" else NONSENSE(body)

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
def test_a_server_that_is_still_starting_is_waited_for_before_the_probe(
    name: str,
) -> None:
    def answer(body: dict[str, Any], nth: int) -> Reply:
        if nth <= 4:
            return STARTING[name](nth)
        return bound(body) if mode_of(body) == "json_schema" else NONSENSE(body)

    with OpenAIStub(answer) as server:
        assert answers(asker(server), posts("a")) == {"a": Answer("at://0", VALUES)}


def test_a_server_that_never_answers_ends_the_task_as_crashed() -> None:
    with OpenAIStub(lambda *_: Reply(status=503)) as server, pytest.raises(TaskError) as raised:
        list(asker(server).classify(posts("a")))
    assert raised.value.cause is Cause.UNAVAILABLE
    assert str(raised.value) == f"{server.base_url}/chat/completions: HTTP 503:  (6 tries)"


def test_a_constraint_at_which_the_server_fails_ends_the_run() -> None:
    """It still answers requests without constraints, but posts are never sent like that."""
    with OpenAIStub(llama_like) as server, pytest.raises(TaskError) as raised:
        list(asker(server, structured_output="json_schema").classify(posts("a", "b")))
    assert (raised.value.cause, raised.value.blames_post) == (Cause.REFUSED, False)
    assert "classifier.structured_output" in str(raised.value)
