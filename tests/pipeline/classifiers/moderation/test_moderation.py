"""Moderation endpoints, one post per request: labels, reasons, keys and what ends a task."""

from typing import Any

import pytest

from pipeline.classifiers.base import Classifier, TaskShare
from pipeline.classifiers.frozen_classifier import create, render_request
from pipeline.errors import Cause, InputError, TaskError
from pipeline.model import Answer, Post
from tests.pipeline.classifiers.classifier_setup import (
    KEY,
    answers,
    chain,
    configured,
    frozen_options,
    posts,
)
from tests.servers.hosted.moderation import CATEGORIES, MODELS, ModerationServer, score
from tests.servers.http import Reply

SENTENCE = "The sun is out today."


def values(server: ModerationServer, **more: Any) -> dict[str, Any]:
    return {
        "type": "moderation", "base_url": server.base_url, "model": "omni-moderation-latest",
        "categories": server.provider, "api_key_env": "MODERATION_KEY", **more,
    }  # fmt: skip


def classifier(server: ModerationServer, **more: Any) -> Classifier[Any]:
    return create(frozen_options(values(server, **more)), TaskShare())


def sent(server: ModerationServer) -> list[list[str]]:
    """Return the texts of each request, without the one about the fixed sentence."""
    assert server.inputs[0] == [SENTENCE]
    return server.inputs[1:]


def expected(server: ModerationServer, text: str) -> dict[str, Any]:
    """Return the labels of a text."""
    scores = {name: score(text, name) for name in CATEGORIES[server.provider]}
    columns = {name.replace("/", "_").replace("-", "_"): one for name, one in scores.items()}
    flagged = any(one > 0.9 for one in scores.values())
    return {**columns, "flagged": flagged, "moderation_model": MODELS[server.provider]}


@pytest.mark.parametrize("provider", ["openai", "mistral"])
def test_each_category_has_a_column(provider: str) -> None:
    with ModerationServer(key=KEY, provider=provider) as server:
        made = classifier(server)
        found = answers(made, posts("Good morning 🦋", "I will find you"))
    assert found == {
        text: Answer(uri, expected(server, text), facts={"moderation_requests": 1})
        for uri, text in [("at://0", "Good morning 🦋"), ("at://1", "I will find you")]
    }
    names = [column.name for column in made.columns]
    assert names == [*expected(server, ""), "moderation_requests"]
    assert sorted(sent(server)) == [["Good morning 🦋"], ["I will find you"]]


def test_a_run_keeps_the_categories_that_it_began_with() -> None:
    server = ModerationServer()
    server.port = 1
    assert frozen_options(values(server))["categories"] == [*CATEGORIES["openai"]]
    chosen = frozen_options(values(server, categories=["hate", "self-harm/intent"]))
    assert chosen["categories"] == ["hate", "self-harm/intent"]


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"categories": "google"}, "openai or mistral"),
        ({"categories": []}, "1 or more"),
        ({"categories": ["hate", "Hate"]}, "the same column hate"),
        ({"categories": ["text"]}, "cannot be the name of a column"),
        ({"categories": ["///"]}, "cannot be the name of a column"),
        ({"categories": ["flagged"]}, "cannot be the name of a column"),
        ({"posts_per_request": 2}, "4 or more"),
        ({"posts_per_request": 16}, "at most 15"),
        ({"base_url": "http://example.org/v1"}, "unencrypted"),
        ({"api_key_env": "NOT_SET"}, "NOT_SET"),
    ],
)
def test_a_configuration_that_cannot_work_is_rejected(change: dict[str, Any], problem: str) -> None:
    server = ModerationServer()
    server.port = 1
    with pytest.raises(InputError, match=problem):
        configured(values(server, **change))


def test_an_empty_text_is_never_sent() -> None:
    with ModerationServer() as server:
        found = answers(classifier(server), posts("", " \n ", "Good morning"))
    assert [found[text].reason for text in ("", " \n ")] == ["text_too_short"] * 2
    assert found["Good morning"].values == expected(server, "Good morning")
    assert sent(server) == [["Good morning"]]


@pytest.mark.parametrize("provider", ["openai", "mistral"])
def test_a_text_that_the_service_rejects_gets_one_reason_and_the_others_their_labels(
    provider: str,
) -> None:
    with ModerationServer(provider=provider) as server:
        server.faults = lambda texts, _: (
            server.error(400, "Bad: kill", "invalid_input") if "kill" in texts[0] else None
        )
        found = answers(classifier(server), posts("Good morning", "kill"))
    assert found["kill"] == Answer(
        "at://1", reason="http_400: invalid_input", facts={"moderation_requests": 1}
    )
    assert found["Good morning"].values == expected(server, "Good morning")


def test_a_throttled_request_is_sent_again_after_the_time_that_the_service_names() -> None:
    def faults(texts: list[str], nth: int) -> Reply | None:
        wait = Reply(status=429, body={}, headers={"Retry-After": "0"})
        return wait if nth in (2, 3) else None

    with ModerationServer(faults=faults) as server:
        found = answers(classifier(server), posts("Good morning"))
    assert found["Good morning"].facts == {"moderation_requests": 1}
    assert server.by_status == {200: 2, 429: 2}


def test_a_wrong_key_ends_the_task_and_is_never_shown(capsys: pytest.CaptureFixture[str]) -> None:
    def faults(texts: list[str], nth: int) -> Reply:
        return Reply(status=401, body={"error": {"message": f"Incorrect API key: {KEY}"}})

    with ModerationServer(faults=faults) as server, pytest.raises(TaskError) as raised:
        answers(classifier(server), posts("Good morning"))
    assert raised.value.cause is Cause.REFUSED
    assert KEY not in chain(raised.value) + capsys.readouterr().out


def test_a_key_that_is_revoked_between_two_posts_ends_the_task() -> None:
    def faults(texts: list[str], nth: int) -> Reply | None:
        return Reply(status=403, body={}) if nth > 2 else None

    with ModerationServer(faults=faults) as server, pytest.raises(TaskError) as raised:
        answers(classifier(server, max_in_flight=1), posts("Good morning", "Good evening"))
    assert raised.value.cause is Cause.REFUSED


def test_categories_of_another_provider_end_the_task_before_a_post_is_sent() -> None:
    with ModerationServer() as server, pytest.raises(TaskError) as raised:
        answers(classifier(server, categories="mistral"), posts("Good morning"))
    assert raised.value.cause is Cause.REFUSED
    assert server.inputs == [[SENTENCE]]


def only_the_sentence(texts: list[str], results: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return results if texts == [SENTENCE] else [{"category_scores": {"hate": "high"}}]


def test_scores_that_are_none_are_reasons_and_end_a_task_that_gets_nothing_else() -> None:
    few = posts(*map(str, range(3)))
    many = posts(*map(str, range(40)))
    with ModerationServer(disturb=only_the_sentence) as server:
        found = answers(classifier(server), few)
        with pytest.raises(TaskError) as raised:
            answers(classifier(server, max_in_flight=1), many)
    assert {(answer.values, answer.reason) for answer in found.values()} == {
        (None, "invalid_answer: a score that is no number from 0 to 1")
    }
    assert raised.value.cause is Cause.REFUSED
    assert len(server.inputs) < 3 + 40


def test_an_unscored_category_is_null_and_the_post_is_labeled() -> None:
    def without_hate(texts: list[str], results: list[dict[str, Any]]) -> list[dict[str, Any]]:
        if texts != [SENTENCE]:
            del results[0]["category_scores"]["hate"]
        return results

    with ModerationServer(disturb=without_hate) as server:
        found = answers(classifier(server), posts("Good morning"))
    assert found["Good morning"].values == expected(server, "Good morning") | {"hate": None}


def test_a_preview_shows_the_request_as_it_is_sent() -> None:
    server = ModerationServer()
    server.port = 1
    shown = [
        render_request(
            frozen_options(values(server, posts_per_request=size)),
            [Post(str(number), str(number)) for number in range(size)],
        )
        for size in (1, 4)
    ]
    assert [one and one.url for one in shown] == ["http://127.0.0.1:1/v1/moderations"] * 2
    model = "omni-moderation-latest"
    assert [one and one.body for one in shown] == [
        {"model": model, "input": ["0"]},
        {"model": model, "input": [SENTENCE, *"0123", *"0123"]},
    ]
