"""The Perspective classifier against a stand-in for the service: requests, answers, retries."""

import json
import threading
from collections.abc import Mapping
from itertools import islice, pairwise
from typing import Any

import pytest

from pipeline.classifiers.base import TaskShare
from pipeline.classifiers.perspective.classifier import Perspective
from pipeline.classifiers.perspective.columns import ATTRIBUTES
from pipeline.errors import Cause, TaskError
from pipeline.model import Answer, Column
from pipeline.service.service import RequestPolicy
from tests.pipeline.classifiers.classifier_setup import (
    KEY,
    frozen_options,
    options_of,
    posts,
    verdicts,
)
from tests.servers.perspective import ANALYZE, Fault, PerspectiveServer, score

TEXTS = ("what a fine day", "🦋 مرحبا\nzero\u200bwidth", 'quoted "text" </s> {x} %s', "same", "ok")


def classifier(server: PerspectiveServer, **values: Any) -> Perspective:
    given = {"base_url": server.url, "requests_per_minute": 10**9, **values}
    assert KEY not in json.dumps(frozen_options({"type": "perspective", **given}))
    return Perspective(options_of("perspective", given), TaskShare())


def scores(text: str, *attributes: str) -> Mapping[str, float]:
    return {ATTRIBUTES[name]: score(text, name) for name in attributes or ("TOXICITY",)}


def fault(server: PerspectiveServer, *texts: str, **values: Any) -> TaskError:
    with pytest.raises(TaskError) as raised:
        list(classifier(server, **values).classify(posts(*(texts or TEXTS))))
    return raised.value


def test_a_request_names_the_attributes_and_languages_and_forbids_storing() -> None:
    with PerspectiveServer(key=KEY) as server:
        found = verdicts(classifier(server, attributes=["TOXICITY", "SPAM"]), posts("a 🦋 day"))
        request = server.last_request
    assert request is not None
    assert json.loads(request.body) == {
        "comment": {"text": "a 🦋 day"},
        "requestedAttributes": {"TOXICITY": {}, "SPAM": {}},
        "languages": ["en"],
        "doNotStore": True,
        "clientToken": "at://0",
    }
    assert (request.method, request.path, request.query) == ("POST", ANALYZE, {})
    assert request.headers["X-Goog-Api-Key"] == KEY
    expected = scores("a 🦋 day", "TOXICITY", "SPAM")
    assert found == {"a 🦋 day": Answer("at://0", expected)}


def test_every_post_has_a_score_for_every_attribute() -> None:
    """The stand-in's scores differ for every text and attribute, so a mix-up would show."""
    with PerspectiveServer(key=KEY) as server:
        asker = classifier(server, attributes=list(ATTRIBUTES))
        found = verdicts(asker, posts(*TEXTS))
    assert {text: answer.values for text, answer in found.items()} == {
        text: scores(text, *ATTRIBUTES) for text in TEXTS
    }
    assert asker.columns == (
        *(Column(name, "number") for name in ATTRIBUTES.values()),
        Column("attributes_not_supported", "text", fact=True),
    )
    assert asker.model == f"perspective v1alpha1 at {server.url}"
    assert (server.requests, server.paid) == (len(TEXTS), len(TEXTS))


def test_answers_are_joined_to_their_posts_by_token_in_any_order() -> None:
    """Each post is answered only after the answer to the next one has been yielded."""
    out = {text: threading.Event() for text in TEXTS}
    after = dict(pairwise(TEXTS))

    def happens(text: str, nth: int) -> Fault | None:
        assert text not in after or out[after[text]].wait(30)
        return None

    found = []
    with PerspectiveServer(key=KEY, faults=happens) as server:
        for answer in classifier(server).classify(posts(*TEXTS)):
            found.append(answer)
            out[TEXTS[int(answer.uri[-1])]].set()
    assert [answer.uri for answer in found] == [f"at://{nth}" for nth in (4, 3, 2, 1, 0)]
    assert [dict(answer.values or {}) for answer in found] == [scores(t) for t in reversed(TEXTS)]


@pytest.mark.parametrize("token", ["at://7", None, "", 0])
def test_an_answer_for_another_post_ends_the_task(token: Any) -> None:
    body = {"attributeScores": {"TOXICITY": {"summaryScore": {"value": 0.5}}}, "clientToken": token}
    with PerspectiveServer(key=KEY, faults=lambda *_: Fault(body=body)) as server:
        error = fault(server, "a post")
    assert error.cause is Cause.CRASHED
    assert str(error) == (
        f"{server.url}{ANALYZE} answered for {token!r} when asked for 'at://0': its answers "
        "cannot be joined to posts"
    )


@pytest.mark.parametrize(
    ("text", "reason", "values"),
    [
        (" \n ", "comment_empty", {}),
        ("12:30", "language_detection_failed", {"languages": []}),
    ],
)
def test_a_permanent_error_of_one_post_is_its_reason_and_is_not_retried(
    text: str, reason: str, values: dict[str, Any]
) -> None:
    with PerspectiveServer(key=KEY) as server:
        found = verdicts(classifier(server, **values), posts(text))
    assert found == {text: Answer("at://0", reason=reason)}
    assert (server.requests, dict(server.by_status)) == (1, {400: 1})


@pytest.mark.parametrize("letter", ["é", "🦋"])
def test_a_text_of_the_largest_size_is_scored_and_a_longer_one_is_not_sent(
    letter: str,
) -> None:
    text = letter * (20_480 // len(letter.encode()))
    with PerspectiveServer(key=KEY) as server:
        found = verdicts(classifier(server), posts(text, text + "!"))
    assert found == {
        text: Answer("at://0", scores(text)),
        text + "!": Answer("at://1", reason="comment_too_long"),
    }
    assert server.requests == 1


ONCE: dict[str, Fault] = {
    "500": Fault(status=500),
    "503": Fault(status=503),
    "504": Fault(status=504),
    "cut": Fault(cut_connection=True),
    "cut half way": Fault(body={"attributeScores": {"x": "y" * 99}}, cut_connection=True),
    "half a JSON": Fault(invalid_json=True),
    "an error page": Fault(status=502, body="<html>Bad Gateway"),
    "a page": Fault(status=200, body="<html>Please log in"),
}


@pytest.mark.parametrize("name", ONCE)
def test_a_passing_failure_is_retried_and_paid_for_once(name: str) -> None:
    with PerspectiveServer(
        key=KEY, faults=lambda _, nth: ONCE[name] if nth <= 2 else None
    ) as server:
        found = verdicts(classifier(server), posts(*TEXTS))
    assert found == {t: Answer(f"at://{n}", scores(t)) for n, t in enumerate(TEXTS)}
    assert server.requests == 3 * len(TEXTS)
    assert server.paid_by_text == dict.fromkeys(TEXTS, 1)


def test_a_timeout_is_retried() -> None:
    with PerspectiveServer(
        key=KEY, faults=lambda _, nth: Fault(delay_s=30) if nth == 1 else None
    ) as server:
        asker = classifier(server, timeout_seconds=0.1)
        assert verdicts(asker, posts("a post")) == {"a post": Answer("at://0", scores("a post"))}


def test_a_429_is_waited_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Twelve posts at three a minute; a minute passes whenever the classifier waits for one."""
    minutes = iter(range(10**6))
    clock = [0.0]

    def wait_for_the_next() -> float:
        clock[0] = 60.0 * next(minutes)
        return 0.001

    policy = RequestPolicy(
        first_wait_s=0.0005, longest_throttle_s=0.0005, until_quota_resets=wait_for_the_next
    )
    monkeypatch.setattr(Perspective, "policy", policy)
    texts = [f"post {number}" for number in range(12)]
    with PerspectiveServer(key=KEY, quota=3, clock=lambda: clock[0]) as server:
        found = verdicts(classifier(server), posts(*texts))
    assert found == {t: Answer(f"at://{n}", scores(t)) for n, t in enumerate(texts)}
    assert server.by_status[429] > 0
    assert {text: server.paid_by_text[text] for text in texts} == dict.fromkeys(texts, 1)
    assert max(server.admitted_by_minute.values()) == 3


def test_429_for_too_long_ends_the_task_as_throttled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Perspective, "policy", RequestPolicy(throttled_s=0.0))
    with PerspectiveServer(key=KEY, quota=0, clock=lambda: 0.0) as server:
        error = fault(server)
    assert error.cause is Cause.THROTTLED
    assert str(error).startswith(f"{server.url}{ANALYZE}: HTTP 429: ")


def test_answers_paid_for_before_a_failure_are_yielded() -> None:
    gone = Fault(status=401)
    with PerspectiveServer(key=KEY, faults=lambda t, _: gone if t == "post 20" else None) as server:
        texts = [f"post {number}" for number in range(200)]
        asker, found = classifier(server, max_in_flight=4), []
        with pytest.raises(TaskError):
            for answer in asker.classify(posts(*texts)):
                found.append(answer)
    assert len(found) == server.paid < 200
    assert all(answer.values is not None for answer in found)


def test_a_slow_post_does_not_delay_hundreds_of_others() -> None:
    """The first post is never answered, and 150 others only when all of them are in flight."""
    together = threading.Barrier(150, timeout=30)

    def happens(text: str, nth: int) -> Fault | None:
        number = int(text.removeprefix("post "))
        if 1 <= number <= 150:
            together.wait()
        return None if number else Fault(delay_s=3600)

    with PerspectiveServer(key=KEY, faults=happens) as server:
        asked = posts(*(f"post {number}" for number in range(400)))
        coming = classifier(server, max_in_flight=200).classify(asked)
        first = {answer.uri for answer in islice(coming, 399)}
        coming.close()  # type: ignore[attr-defined]
    assert first == {post.uri for post in asked[1:]}
