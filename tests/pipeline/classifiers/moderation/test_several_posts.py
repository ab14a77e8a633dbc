"""Several posts in one request: joined only by results that prove their order, else sent alone."""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.classifiers.base import TaskShare
from pipeline.classifiers.frozen_classifier import create
from pipeline.errors import Cause, TaskError
from pipeline.model import Answer
from tests.pipeline.classifiers.classifier_setup import answers, frozen_options, posts
from tests.servers.hosted.moderation import ModerationServer, score
from tests.servers.http import Reply

SENTENCE = "The sun is out today."
TEXTS = ["Good morning", "I will find you", "🦋", "What a day", "no", "Vote!"]
Results = list[dict[str, Any]]


def label(server: ModerationServer, *texts: str, **more: Any) -> dict[str, Answer]:
    """Label texts in one request, without a key."""
    values = {
        "type": "moderation", "base_url": server.base_url, "model": "m", "categories": ["hate"],
        "posts_per_request": 8, "max_in_flight": 1, **more,
    }  # fmt: skip
    return answers(create(frozen_options(values), TaskShare()), posts(*texts))


def hate(found: dict[str, Answer]) -> dict[str, Any]:
    return {text: (answer.values or {}).get("hate") for text, answer in found.items()}


def truth(*texts: str) -> dict[str, Any]:
    return {text: score(text, "hate") for text in texts}


def requests(found: dict[str, Answer]) -> int:
    return sum(int(str(answer.facts["moderation_requests"])) for answer in found.values())


def test_a_request_holds_each_text_twice_and_a_fixed_sentence() -> None:
    with ModerationServer() as server:
        found = label(server, *TEXTS)
    assert hate(found) == truth(*TEXTS)
    assert server.inputs[0] == [SENTENCE]
    (together,) = server.inputs[1:]
    assert Counter(together) == {SENTENCE: 1, **dict.fromkeys(TEXTS, 2)}
    assert requests(found) == 1


def test_requests_hold_their_texts_in_different_orders() -> None:
    with ModerationServer() as server:
        for _ in range(5):
            label(server, *TEXTS)
    assert len({tuple(texts) for texts in server.inputs if len(texts) > 1}) > 1


@pytest.fixture(scope="module")
def server() -> Iterator[ModerationServer]:
    with ModerationServer() as running:
        yield running


def passes_by_chance(texts: Sequence[str], order: Sequence[int]) -> bool:
    """Report whether both results of a text have moved to both places of another one.

    No reader of the reply can notice that; test_arrangement says how rare it is.
    """
    moved: dict[str, set[str]] = {}
    for text, place in zip(texts, order, strict=True):
        moved.setdefault(text, set()).add(texts[place])
    return all(len(found) == 1 for found in moved.values())


@given(data=st.data(), count=st.integers(4, 8))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
def test_a_server_that_permutes_drops_or_repeats_results_shifts_no_label(
    server: ModerationServer, data: st.DataObject, count: int
) -> None:
    places = list(range(2 * count + 1))
    order = data.draw(
        st.permutations(places)
        | st.lists(st.sampled_from(places), max_size=2 * len(places))
        | st.integers(0, len(places)).map(lambda cut: places[:cut])
        | st.integers(1, len(places)).map(lambda step: places[step:] + places[:step])
    )

    def disturb(texts: list[str], results: Results) -> Results:
        if len(texts) == 1:
            return results
        if len(order) == len(texts) and passes_by_chance(texts, order):
            return []
        return [results[place] for place in order]

    server.inputs.clear()
    server.disturb = disturb
    texts = [f"text {number}" for number in range(count)]
    assert hate(found := label(server, *texts)) == truth(*texts)
    assert requests(found) == len(server.inputs) - 1


def is_together(texts: list[str]) -> bool:
    return len(texts) > 1


def test_after_results_that_prove_nothing_posts_are_sent_one_by_one(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def reverse(texts: list[str], results: Results) -> Results:
        return [*results[1:], results[0]] if is_together(texts) else results

    texts = [f"text {number}" for number in range(24)]
    with ModerationServer(disturb=reverse) as server:
        found = label(server, *texts)
    assert hate(found) == truth(*texts)
    assert sum(map(is_together, server.inputs)) == 1
    assert capsys.readouterr().out.count("\n") == 1


def test_a_text_that_is_rejected_among_others_gets_its_reason_alone() -> None:
    with ModerationServer() as server:
        server.faults = lambda texts, _: (
            server.error(400, "no", "invalid_input") if "kill" in texts else None
        )
        found = label(server, "kill", *TEXTS)
        later = label(server, *TEXTS)
    assert hate(found) == truth(*TEXTS) | {"kill": None}
    assert found["kill"].reason == "http_400: invalid_input"
    assert requests(found) == 1 + 7
    assert requests(later) == 1


def test_a_server_that_accepts_no_several_texts_is_asked_three_times() -> None:
    with ModerationServer() as server:
        server.faults = lambda texts, _: (
            server.error(400, "Too many inputs.", "too_many_inputs") if is_together(texts) else None
        )
        texts = [f"text {number}" for number in range(48)]
        found = label(server, *texts)
    assert hate(found) == truth(*texts)
    assert sum(map(is_together, server.inputs)) == 3
    assert requests(found) == 48 + 3


def test_an_invalid_result_among_others_sends_the_posts_one_by_one() -> None:
    def spoil(texts: list[str], results: Results) -> Results:
        spoiled = {"category_scores": {"hate": 2}}
        return [spoiled if text == "no" else one for text, one in zip(texts, results, strict=True)]

    with ModerationServer(disturb=spoil) as server:
        found = label(server, *TEXTS)
    assert hate(found) == truth(*TEXTS) | {"no": None}
    assert found["no"].reason == "invalid_answer: a score that is no number from 0 to 1"


def test_few_posts_and_long_texts_are_sent_one_by_one_and_empty_ones_not_at_all() -> None:
    with ModerationServer() as server:
        few = label(server, *TEXTS[:3], "")
        long = label(server, *TEXTS, "word " * 4000)
    assert hate(few) == truth(*TEXTS[:3]) | {"": None}
    assert hate(long) == truth(*TEXTS, "word " * 4000)
    assert not any(map(is_together, server.inputs))
    assert [""] not in server.inputs


def test_a_lost_key_ends_the_task_and_answers_that_are_paid_for_are_kept() -> None:
    with ModerationServer(
        faults=lambda texts, nth: Reply(status=401, body={}) if nth > 2 else None
    ) as server:
        values = {
            "type": "moderation", "base_url": server.base_url, "model": "m",
            "categories": ["hate"], "posts_per_request": 4, "max_in_flight": 1,
        }  # fmt: skip
        found: list[Answer] = []
        with pytest.raises(TaskError) as raised:
            for answer in create(frozen_options(values), TaskShare()).classify(
                posts(*map(str, range(8)))
            ):
                found.append(answer)
    assert raised.value.cause is Cause.REFUSED
    assert len(found) == 4


def test_a_response_about_several_posts_is_kept_once() -> None:
    with ModerationServer() as server:
        found = label(server, *TEXTS, keep_raw=True)
    first, *others = (json.loads(answer.raw or "") for answer in found.values())
    assert len(first["results"]) == 2 * len(TEXTS) + 1
    assert others == [{"response_of": "at://0"}] * (len(TEXTS) - 1)
