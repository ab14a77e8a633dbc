"""`scores: true`: probabilities where the server gives logprobs, null where it does not."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline import usage
from pipeline.classifiers.base import TaskShare
from pipeline.classifiers.frozen_classifier import create
from pipeline.model import Column
from tests.pipeline.classifiers.classifier_setup import answers, frozen_options, posts
from tests.pipeline.classifiers.llm.fixed_sentence import about_posts
from tests.servers.bound import instance
from tests.servers.http import Reply
from tests.servers.openai_stub import OpenAIStub, completion, error

pytestmark = pytest.mark.usefixtures("quick_retries")

LABELS: list[dict[str, Any]] = [
    {"name": "toxic", "type": "bool"},
    {"name": "side", "type": "choice", "choices": ["left", "right", None]},
    {"name": "anger", "type": "number"},
]
PLAIN = {"toxic": True, "side": "left", "anger": 0.0, "llm_model_name": "stub"}
SCORED = {
    **PLAIN,
    "toxic_prob": pytest.approx(0.75),
    "side_prob": pytest.approx(0.8),
    "side_probs": '{"left": 0.8, "right": 0.2, "null": null}',
}
UNSCORED = {**PLAIN, "toxic_prob": None, "side_prob": None, "side_probs": None}


def frozen(folder: Path, base_url: str = "http://h", **values: Any) -> dict[str, Any]:
    (folder / "prompt.txt").write_text("You label posts.")
    return frozen_options({"type": "llm", "base_url": base_url, "model": "tiny",
             "prompt": "prompt.txt",
             "labels": LABELS, "structured_output": "json_schema", "scores": True, **values},
            folder,)  # fmt: skip


def logprobs(*tokens: tuple[str, dict[str, float]]) -> dict[str, Any]:
    def one(text: str, logprob: float) -> dict[str, Any]:
        return {"token": text, "logprob": logprob, "bytes": list(text.encode())}

    return {
        "content": [
            {**one(text, -0.1), "top_logprobs": [one(t, p) for t, p in others.items()]}
            for text, others in tokens
        ]
    }


def telling(body: dict[str, Any]) -> Reply:
    """Answer as vLLM does: ln 0.6 = -0.51, ln 0.2 = -1.61; ln 0.4 = -0.92, ln 0.1 = -2.30."""
    findings = logprobs(
        ('{"toxic": ', {}),
        ("true", {"true": -0.5108256, "false": -1.6094379, "maybe": -2.0}),
        (', "side": "', {}),
        ("left", {"left": -0.9162907, "right": -2.3025851, "center": -1.0}),
        ('", "anger": 0}', {}),
    )
    content = "".join(one["token"] for one in findings["content"])
    return completion(content, logprobs=findings if body.get("logprobs") else None)


def schema(body: dict[str, Any]) -> Any:
    return body.get("response_format", {}).get("json_schema", {}).get("schema", {"enum": [""]})


def silent(body: dict[str, Any]) -> Reply:
    return completion(json.dumps(instance(schema(body))))


def at_most_five(body: dict[str, Any]) -> Reply:
    if body.get("top_logprobs", 0) > 5:
        return Reply(status=400, body=error("top_logprobs must be at most 5", "invalid_value"))
    return telling(body)


def knows_none(body: dict[str, Any]) -> Reply:
    """Answer as transformers serve does: 422 to what it does not know."""
    if "logprobs" in body:
        return Reply(status=422, body={"detail": "Unexpected keys in the request: {'logprobs'}"})
    return silent(body)


def test_a_label_has_probability_columns(tmp_path: Path) -> None:
    with OpenAIStub(lambda body, _: telling(body)) as server:
        classifier = create(frozen(tmp_path, server.base_url), TaskShare())
        (answer,) = classifier.classify(posts("a"))
    assert answer.values == SCORED
    assert classifier.columns == (
        Column("toxic", "flag"),
        Column("side", "text"),
        Column("anger", "number"),
        Column("toxic_prob", "number"),
        Column("side_prob", "number"),
        Column("side_probs", "text"),
        Column("llm_model_name", "text"),
        *usage.COLUMNS,
    )
    assert (server.bodies[-1]["logprobs"], server.bodies[-1]["top_logprobs"]) == (True, 20)


REFUSED = "HTTP 422: "
SERVERS: dict[str, tuple[Callable[[dict[str, Any]], Reply], int, Any, dict[str, str]]] = {
    "gives fewer": (at_most_five, 5, SCORED,
                    {"top_logprobs 20": "HTTP 400: ", "top_logprobs 5": "honoured"}),
    "ignores it": (silent, 0, UNSCORED, {"top_logprobs 20": "ignored: none in the reply"}),
    "refuses it": (knows_none, 0, UNSCORED,
                   {"top_logprobs 20": REFUSED, "top_logprobs 5": REFUSED}),
}  # fmt: skip


@pytest.mark.parametrize("name", SERVERS)
def test_the_number_of_logprobs_is_detected_once_and_noted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    answer, top, expected, findings = SERVERS[name]
    with OpenAIStub(lambda body, _: answer(body)) as server:
        options = frozen(tmp_path, server.base_url)
        for _ in range(2):
            classifier = create(options, TaskShare(notes=tmp_path / "notes"))
            found = answers(classifier, posts("a", "b"))
            assert [answer.values for answer in found.values()] == [expected] * 2
    assert [body.get("top_logprobs", 0) for body in server.bodies[-4:]] == [top] * 4
    (note,) = (tmp_path / "notes").iterdir()
    noted = json.loads(note.read_text())
    assert noted["top_logprobs"] == top
    assert noted["said"].keys() == findings.keys()
    assert all(noted["said"][way].startswith(words) for way, words in findings.items())
    warning = f"{server.base_url} gives no logprobs: no label has a probability\n"
    assert capsys.readouterr().out == ("" if top else warning * 2)


def test_an_answer_without_logprobs_gives_a_label_without_probability(tmp_path: Path) -> None:
    def answer(body: dict[str, Any], nth: int) -> Reply:
        return silent(body) if "quiet" in body["messages"][1]["content"] else telling(body)

    with OpenAIStub(answer) as server:
        found = answers(create(frozen(tmp_path, server.base_url), TaskShare()), posts("quiet", "b"))
    assert found["quiet"].values == UNSCORED
    assert found["b"].values == SCORED


def test_without_scores_no_logprobs_are_requested(tmp_path: Path) -> None:
    with OpenAIStub(lambda body, _: telling(body)) as server:
        classifier = create(frozen(tmp_path, server.base_url, scores=False), TaskShare())
        (answer,) = classifier.classify(posts("a"))
    assert answer.values == PLAIN
    assert [("logprobs" in body, "top_logprobs" in body) for body in about_posts(server)] == [
        (False, False)
    ]
