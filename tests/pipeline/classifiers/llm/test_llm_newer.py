"""OpenAI's newer models, which reject what others need: detected, or reported with advice."""

import json
from pathlib import Path
from typing import Any

import pytest

from pipeline.classifiers.base import TaskShare
from pipeline.classifiers.llm.classifier import Llm
from pipeline.errors import Cause, TaskError
from pipeline.model import Answer, LabelValue
from tests.pipeline.classifiers.classifier_setup import answers, options_of, posts, verdicts
from tests.pipeline.classifiers.llm.fixed_sentence import about_posts, labels_fixed_sentence
from tests.servers.bound import bound, mode_of
from tests.servers.http import Reply
from tests.servers.openai_stub import OpenAIStub, completion, error, newer_model

pytestmark = pytest.mark.usefixtures("quick_retries")

CIVIC: list[dict[str, Any]] = [{"name": "civic", "type": "bool"}]
VALUES: dict[str, LabelValue] = {"civic": True, "llm_model_name": "stub"}
GOOD = '{"civic": true}'


def asker(server: OpenAIStub, folder: Path, **values: Any) -> Llm:
    (folder / "prompt.txt").write_text("Label.")
    given = {"base_url": server.base_url, "model": "tiny", "prompt": "prompt.txt", "labels": CIVIC,
             "temperature": 1, "max_tokens": 50, "max_in_flight": 1, **values}  # fmt: skip
    return Llm(options_of("llm", given, folder), TaskShare(notes=folder / "notes"))


def served(body: dict[str, Any], nth: int = 0) -> Reply:
    return completion(GOOD) if mode_of(body) == "none" else bound(body)


def limits(server: OpenAIStub) -> list[dict[str, int]]:
    names = ("max_tokens", "max_completion_tokens")
    return [{name: body[name] for name in names if name in body} for body in server.bodies]


def note(folder: Path) -> dict[str, Any]:
    (path,) = (folder / "notes").iterdir()
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def test_a_model_that_rejects_max_tokens_gets_max_completion_tokens(tmp_path: Path) -> None:
    with OpenAIStub(newer_model(served)) as server:
        assert verdicts(asker(server, tmp_path), posts("a")) == {"a": Answer("at://0", VALUES)}
    assert limits(server) == [
        {"max_tokens": 50},
        {"max_completion_tokens": 50},
        {"max_completion_tokens": 50 + 64},
        {"max_completion_tokens": 50},
        {"max_completion_tokens": 50},
    ]
    assert (note(tmp_path)["mode"], note(tmp_path)["token_limit"]) == (
        "json_schema",
        "max_completion_tokens",
    )


def test_the_token_limit_field_is_noted_for_the_other_tasks(tmp_path: Path) -> None:
    with OpenAIStub(newer_model(served)) as server:
        answers(asker(server, tmp_path), posts("a"))
        asked = server.requests
        answers(asker(server, tmp_path), posts("b"))
    assert limits(server)[asked:] == [{"max_completion_tokens": 50}]


def test_a_note_of_an_older_version_is_still_read(tmp_path: Path) -> None:
    """It does not name the field, which is then the older one until that is rejected."""
    with OpenAIStub(served) as server:
        answers(asker(server, tmp_path), posts("a"))
        assert "token_limit" not in note(tmp_path)
        asked, port = server.requests, server.port
        answers(asker(server, tmp_path), posts("b"))
    assert limits(server)[asked:] == [{"max_tokens": 50}]
    with OpenAIStub(newer_model(served), port=port) as server:
        found = verdicts(asker(server, tmp_path), posts("a"))
    assert found == {"a": Answer("at://0", VALUES)}
    assert limits(server) == [{"max_tokens": 50}, {"max_completion_tokens": 50}]


def test_a_note_with_an_unknown_field_is_replaced_after_a_new_probe(tmp_path: Path) -> None:
    with OpenAIStub(newer_model(served)) as server:
        answers(asker(server, tmp_path), posts("a"))
        (path,) = (tmp_path / "notes").iterdir()
        path.write_text(json.dumps(note(tmp_path) | {"token_limit": "messages"}))
        answers(asker(server, tmp_path), posts("a"))
    assert note(tmp_path)["token_limit"] == "max_completion_tokens"


@pytest.mark.parametrize("several", [1, 3])
def test_with_a_configured_mode_the_first_request_detects_the_field(
    tmp_path: Path, several: int
) -> None:
    def answer(body: dict[str, Any], nth: int) -> Reply:
        return bound(body)

    with OpenAIStub(newer_model(answer)) as server:
        classifier = asker(
            server, tmp_path, structured_output="json_schema", posts_per_prompt=several
        )
        found = verdicts(classifier, posts("a", "b", "c"))
    assert [answer.values for answer in found.values()] == [VALUES] * 3
    later = [{"max_completion_tokens": 50 * several}] * (3 // several)
    assert limits(server) == [{"max_tokens": 50}, {"max_completion_tokens": 50}, *later]


def test_a_rejected_number_of_tokens_does_not_change_the_field(tmp_path: Path) -> None:
    refused = Reply(
        status=400, body=error("max_tokens is too large", "invalid_value", param="max_tokens")
    )
    with OpenAIStub(lambda *_: refused) as server, pytest.raises(TaskError):
        answers(asker(server, tmp_path), posts("a"))
    assert limits(server) == [{"max_tokens": 50}] * server.requests


ADVICE = ": set classifier.temperature to null to use the model's own"


@pytest.mark.parametrize("mode", ["auto", "json_schema"])
@pytest.mark.parametrize(
    ("takes_one", "complaint"),
    [
        (True, "Unsupported value: 'temperature' does not support 0 with this model. Only the "
         "default (1) value is supported."),
        (False, "Unsupported parameter: 'temperature' is not supported with this model."),
    ],
)  # fmt: skip
def test_a_rejected_temperature_ends_the_run_and_is_not_dropped(
    tmp_path: Path, mode: str, takes_one: bool, complaint: str
) -> None:
    with (
        OpenAIStub(newer_model(served, temperature=takes_one)) as server,
        pytest.raises(TaskError) as raised,
    ):
        answers(asker(server, tmp_path, temperature=0, structured_output=mode), posts("a"))
    assert (raised.value.cause, raised.value.stops_run) == (Cause.REFUSED, True)
    assert complaint in str(raised.value)
    assert str(raised.value).endswith(ADVICE)


@pytest.mark.parametrize("takes_one", [True, False])
def test_a_temperature_of_null_is_not_sent(tmp_path: Path, takes_one: bool) -> None:
    with OpenAIStub(newer_model(served, temperature=takes_one)) as server:
        found = verdicts(asker(server, tmp_path, temperature=None), posts("a"))
    assert found == {"a": Answer("at://0", VALUES)}
    assert not any("temperature" in body for body in server.bodies)


@pytest.mark.parametrize(("temperature", "sent"), [(1, [1.0] * 3), (None, [None] * 3)])
def test_an_invalid_answer_at_temperature_1_or_null_is_retried_unchanged(
    tmp_path: Path, temperature: int | None, sent: list[float | None]
) -> None:
    """Answers vary at that temperature anyway, and 1.3 would be rejected with the post."""
    answer = labels_fixed_sentence(GOOD, lambda *_: completion("?"))
    with OpenAIStub(newer_model(answer)) as server:
        classifier = asker(server, tmp_path, temperature=temperature, structured_output="none")
        found = verdicts(classifier, posts("a"))
    assert found == {"a": Answer("at://0", reason="invalid_answer: not JSON: '?'")}
    assert [body.get("temperature") for body in about_posts(server)] == sent


@pytest.mark.parametrize(
    ("temperature", "request_fields", "asked"),
    [
        (None, {"seed": 7}, 2),
        (1, {"seed": 7}, 2),
        (None, {"options": {"random_seed": 7}}, 2),
        (0.8, {"seed": 7}, 3),
        (0, {"seed": 7}, 4),
        (None, {"seed": None}, 4),
        (None, {"top_p": 0.5}, 4),
    ],
)
def test_with_a_seed_the_same_invalid_answer_is_paid_for_twice_at_most(
    tmp_path: Path, temperature: float | None, request_fields: dict[str, object], asked: int
) -> None:
    with OpenAIStub(labels_fixed_sentence(GOOD, lambda *_: completion("?"))) as server:
        classifier = asker(
            server,
            tmp_path,
            temperature=temperature,
            structured_output="none",
            request=request_fields,
            answer_tries=4,
        )
        found = verdicts(classifier, posts("a"))
    assert found == {"a": Answer("at://0", reason="invalid_answer: not JSON: '?'")}
    assert len(about_posts(server)) == asked


def test_a_server_that_varies_its_answers_despite_a_seed_is_asked_again(tmp_path: Path) -> None:
    def answer(body: dict[str, Any], nth: int) -> Reply:
        return completion(GOOD if nth == 3 else f"{nth}")

    with OpenAIStub(labels_fixed_sentence(GOOD, answer)) as server:
        classifier = asker(
            server, tmp_path, temperature=None, structured_output="none", request={"seed": 7}
        )
        found = verdicts(classifier, posts("a"))
    assert found == {"a": Answer("at://0", VALUES)}
    assert len(about_posts(server)) == 3


def test_a_retry_is_never_above_temperature_1(tmp_path: Path) -> None:
    """Some models accept no more, and would reject the post for that."""
    with OpenAIStub(labels_fixed_sentence(GOOD, lambda *_: completion("?"))) as server:
        answers(asker(server, tmp_path, temperature=0.8, structured_output="none"), posts("a"))
    assert [body["temperature"] for body in about_posts(server)] == [0.8, 1.0, 1.0]


def test_forbidden_logprobs_cost_the_probabilities_but_not_the_run(
    tmp_path: Path,
) -> None:
    with OpenAIStub(newer_model(served, logprobs=False)) as server:
        found = verdicts(asker(server, tmp_path, scores=True), posts("a"))
    assert found == {"a": Answer("at://0", VALUES | {"civic_prob": None})}
    assert (note(tmp_path)["mode"], note(tmp_path)["top_logprobs"]) == ("json_schema", 0)
    assert note(tmp_path)["said"]["top_logprobs 5"].startswith("HTTP 403: ")


def test_a_key_without_access_stops_the_run(tmp_path: Path) -> None:
    forbidden = Reply(status=403, body=error("You do not have access to this model", None))
    with OpenAIStub(lambda *_: forbidden) as server, pytest.raises(TaskError) as raised:
        answers(asker(server, tmp_path, scores=True), posts("a"))
    assert raised.value.stops_run
    assert server.requests == 1


def test_a_revoked_key_is_not_noted_as_missing_logprobs(
    tmp_path: Path,
) -> None:
    """Otherwise the next attempt, with a valid key, would not request logprobs either."""
    forbidden = Reply(status=403, body=error("The project is suspended", None))

    def answer(body: dict[str, Any], nth: int) -> Reply:
        return served(body) if nth == 1 else forbidden

    with OpenAIStub(answer) as server, pytest.raises(TaskError, match="suspended") as raised:
        answers(asker(server, tmp_path, scores=True), posts("a"))
    assert raised.value.cause is Cause.REFUSED
    assert not (tmp_path / "notes").exists()


def test_a_schema_rejected_for_a_keyword_costs_the_constraint_but_not_the_run(
    tmp_path: Path,
) -> None:
    """Labels are validated here anyway. The note says why no schema is enforced."""
    labels = [{"name": "topic", "type": "text", "max_length": 5}]
    with OpenAIStub(newer_model(lambda *_: completion('{"topic": "war"}'),
                                keywords=["maxLength"])) as server:  # fmt: skip
        found = verdicts(asker(server, tmp_path, labels=labels), posts("a"))
    assert found == {"a": Answer("at://0", {"topic": "war", "llm_model_name": "stub"})}
    assert mode_of(server.bodies[-1]) == "none"
    findings = note(tmp_path)["said"]
    assert "'maxLength' is not permitted." in findings["json_schema"]
    assert "Unknown parameter: 'response_format.schema'." in findings["json_object"]
    assert "Unknown parameter: 'structured_outputs'." in findings["structured_outputs"]
