"""Guard models against a scripted server: answers that a model with random weights cannot give."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline import usage
from pipeline.classifiers.base import TaskShare
from pipeline.classifiers.frozen_classifier import create
from pipeline.errors import Cause, TaskError
from pipeline.model import Answer, Column, JsonObject
from tests.pipeline.classifiers.classifier_setup import answers, posts
from tests.pipeline.classifiers.guard.asked_guards import CHAT, guard
from tests.servers.http import Reply
from tests.servers.openai_stub import OpenAIStub, completion, error

pytestmark = pytest.mark.usefixtures("quick_retries")

SENTENCE = "The sun is out today."
USAGE = {"prompt_tokens": 50, "completion_tokens": 3}
Tokens = list[tuple[str, dict[str, float]]]


def said(*tokens: tuple[str, dict[str, float]], **choice: Any) -> Reply:
    """Answer with these tokens, each with the probability of some alternatives."""
    listed = [
        {"token": text, "logprob": math.log(others[text]), "bytes": list(text.encode()),
         "top_logprobs": [{"token": other, "logprob": math.log(p)} for other, p in others.items()]}
        for text, others in tokens
    ]  # fmt: skip
    content = "".join(text for text, _ in tokens)
    return completion(content, usage=USAGE, logprobs={"content": listed}, **choice)


SAFE = said(("safe", {"safe": 0.9, "unsafe": 0.1}))


def answering(by_text: dict[str, Reply], otherwise: Reply = SAFE) -> Callable[..., Reply]:
    """Answer by the last message of a request."""
    return lambda body, nth: by_text.get(body["messages"][-1]["content"], otherwise)


def labeled(server: OpenAIStub, options: JsonObject, *texts: str) -> dict[str, Answer]:
    return answers(create(options, TaskShare()), posts(*texts))


def test_llama_guards_word_comes_after_an_empty_line_and_before_its_categories(
    tmp_path: Path,
) -> None:
    unsafe = said(("\n\n", {"\n\n": 1.0}), ("un", {"un": 0.75, "safe": 0.25}),
                  ("safe", {"safe": 1.0}), ("\nS1,S10", {"\nS1,S10": 1.0}))  # fmt: skip
    with OpenAIStub(answering({"I'll get you": unsafe})) as server:
        options = guard(tmp_path, server.base_url, categories=True, keep_raw=True)
        classifier = create(options, TaskShare())
        found = answers(classifier, posts("I'll get you", "Hello"))
    assert classifier.columns == (
        Column("unsafe", "flag"),
        Column("prob_unsafe", "number"),
        Column("categories", "text"),
        Column("llm_model_name", "text"),
        *usage.COLUMNS,
    )
    bad, good = found["I'll get you"], found["Hello"]
    assert bad.values == {"unsafe": True, "prob_unsafe": pytest.approx(0.75),
                          "categories": "S1,S10", "llm_model_name": "stub"}  # fmt: skip
    assert good.values == {"unsafe": False, "prob_unsafe": pytest.approx(0.1), "categories": None,
                           "llm_model_name": "stub"}  # fmt: skip
    assert bad.facts == {"llm_prompt_tokens": 50, "llm_completion_tokens": 3}
    assert json.loads(str(bad.raw)) == unsafe.body
    assert [{"role": "user", "content": "Hello"}] in [body["messages"] for body in server.bodies]


def test_qwen3guards_word_comes_after_its_prefix_and_has_three_grades(tmp_path: Path) -> None:
    words = {"Unsafe": "unsafe", "Controversial": "controversial", "Safe": "safe"}
    reply = said(("Safety:", {"Safety:": 1.0}), (" Contro", {" Contro": 0.5, " Safe": 0.3}),
                 ("versial", {"versial": 1.0}), ("\n", {"\n": 1.0}),
                 ("Categories: Violent", {"Categories: Violent": 1.0}))  # fmt: skip
    with OpenAIStub(lambda *_: reply) as server:
        options = guard(tmp_path, server.base_url, label="safety", words=words,
                        answer_prefix="Safety:", categories=True)  # fmt: skip
        (answer,) = labeled(server, options, "x").values()
    assert answer.values == {
        "safety": "controversial",
        "prob_safety": pytest.approx(0.625),
        # Nothing says how probable the third grade was.
        "probs_safety": '{"unsafe": null, "controversial": 0.625, "safe": 0.375}',
        "categories": "Violent",
        "llm_model_name": "stub",
    }


def test_words_may_stand_for_numbers(tmp_path: Path) -> None:
    reply = said(("2", {"2": 0.6, "1": 0.4}))
    with OpenAIStub(lambda *_: reply) as server:
        options = guard(tmp_path, server.base_url, label="grade", words={"1": 0, "2": 0.5, "3": 1})
        (answer,) = labeled(server, options, "x").values()
    assert answer.values is not None
    assert (answer.values["grade"], answer.values["prob_grade"]) == (0.5, pytest.approx(0.6))
    assert answer.values["probs_grade"] == '{"0": 0.4, "0.5": 0.6, "1": null}'


CUT = {"finish_reason": "length"}
UNLABELED: dict[str, tuple[Reply, str]] = {
    "another word": (said(("I cannot", {"I cannot": 1.0})), "invalid_answer: not a declared word"),
    "the words listed, but not said": (
        said(("Maybe", {"Maybe": 0.4, "safe": 0.3, "unsafe": 0.3})), "invalid_answer",
    ),
    "half a word": (said(("uns", {"uns": 1.0}), **CUT), "answer_cut_at_max_tokens"),
    "only a blank": (said(("\n\n", {"\n\n": 1.0}), **CUT), "answer_cut_at_max_tokens"),
    "half of the categories": (
        said(("unsafe\nS1,S1", {"unsafe\nS1,S1": 1.0}), **CUT), "answer_cut_at_max_tokens",
    ),
    "a refusal": (said(("safe", {"safe": 1.0}), finish_reason="content_filter"), "content_filter"),
    "an error": (Reply(status=400, body=error("too long", "context_length_exceeded")),
                 "context_length_exceeded"),
}  # fmt: skip


@pytest.mark.parametrize("name", UNLABELED)
def test_a_post_without_a_declared_word_has_a_reason_and_no_label(
    name: str, tmp_path: Path
) -> None:
    reply, reason = UNLABELED[name]
    with OpenAIStub(answering({"odd": reply})) as server:
        found = labeled(server, guard(tmp_path, server.base_url, categories=True), "odd", "even")
        asked = [body["messages"][-1]["content"] for body in server.bodies]
    assert found["odd"].values is None
    assert str(found["odd"].reason).startswith(reason)
    assert found["even"].values is not None
    assert asked.count("odd") == 1  # the same question gets the same answer


def test_an_answer_without_tokens_gives_a_label_and_no_probability(tmp_path: Path) -> None:
    with OpenAIStub(answering({"odd": completion("Unsafe.")})) as server:
        found = labeled(server, guard(tmp_path, server.base_url), "odd")
    assert found["odd"].values == {
        "unsafe": True, "prob_unsafe": None, "llm_model_name": "stub",
    }  # fmt: skip


def test_a_model_that_does_not_say_the_words_ends_the_run_before_the_first_post(
    tmp_path: Path,
) -> None:
    with OpenAIStub(lambda *_: said(("Yes", {"Yes": 1.0}))) as server:
        with pytest.raises(TaskError) as raised:
            labeled(server, guard(tmp_path, server.base_url), "a")
        assert {body["messages"][-1]["content"] for body in server.bodies} == {SENTENCE}
    assert raised.value.cause is Cause.REFUSED
    assert "classifier.words" in str(raised.value)


def test_a_server_without_logprobs_ends_the_run_unless_labels_alone_will_do(
    tmp_path: Path,
) -> None:
    notes = tmp_path / "notes"
    with OpenAIStub(lambda *_: completion("safe")) as server:
        for _ in range(2):
            with pytest.raises(TaskError) as raised:
                classifier = create(guard(tmp_path, server.base_url), TaskShare(notes=notes))
                list(classifier.classify(posts("a")))
            assert raised.value.cause is Cause.REFUSED
            assert "classifier.scores" in str(raised.value)
            assert list(notes.iterdir()) == []  # a server that was started again is asked again
        assert {body["messages"][-1]["content"] for body in server.bodies} == {SENTENCE}
        found = labeled(server, guard(tmp_path, server.base_url, scores=False), "a")
    assert found["a"].values == {"unsafe": False, "llm_model_name": "stub"}
    assert "logprobs" not in server.bodies[-1]


ASKING: JsonObject = {
    "label": None,
    "messages": [{"role": "system", "content": "Is it {question}"}, *CHAT],
    "questions": [
        {"label": "curious", "question": "curious?"}, {"label": "kind", "question": "{kind}?"}
    ],
    "words": {"yes": True, "no": False},
    "keep_raw": True,
}  # fmt: skip
YES, NO = (said((word, {"yes": p, "no": 1 - p})) for word, p in (("yes", 0.8), ("no", 0.3)))


def test_each_question_is_a_request_of_its_own_and_a_column_of_its_own(tmp_path: Path) -> None:
    with OpenAIStub(
        lambda body, _: YES if "curious" in body["messages"][0]["content"] else NO
    ) as server:
        (answer,) = labeled(server, guard(tmp_path, server.base_url, **ASKING), "Hi").values()
        about = [
            body["messages"] for body in server.bodies if body["messages"][1]["content"] == "Hi"
        ]
    assert [messages[0]["content"] for messages in about] == ["Is it curious?", "Is it {kind}?"]
    assert answer.values == {
        "curious": True, "prob_curious": pytest.approx(0.8),
        "kind": False, "prob_kind": pytest.approx(0.3),
        "llm_model_name": "stub",
    }  # fmt: skip
    assert answer.facts == {"llm_prompt_tokens": 100, "llm_completion_tokens": 6}
    responses = json.loads(str(answer.raw))
    assert {label: json.loads(text) for label, text in responses.items()} == {
        "curious": YES.body, "kind": NO.body,
    }  # fmt: skip


def test_a_post_with_one_question_unanswered_has_no_label_and_is_billed_for_all_that_were_asked(
    tmp_path: Path,
) -> None:
    def answer(body: dict[str, Any], nth: int) -> Reply:
        is_odd = (
            body["messages"][1]["content"] == "odd" and "kind" in body["messages"][0]["content"]
        )
        return said(("well", {"well": 1.0})) if is_odd else YES

    with OpenAIStub(answer) as server:
        found = labeled(server, guard(tmp_path, server.base_url, **ASKING), "odd", "even")
    assert found["odd"].values is None
    assert str(found["odd"].reason).startswith("invalid_answer")
    assert found["odd"].facts == {"llm_prompt_tokens": 100, "llm_completion_tokens": 6}
    assert found["even"].values is not None


def test_every_question_is_proved_with_the_fixed_sentence(tmp_path: Path) -> None:
    with OpenAIStub(
        lambda body, _: YES if "curious" in body["messages"][0]["content"] else SAFE
    ) as server:
        with pytest.raises(TaskError) as raised:
            labeled(server, guard(tmp_path, server.base_url, **ASKING), "a")
        assert {body["messages"][1]["content"] for body in server.bodies} == {SENTENCE}
    assert raised.value.cause is Cause.REFUSED
