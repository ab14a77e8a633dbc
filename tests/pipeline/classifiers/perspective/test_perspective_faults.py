"""An error is never a score, whatever the service does."""

import json
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.classifiers.base import TaskShare
from pipeline.classifiers.perspective.classifier import Perspective
from pipeline.errors import Cause, TaskError
from pipeline.model import Answer
from tests.pipeline.classifiers.classifier_setup import (
    KEY,
    chain,
    frozen_options,
    options_of,
    posts,
    verdicts,
)
from tests.servers.perspective import ANALYZE, Fault, PerspectiveServer, score
from tests.servers.perspective_answers import analyze


def classifier(server: PerspectiveServer, **values: Any) -> Perspective:
    given_values = {"base_url": server.url, "requests_per_minute": 10**9, **values}
    return Perspective(options_of("perspective", given_values), TaskShare())


def body(value: Any, token: str = "at://0", name: str = "TOXICITY") -> dict[str, Any]:
    return {"attributeScores": {name: {"summaryScore": {"value": value}}}, "clientToken": token}


def of_one(fault: Fault) -> Callable[[str, int], Fault | None]:
    """Give this answer to the post "odd" every time, and to no other."""
    return lambda text, _: fault if text == "odd" else None


NO_SCORE: list[Any] = [
    None, True, False, "0.5", 1.0001, -0.0001, [], {}, float("nan"), float("inf"), 10**400,
]  # fmt: skip


@pytest.mark.parametrize("value", NO_SCORE, ids=lambda value: repr(value)[:20])
def test_a_value_that_is_not_a_probability_is_not_a_score(value: Any) -> None:
    with PerspectiveServer(key=KEY, faults=of_one(Fault(body=body(value)))) as server:
        found = verdicts(classifier(server), posts("odd"))
    assert found == {"odd": Answer("at://0", reason="invalid_answer: no probability of TOXICITY")}


LOW, HIGH = (f'{{"summaryScore": {{"value": {value}}}}}' for value in (0.1, 0.9))


@pytest.mark.parametrize(
    "text",
    [
        f'{{"attributeScores": {{"TOXICITY": {LOW}, "TOXICITY": {HIGH}}}, "clientToken": "at://0"}}',
        f'{{"attributeScores": {{"TOXICITY": {LOW}}}, "clientToken": "at://1", '
        '"clientToken": "at://0"}',
        f'{{"attributeScores": {{}}, "attributeScores": {{"TOXICITY": {LOW}}}, '
        '"clientToken": "at://0"}',
        '{"attributeScores": {"TOXICITY": {"summaryScore": {"value": 0.1, "value": 0.1}}}, '
        '"clientToken": "at://0"}',
        f'{{"attributeScores": {{"TOXICITY": {LOW}}}, "clientToken": "at://0", '
        '"other": [{"a": 1, "a": 1}]}',
    ],
    ids=["attribute", "token", "scores", "value", "elsewhere"],
)
def test_an_answer_with_a_key_twice_gives_no_score_and_is_not_paid_for_again(text: str) -> None:
    with PerspectiveServer(key=KEY, faults=of_one(Fault(body=text))) as server:
        found = verdicts(classifier(server), posts("odd"))
        paid = server.paid
    assert found == {"odd": Answer("at://0", reason="invalid_answer: a key occurs twice")}
    assert paid == 1  # the probe; a faulty answer is not counted


@pytest.mark.parametrize(
    "scores",
    [None, [], {}, {"TOXICITY": None}, {"TOXICITY": {}}, {"TOXICITY": {"summaryScore": 0.5}},
     {"SPAM": {"summaryScore": {"value": 0.5}}}],
    ids=repr,
)  # fmt: skip
def test_a_reply_without_the_attribute_is_not_an_answer(scores: Any) -> None:
    answer = {"attributeScores": scores, "clientToken": "at://0"}
    with PerspectiveServer(key=KEY, faults=of_one(Fault(body=answer))) as server:
        found = verdicts(classifier(server), posts("odd"))
    assert found == {"odd": Answer("at://0", reason="invalid_answer: no probability of TOXICITY")}


@pytest.mark.parametrize("kind", ["RAW", "STD_DEV_SCORE", "PERCENTILE", "", None, 1])
def test_another_kind_of_score_is_not_a_probability(kind: Any) -> None:
    """A model without probabilities gives a raw value, which may lie between 0 and 1."""
    answer = body(0.5)
    answer["attributeScores"]["TOXICITY"]["summaryScore"]["type"] = kind
    with PerspectiveServer(key=KEY, faults=of_one(Fault(body=answer))) as server:
        found = verdicts(classifier(server), posts("odd"))
    reason = "invalid_answer: no probability of TOXICITY, but another kind of score"
    assert found == {"odd": Answer("at://0", reason=reason)}


def test_an_attribute_that_the_reply_leaves_out_costs_the_others_nothing() -> None:
    """A drop-in may have fewer attributes than Perspective, and no spans."""
    partial = body(0.5)
    partial["attributeScores"] |= {"INSULT": {}, "SPAM": {"summaryScore": None}}
    attributes = ["TOXICITY", "INSULT", "SPAM", "THREAT"]
    with PerspectiveServer(key=KEY, faults=of_one(Fault(body=partial))) as server:
        asker = classifier(server, attributes=attributes, span_scores=True)
        answers = {answer.uri: answer for answer in asker.classify(posts("odd"))}
    without = ("prob_insult", "prob_spam", "prob_threat")
    values = dict.fromkeys([*without, *(f"{name}_spans" for name in (*without, "prob_toxic"))])
    answer = answers["at://0"]
    assert answer.values == {**values, "prob_toxic": 0.5}
    assert answer.facts == {"attributes_not_supported": "INSULT,SPAM,THREAT"}


def test_a_score_that_is_no_probability_is_not_taken_for_one_that_is_missing() -> None:
    wrong = body(0.5)
    wrong["attributeScores"]["INSULT"] = {"summaryScore": {"value": 1.5}}
    with PerspectiveServer(key=KEY, faults=of_one(Fault(body=wrong))) as server:
        found = verdicts(classifier(server, attributes=["TOXICITY", "INSULT"]), posts("odd"))
    assert found == {"odd": Answer("at://0", reason="invalid_answer: no probability of INSULT")}


@pytest.mark.parametrize("value", [0, 1, 0.0, 1.0])
def test_0_and_1_are_scores_and_other_attributes_are_ignored(
    value: float,
) -> None:
    answer = body(value) | {"languages": ["tlh"], "detectedLanguages": 7, "error": None}
    answer["attributeScores"]["INSULT"] = {"summaryScore": {"value": "none"}}
    with PerspectiveServer(key=KEY, faults=of_one(Fault(body=answer))) as server:
        found = verdicts(classifier(server), posts("odd"))
    assert found == {"odd": Answer("at://0", {"prob_toxic": float(value)})}


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        ([], "no JSON object"),
        ("0.5", "no JSON object"),
        ({"error": {"code": 403, "message": "no"}}, "an error under HTTP 200"),
        ({**body(0.5), "error": {}}, "an error under HTTP 200"),
        (
            {
                "error": {
                    "details": [
                        {
                            "errorType": "LANGUAGE_NOT_SUPPORTED_BY_ATTRIBUTE",
                            "languageNotSupportedByAttributeError": {"attribute": "TOXICITY"},
                        }
                    ]
                }
            },
            "an error under HTTP 200",
        ),
    ],
    ids=repr,
)
def test_an_invalid_200_is_the_posts_fault_if_the_probe_is_scored(
    answer: Any, problem: str
) -> None:
    with PerspectiveServer(key=KEY, faults=of_one(Fault(body=answer))) as server:
        found = verdicts(classifier(server), posts("odd"))
    assert found == {"odd": Answer("at://0", reason=f"invalid_answer: {problem}")}
    assert server.requests == 2


@pytest.mark.parametrize("end", [Fault(status=400), Fault(body={"error": {"code": 400}})])
def test_posts_in_flight_when_the_service_ends_get_no_reason(
    end: Fault,
) -> None:
    """All four were sent before another was scored, and are rejected like all later ones."""
    out = threading.Event()

    def happens(text: str, _: int) -> Fault | None:
        return None if text == "scored" or not out.wait(30) else end

    with PerspectiveServer(key=KEY, faults=happens) as server:
        coming = classifier(server, max_in_flight=5).classify(posts("scored", *"abcd"))
        assert next(coming).values is not None
        out.set()
        with pytest.raises(TaskError, match="code"):
            raise AssertionError(next(coming))


@pytest.mark.parametrize(
    ("answer", "shown"),
    [
        ({"error": {"code": 403}}, '{"error": {"code": 403}}: invalid_answer: an error under'),
        ([], "[]: invalid_answer: no JSON object"),
    ],
    ids=repr,
)
def test_the_service_is_at_fault_if_nothing_is_scored(answer: Any, shown: str) -> None:
    with (
        PerspectiveServer(key=KEY, faults=lambda *_: Fault(body=answer)) as server,
        pytest.raises(TaskError) as raised,
    ):
        verdicts(classifier(server), posts("one", "two", "three"))
    assert (raised.value.cause, raised.value.blames_post) == (Cause.CRASHED, False)
    assert str(raised.value).startswith(f"{server.url}{ANALYZE}: HTTP 200: {shown}")


faults = st.sampled_from([
    None,
    *(Fault(status=status) for status in (400, 403, 404, 408, 429, 500, 502, 503)),
    *(Fault(status=status, body="<html>no") for status in (200, 400, 500)),
    *(Fault(status=status, body=body(0.0, token="")) for status in (429, 500)),
    Fault(cut_connection=True), Fault(invalid_json=True), Fault(body={}), Fault(body=[]),
    Fault(body={"error": {"code": 500}}),
])  # fmt: skip
REASONS = {
    "http_500", "no_answer", "http_400", "http_403", "http_404", "invalid_answer: no JSON object",
    "invalid_answer: an error under HTTP 200",
}  # fmt: skip


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(st.lists(faults, max_size=8), min_size=1, max_size=6))
def test_an_error_is_never_a_score(plans: list[list[Fault | None]]) -> None:
    """Each post meets its own faults, one after another. What has values has the service's own;
    else there is a reason, or the task ends; and no post is answered twice."""
    asked = posts(*(f"post {number}" for number in range(len(plans))))
    plan = {post.text: faults for post, faults in zip(asked, plans, strict=True)}

    def happens(text: str, nth: int) -> Fault | None:
        own = plan.get(text, [])  # the probe, which is no post, has none
        return own[nth - 1] if nth <= len(own) else None

    found: list[Answer] = []
    with PerspectiveServer(key=KEY, faults=happens) as server:
        try:
            for answer in classifier(server).classify(asked):
                found.append(answer)
        except TaskError as error:
            assert error.cause in (Cause.REFUSED, Cause.CRASHED)
            assert KEY not in chain(error)
        else:
            assert len(found) == len(asked)
    texts = {post.uri: post.text for post in asked}
    assert len({answer.uri for answer in found}) == len(found)
    for answer in found:
        if answer.values is None:
            assert answer.reason in REASONS
        else:
            assert answer.values == {"prob_toxic": score(texts[answer.uri], "TOXICITY")}
            assert answer.reason is None


@pytest.mark.parametrize(
    ("fault", "reason"),
    [(Fault(status=500), "http_500"), (Fault(invalid_json=True), "no_answer"),
     (Fault(status=200, body="<html>"), "no_answer")],
)  # fmt: skip
def test_a_post_that_the_service_cannot_process_does_not_end_the_task(
    fault: Fault, reason: str
) -> None:
    texts = ["poison", *(f"post {number}" for number in range(50))]
    asked: Counter[str] = Counter()

    def happens(text: str, nth: int) -> Fault | None:
        asked[text] = nth
        return fault if text == "poison" else None

    with PerspectiveServer(key=KEY, faults=happens) as server:
        found = verdicts(classifier(server, max_in_flight=2), posts(*texts))
    assert found.pop("poison") == Answer("at://0", reason=reason)
    assert all(answer.values for answer in found.values())
    tries = {text: asked.pop(text) for text in texts}
    assert tries.pop("poison") == 6
    assert set(tries.values()) == {1}
    # The others may be through before the last try: then a probe tells that the service is there.
    assert sum(asked.values()) <= 1


@pytest.mark.parametrize(
    ("fault", "reason", "raw"),
    [
        (Fault(status=500, body="<html>no 🦋"), "http_500", "<html>no 🦋"),
        (Fault(body="<html>Please log in"), "no_answer", "<html>Please log in"),
        (Fault(status=400, body="{}"), "http_400", "{}"),
        (Fault(body='{"error": 1 }'), "invalid_answer: an error under HTTP 200", '{"error": 1 }'),
    ],
    ids=repr,
)
def test_the_response_is_kept_with_every_outcome(fault: Fault, reason: str, raw: str) -> None:
    with PerspectiveServer(key=KEY, faults=of_one(fault)) as server:
        (found,) = classifier(server).classify(posts("odd"))
    assert (found.reason, found.raw) == (reason, raw)


def test_the_last_response_of_a_retried_post_is_kept() -> None:
    with PerspectiveServer(key=KEY) as server:
        asker = classifier(server, attributes=["TOXICITY", "SPAM"], languages=["de"])
        (found,) = asker.classify(posts("Hallo"))
        assert server.last_request is not None
        assert json.loads(found.raw or "") == analyze(server.last_request.body, frozenset())
    assert found.reason is None


def test_the_defaults() -> None:
    assert frozen_options({"type": "perspective"}) == {
        "type": "perspective",
        "base_url": "https://commentanalyzer.googleapis.com",
        "attributes": ["TOXICITY"],
        "languages": ["en"],
        "requests_per_minute": 60,
        "quota_folder": str(Path("~/.hpc/quota").expanduser()),
        "max_in_flight": 64,
        "timeout_seconds": 30.0,
        "api_key_env": "PERSPECTIVE_API_KEY",
    }


def test_a_key_file_is_named_and_never_copied(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("other-key\n")
    file.chmod(0o600)
    options = options_of("perspective", {"api_key_file": str(file)})
    assert (options.api_key_file, options.api_key_env) == (str(file), None)
    assert Perspective(options, TaskShare()).secret.reveal() == "other-key"
    assert "other-key" not in repr(vars(Perspective(options, TaskShare())))


def test_trouble_is_the_services_last_failure() -> None:
    fault = Fault(status=503)
    with PerspectiveServer(key=KEY, faults=lambda *_: fault) as server:
        classifier_ = classifier(server)
        with pytest.raises(TaskError):
            verdicts(classifier_, posts("a post"))
    assert classifier_.trouble.startswith("HTTP 503: ")
