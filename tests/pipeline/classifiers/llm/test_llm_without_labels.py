"""A configuration that labels nothing ends the run at once, and shows an answer."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from pipeline.classifiers.base import TaskShare
from pipeline.classifiers.llm.answer_problems import PROBLEMS, AnswerProblem
from pipeline.classifiers.llm.classifier import Llm
from pipeline.errors import Cause, TaskError
from pipeline.model import Answer
from pipeline.terminal import one_line
from tests.pipeline.classifiers.classifier_setup import KEY, chain, options_of, posts
from tests.pipeline.classifiers.llm.fixed_sentence import (
    about_posts,
    is_fixed_sentence,
    labels_fixed_sentence,
)
from tests.servers.bound import bound, mode_of
from tests.servers.http import Reply
from tests.servers.openai_stub import OpenAIStub, completion, error

pytestmark = pytest.mark.usefixtures("quick_retries", "llm_key")

GOOD = '{"stance": "pro"}'
LABELS = [{"name": "stance", "type": "choice", "choices": ["pro", "anti"]}]
MANY = posts(*(f"post {number}" for number in range(300)))


def asker(server: OpenAIStub, folder: Path, **values: Any) -> Llm:
    (folder / "prompt.txt").write_text("Label.")
    given = {"base_url": server.base_url, "model": "tiny", "prompt": "prompt.txt",
             "labels": LABELS, "structured_output": "none", "max_in_flight": 1,
             **values}  # fmt: skip
    return Llm(options_of("llm", given, folder), TaskShare(notes=folder / "notes"))


def message(**fields: Any) -> Reply:
    parts = {"role": "assistant", "content": None, **fields}
    return Reply(body={"choices": [{"message": parts, "finish_reason": "stop"}]})


USELESS: dict[str, tuple[Reply, AnswerProblem]] = {
    "thinking used up the tokens": (completion("", finish_reason="length"), AnswerProblem.CUT),
    "cut in its thinking": (completion("<think>Well", finish_reason="length"), AnswerProblem.CUT),
    "thinking without an end": (completion("<think>Well"), AnswerProblem.ONLY_THINKING),
    "no reasoning parser": (
        message(reasoning_content=GOOD), AnswerProblem.ONLY_REASONING,
    ),
    "a newer field for reasoning": (
        message(reasoning=GOOD, content=""), AnswerProblem.ONLY_REASONING,
    ),
    "parts that only think": (
        message(content=[{"type": "thinking", "thinking": [{"type": "text", "text": GOOD}]}]),
        AnswerProblem.ONLY_REASONING,
    ),
    "nothing": (message(), AnswerProblem.NO_CONTENT),
    "a call of a tool": (
        message(tool_calls=[{"function": {"arguments": GOOD}}]), AnswerProblem.NO_CONTENT,
    ),
    "prose": (completion("The stance is pro."), AnswerProblem.NOT_JSON),
    "a list": (completion(f"[{GOOD}]"), AnswerProblem.NOT_AN_OBJECT),
    "another object": (completion('{"answer": "pro"}'), AnswerProblem.LABEL_MISSING),
    "a choice that is not declared": (
        completion('{"stance": "neutral"}'), AnswerProblem.LABEL_WRONG,
    ),
    "a refusal": (message(refusal="I will not."), AnswerProblem.REFUSAL),
    "a filter": (
        completion(None, finish_reason="content_filter"), AnswerProblem.CONTENT_FILTER,
    ),
    "an image": (
        message(content=[{"type": "image_url", "image_url": {}}]), AnswerProblem.UNCLEAR,
    ),
}  # fmt: skip


def refused(server: OpenAIStub, folder: Path, **values: Any) -> tuple[TaskError, list[Answer]]:
    answered: list[Answer] = []
    with pytest.raises(TaskError) as raised:
        for answer in asker(server, folder, **values).classify(MANY):
            answered.append(answer)
    assert (raised.value.cause, raised.value.stops_run) == (Cause.REFUSED, True)
    return raised.value, answered


@pytest.mark.parametrize("mode", ["none", "json_schema"])
@pytest.mark.parametrize("name", USELESS)
def test_a_fixed_sentence_without_a_label_ends_the_run_before_any_post(
    tmp_path: Path, name: str, mode: str
) -> None:
    reply, problem = USELESS[name]
    with OpenAIStub(lambda *_: reply) as server:
        fault, answered = refused(server, tmp_path, structured_output=mode)
        assert about_posts(server) == []
    assert answered == []
    assert len(server.bodies) == (3 if PROBLEMS[problem].is_asked_again else 1)
    assert PROBLEMS[problem].advice in str(fault)


@pytest.mark.parametrize("name", USELESS)
def test_detecting_the_mode_of_a_server_that_labels_nothing_ends_the_run_too(
    tmp_path: Path, name: str
) -> None:
    with OpenAIStub(lambda *_: USELESS[name][0]) as server:
        refused(server, tmp_path, structured_output="auto")
        assert about_posts(server) == []
        assert not (tmp_path / "notes").exists()


def test_a_prompt_that_does_not_fit_the_model_ends_the_run(tmp_path: Path) -> None:
    too_long = Reply(status=400, body=error("too long", "context_length_exceeded"))
    with OpenAIStub(lambda *_: too_long) as server:
        refused(server, tmp_path)
        assert server.requests == 1


def test_the_message_shows_the_answer_without_the_key_and_safely(tmp_path: Path) -> None:
    answer = f"\x1b[31m{KEY} says\nno \u202e" + "x" * 1000
    with OpenAIStub(lambda *_: completion(answer)) as server:
        fault, _ = refused(server, tmp_path, api_key_env="LLM_KEY")
    shown = one_line(f"[key] says no {'x' * 1000}", 300)
    assert str(fault).endswith(f"The answer was: {shown}")
    assert KEY not in chain(fault)


def test_a_key_that_the_answer_escapes_is_redacted_as_well(tmp_path: Path) -> None:
    body = completion("").body
    assert isinstance(body, dict)
    body["choices"][0]["message"] = {"role": "assistant", "content": None, "note": KEY}
    text = json.dumps(body).replace(KEY, "".join(f"\\u{ord(sign):04x}" for sign in KEY))
    with OpenAIStub(lambda *_: Reply(body=text)) as server:
        fault, _ = refused(server, tmp_path, api_key_env="LLM_KEY")
    assert KEY not in chain(fault)


def test_the_fixed_sentence_has_all_its_tries(tmp_path: Path) -> None:
    def answer(body: dict[str, Any], nth: int) -> Reply:
        return completion(GOOD if nth >= 3 else "Sunny.")

    with OpenAIStub(answer) as server:
        assert [one.values is not None for one in asker(server, tmp_path).classify(MANY)] == [
            True
        ] * len(MANY)
    assert [body["temperature"] for body in server.bodies[:3]] == [0.0, 0.3, 0.6]


def test_a_mode_that_the_server_enforces_but_whose_answers_are_cut_ends_the_run(
    tmp_path: Path,
) -> None:
    """The word that proves a mode has tokens of its own; the labels may have too few."""

    def answer(body: dict[str, Any], nth: int) -> Reply:
        if mode_of(body) == "none" or "proof-word" in json.dumps(body):
            return bound(body) if mode_of(body) != "none" else completion("?")
        return completion('{"stance": "', finish_reason="length")

    with OpenAIStub(answer) as server:
        refused(server, tmp_path, structured_output="auto")
        assert about_posts(server) == []


Script = Callable[[dict[str, Any], int], Reply]
LATER: dict[str, Script] = {
    "invalid": lambda *_: completion("Sunny."),
    "cut": lambda *_: completion("", finish_reason="length"),
    "filtered": lambda *_: Reply(status=400, body=error("x", "content_filter")),
}


@pytest.mark.parametrize("name", LATER)
def test_a_server_that_stops_labeling_ends_the_run_after_twenty_posts(
    tmp_path: Path, name: str
) -> None:
    """It was restarted without its reasoning parser. What was paid for is kept."""
    labeled = 5

    def answer(body: dict[str, Any], nth: int) -> Reply:
        return completion(GOOD) if nth <= 1 + labeled else LATER[name](body, nth)

    with OpenAIStub(answer) as server:
        _, answered = refused(server, tmp_path, answer_tries=1)
    assert [one.values is not None for one in answered] == [True] * labeled + [False] * 20
    assert [is_fixed_sentence(body) for body in server.bodies] == [True] + [False] * 25 + [True]
    assert list((tmp_path / "notes").iterdir()) == []  # the next task proves it again


def test_posts_that_cannot_be_labeled_do_not_end_the_run(tmp_path: Path) -> None:
    """If the fixed sentence is labeled, the posts are at fault, however many there are."""
    with OpenAIStub(labels_fixed_sentence(GOOD, LATER["filtered"])) as server:
        answered = list(asker(server, tmp_path).classify(MANY[:65]))
    assert {one.reason for one in answered} == {"content_filter"}
    assert sum(map(is_fixed_sentence, server.bodies)) == 1 + 65 // 20


@pytest.mark.parametrize("name", ["invalid", "cut"])
@pytest.mark.parametrize("in_flight", [1, 64])
def test_a_configuration_that_labels_only_the_fixed_sentence_ends_the_run(
    tmp_path: Path, name: str, in_flight: int
) -> None:
    """A short sentence may fit where a model thinks too long about posts."""
    with OpenAIStub(labels_fixed_sentence(GOOD, LATER[name])) as server:
        fault, answered = refused(server, tmp_path, answer_tries=1, max_in_flight=in_flight)
    assert {one.values for one in answered} == {None}
    assert 20 <= len(answered) < 20 + 2 * in_flight
    assert sum(map(is_fixed_sentence, server.bodies)) == 2
    assert PROBLEMS[AnswerProblem.CUT if name == "cut" else AnswerProblem.NOT_JSON].advice in str(
        fault
    )


def test_invalid_answers_after_a_label_do_not_end_the_run(tmp_path: Path) -> None:
    def answer(body: dict[str, Any], nth: int) -> Reply:
        return completion(GOOD) if nth == 5 else completion("Sunny.")

    with OpenAIStub(labels_fixed_sentence(GOOD, answer)) as server:
        answered = list(asker(server, tmp_path, answer_tries=1).classify(MANY))
    assert sum(one.values is not None for one in answered) == 1
    assert len(answered) == len(MANY)


@pytest.mark.parametrize("name", ["a refusal", "a filter"])
def test_posts_that_the_model_refuses_do_not_end_the_run(tmp_path: Path, name: str) -> None:
    refusal = USELESS[name][0]
    with OpenAIStub(labels_fixed_sentence(GOOD, lambda *_: refusal)) as server:
        answered = list(asker(server, tmp_path).classify(MANY[:50]))
    assert len(answered) == 50


def test_a_rejected_post_among_the_first_shows_that_the_texts_may_be_the_reason(
    tmp_path: Path,
) -> None:
    def answer(body: dict[str, Any], nth: int) -> Reply:
        return LATER["filtered" if nth % 15 == 0 else "cut"](body, nth)

    with OpenAIStub(labels_fixed_sentence(GOOD, answer)) as server:
        answered = list(asker(server, tmp_path).classify(MANY[:60]))
    assert len(answered) == 60


def test_a_label_begins_the_count_anew(tmp_path: Path) -> None:
    def answer(body: dict[str, Any], nth: int) -> Reply:
        return completion(GOOD) if nth % 20 == 0 else LATER["cut"](body, nth)

    with OpenAIStub(labels_fixed_sentence(GOOD, answer)) as server:
        answered = list(asker(server, tmp_path).classify(MANY))
    assert sum(one.values is not None for one in answered) == 15
    assert sum(map(is_fixed_sentence, server.bodies)) == 1


def test_the_last_twenty_posts_of_a_shard_count_too(tmp_path: Path) -> None:
    def answer(body: dict[str, Any], nth: int) -> Reply:
        return completion(GOOD) if nth == 1 else completion("Sunny.")

    answered: list[Answer] = []
    with OpenAIStub(answer) as server, pytest.raises(TaskError) as raised:
        for one in asker(server, tmp_path, answer_tries=1, max_in_flight=32).classify(MANY[:20]):
            answered.append(one)
    assert raised.value.cause is Cause.REFUSED
    assert len(answered) == 20


def test_groups_of_posts_count_post_by_post(tmp_path: Path) -> None:
    def answer(body: dict[str, Any], nth: int) -> Reply:
        return completion(GOOD) if nth == 1 else completion("Sunny.")

    with OpenAIStub(answer) as server:
        _, answered = refused(server, tmp_path, answer_tries=1, posts_per_prompt=5)
    assert len(answered) == 20


@pytest.mark.parametrize("problem", AnswerProblem)
def test_every_problem_of_an_answer_has_its_facts(problem: AnswerProblem) -> None:
    facts: Mapping[AnswerProblem, Any] = PROBLEMS
    assert facts[problem].advice
    assert facts[problem].reason.replace("_", "").isalpha()
