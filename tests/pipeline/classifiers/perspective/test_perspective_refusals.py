"""Rejections, case by case: one post's reason, or the end of the run with advice."""

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from pipeline.classifiers.base import TaskShare
from pipeline.classifiers.perspective import reply as perspective_reply
from pipeline.classifiers.perspective.classifier import Perspective
from pipeline.classifiers.perspective.options import GOOGLE_HOST
from pipeline.classifiers.perspective.reply import ENDS, parse_rejection
from pipeline.errors import Cause, TaskError
from pipeline.model import Answer
from tests.pipeline.classifiers.classifier_setup import (
    KEY,
    Scripted,
    chain,
    options_of,
    posts,
    verdicts,
)
from tests.servers import perspective_answers as google
from tests.servers.http import LoopbackServer, Reply
from tests.servers.perspective import ANALYZE, Fault, PerspectiveServer
from tests.waiting import wait_until

PROBE = "The sun is out today."
KEY_ADVICE = "check the API key"
GONE = "the service is not there: set classifier.base_url"
NOT_TAKEN = "the request is not accepted: check classifier.attributes, languages and span_scores"
TYPE = "type.googleapis.com/google.commentanalyzer.v1alpha1.Error"


def classifier(base_url: str, **values: Any) -> Perspective:
    given = {"base_url": base_url, "requests_per_minute": 10**9, **values}
    return Perspective(options_of("perspective", given), TaskShare())


def error(code: int, message: str, *details: dict[str, Any]) -> Reply:
    return google.ServiceError(code, message, *details).reply


def typed(kind: str, message: str = "no") -> Reply:
    return error(400, message, {"@type": TYPE, "errorType": kind})


def html(status: int) -> Reply:
    page = "<!DOCTYPE html><title>Error (Not Found)!!1</title>"
    return Reply(status=status, body=page, headers={"Content-Type": "text/html"})


LEGACY_DISABLED = Reply(
    status=403,
    body={"error": {"code": 403, "message": "Access Not Configured.", "errors": [
        {"domain": "usageLimits", "reason": "accessNotConfigured"}]}},
)  # fmt: skip
EXPIRED = {"reason": "API_KEY_INVALID", "domain": "googleapis.com"}
NO_RPC = error(403, "Requests to this API are blocked.", {"reason": "API_KEY_SERVICE_BLOCKED"})

# Whatever is asked gets it.
FATAL: dict[str, tuple[Reply, str]] = {
    "a wrong key": (google.key_invalid().reply, KEY_ADVICE),
    "a key that has expired": (error(400, "Renew it.", EXPIRED), KEY_ADVICE),
    "a wrong key, in words alone": (error(400, "API key not valid."), KEY_ADVICE),
    "no key": (google.key_missing().reply, KEY_ADVICE),
    "a key for other services": (NO_RPC, KEY_ADVICE),
    "no login": (error(401, "Request had invalid credentials."), KEY_ADVICE),
    "a disabled API": (google.service_disabled().reply, KEY_ADVICE),
    "a disabled API, as of old": (LEGACY_DISABLED, KEY_ADVICE),
    "ended: 403 without a word": (Reply(status=403), KEY_ADVICE),
    "ended: 404, a page": (html(404), GONE),
    "ended: 404, JSON": (error(404, "Method not found."), GONE),
    "ended: 410": (Reply(status=410, body="gone"), GONE),
    "ended: a page of farewell": (Reply(status=302, headers={"Location": "/bye"}), GONE),
    "ended: moved for ever": (Reply(status=301, headers={"Location": "/bye"}), GONE),
    "ended: no POST any more": (html(405), GONE),
    "an attribute that is not there": (
        typed("INVALID_REQUEST", "Unknown requested attribute: X"),
        NOT_TAKEN,
    ),
    "no attributes": (typed("NO_REQUESTED_ATTRIBUTES"), NOT_TAKEN),
    "a type that nobody knows": (typed("SOMETHING_NEW"), NOT_TAKEN),
    "400 without a word": (Reply(status=400), NOT_TAKEN),
    "400, a page": (html(400), NOT_TAKEN),
    "400, an empty object": (Reply(status=400, body={}), NOT_TAKEN),
    "400, and it is no error": (Reply(status=400, body={"error": "no"}), NOT_TAKEN),
    "400, details that are none": (
        Reply(status=400, body={"error": {"message": 7, "details": ["x", {"errorType": 3}]}}),
        NOT_TAKEN,
    ),
    "a language that is lacking somewhere": (
        typed("LANGUAGE_NOT_SUPPORTED_BY_ATTRIBUTE", "No attribute has that language."),
        NOT_TAKEN,
    ),
    "too large": (Reply(status=413), NOT_TAKEN),
    "a quota that is used up for good": (
        Reply(status=429, body={"error": {"code": "insufficient_quota"}}),
        NOT_TAKEN,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FATAL)
def test_an_error_that_every_post_gets_ends_the_run_with_advice(name: str) -> None:
    reply, advice = FATAL[name]
    with Scripted(lambda _: reply) as server, pytest.raises(TaskError) as raised:
        verdicts(classifier(server.url), posts("one", "two", "three"))
    fault = raised.value
    assert (fault.cause, fault.stops_run) == (Cause.REFUSED, True)
    assert str(fault).startswith(f"{server.url}{ANALYZE}: HTTP {reply.status}: ")
    assert str(fault).endswith(f": {advice}")
    assert (f"{server.url}/bye" in str(fault)) == ("Location" in reply.headers)
    assert len(server.seen) <= 6  # each of the three once, and the probe at most as often
    assert KEY not in chain(fault)


@pytest.mark.parametrize(
    ("status", "advice"),
    [
        (
            403,
            f"check the API key and that the Perspective API is enabled for its project ({ENDS})",
        ),
        (404, f"the service is not there ({ENDS}): set classifier.base_url"),
        (413, NOT_TAKEN),
    ],
)
def test_the_advice_about_googles_service_names_its_end(status: int, advice: str) -> None:
    assert perspective_reply.advice(status, parse_rejection(None), end=ENDS) == advice


# One post gets it, and the others are scored.
ROWS: dict[str, tuple[Reply, str, int]] = {
    "COMMENT_EMPTY": (typed("COMMENT_EMPTY"), "comment_empty", 1),
    "COMMENT_TOO_LONG": (typed("COMMENT_TOO_LONG"), "comment_too_long", 1),
    "LANGUAGE_DETECTION_FAILED": (
        typed("LANGUAGE_DETECTION_FAILED"),
        "language_detection_failed",
        1,
    ),
    "INVALID_REQUEST": (typed("INVALID_REQUEST"), "invalid_request", 2),
    "a type that nobody knows": (typed("SOMETHING_NEW"), "http_400", 2),
    "400 without a word": (Reply(status=400), "http_400", 2),
    "too large": (Reply(status=413), "http_413", 2),
    "a language without its attribute": (
        typed("LANGUAGE_NOT_SUPPORTED_BY_ATTRIBUTE"),
        "language_not_supported_by_attribute: the service does not say which",
        2,
    ),
    "a language of an attribute that was not asked": (
        typed(
            "LANGUAGE_NOT_SUPPORTED_BY_ATTRIBUTE",
            "Attribute SPAM does not support request languages: en",
        ),
        "language_not_supported_by_attribute: the service does not say which",
        2,
    ),
    "500": (Reply(status=500), "http_500", 7),
}  # fmt: skip


@pytest.mark.parametrize("name", ROWS)
def test_an_error_of_one_post_is_its_reason_and_costs_at_most_a_probe(
    name: str,
) -> None:
    reply, reason, requests = ROWS[name]
    fault = Fault(status=reply.status, body=reply.body)
    with PerspectiveServer(key=KEY, faults=lambda t, _: fault if t == "odd" else None) as server:
        found = verdicts(classifier(server.url), posts("odd"))
        assert server.requests == requests
        alike = verdicts(classifier(server.url), posts("odd", "fine"))
    assert found == {"odd": Answer("at://0", reason=reason)}
    assert alike["odd"].reason == reason
    assert alike["fine"].values is not None


def revoked_once(out: threading.Event, reply: Reply, *, texts: tuple[str, ...]) -> Any:
    """Answer these texts with `reply` from `out` on; "late" waits for it."""

    def happens(text: str, _: int) -> Fault | None:
        is_late = text != "late" or out.wait(30)
        gone = out.is_set() and is_late and text in texts
        return Fault(status=reply.status, body=reply.body) if gone else None

    return happens


@pytest.mark.parametrize("reply", [google.key_invalid().reply, Reply(status=401)])
def test_a_reply_about_the_key_ends_the_run_even_if_others_are_answered(reply: Reply) -> None:
    out = threading.Event()
    with PerspectiveServer(key=KEY, faults=revoked_once(out, reply, texts=("late",))) as server:
        coming = classifier(server.url, max_in_flight=2).classify(posts("late", "fine"))
        assert next(coming).values is not None
        out.set()
        with pytest.raises(TaskError) as raised:
            next(coming)
        assert server.requests == 2
    assert raised.value.cause is Cause.REFUSED


@pytest.mark.parametrize("reply", [Reply(status=403), html(404), Reply(status=302), html(405)])
def test_a_key_that_is_revoked_during_the_run_ends_it(reply: Reply) -> None:
    """Posts that were answered before prove nothing."""
    out = threading.Event()
    faults = revoked_once(out, reply, texts=("late", PROBE))
    with PerspectiveServer(key=KEY, faults=faults) as server:
        coming = classifier(server.url, max_in_flight=2).classify(posts("late", "fine"))
        assert next(coming).values is not None
        out.set()
        with pytest.raises(TaskError) as raised:
            next(coming)
    assert raised.value.cause is Cause.REFUSED


REJECTIONS = [302, 307, 400, *range(403, 408), 410, 412, 413, 415, 418, 422, 423, 451, 499]


@pytest.mark.parametrize("status", REJECTIONS)
def test_a_firewalls_page_for_one_post_is_that_posts_reason(status: int) -> None:
    page = Fault(status=status, body="<html>Blocked: odd")
    with PerspectiveServer(key=KEY, faults=lambda t, _: page if t == "odd" else None) as server:
        found = verdicts(classifier(server.url), posts("odd", "fine"))
    assert found["odd"] == Answer("at://0", reason=f"http_{status}")
    assert found["fine"].values is not None


def test_posts_that_are_rejected_together_share_their_probes() -> None:
    """Each probe is sent after the rejections that it settles."""
    held = threading.Event()
    odd = [f"odd {number}" for number in range(32)]

    def happens(text: str, nth: int) -> Fault | None:
        if text == PROBE:
            assert held.wait(60)
            return None
        return Fault(status=403, body="<html>Blocked") if "odd" in text else None

    with PerspectiveServer(key=KEY, faults=happens) as server:
        coming = classifier(server.url, max_in_flight=32).classify(posts(*odd, "fine"))
        with ThreadPoolExecutor(1) as pool:
            found = pool.submit(list, coming)
            wait_until(lambda: server.requests == 32)  # the held probe is not counted yet
            held.set()
            reasons = [answer.reason for answer in found.result(60)]
    assert reasons.count("http_403") == 32
    assert server.paid_by_text[PROBE] <= 4


def test_twenty_posts_without_scores_are_settled_by_the_fixed_sentence() -> None:
    """A study of emoji posts goes on; a service that scores nothing ends the run."""
    undetected = Fault(status=400, body=typed("LANGUAGE_DETECTION_FAILED").body)
    emoji = posts(*(f"odd {number}" for number in range(100)))

    def emoji_only(text: str, _: int) -> Fault | None:
        return undetected if "odd" in text else None

    with PerspectiveServer(key=KEY, faults=emoji_only) as server:
        found = verdicts(classifier(server.url, max_in_flight=1), emoji)
        assert server.paid_by_text == {PROBE: 5}
    assert {answer.reason for answer in found.values()} == {"language_detection_failed"}

    answered: list[Answer] = []
    with (
        PerspectiveServer(key=KEY, faults=lambda *_: undetected) as server,
        pytest.raises(TaskError) as raised,
    ):
        for answer in classifier(server.url, max_in_flight=1).classify(emoji):
            answered.append(answer)
    assert raised.value.cause is Cause.REFUSED
    assert len(answered) == 20  # what was asked is kept
    assert server.requests == 21


def test_a_name_that_does_not_resolve_is_an_outage() -> None:
    """After the service's end its name may be gone, but a hanging resolver looks the same."""
    with pytest.raises(TaskError) as raised:
        verdicts(classifier("https://perspective.invalid"), posts("one"))
    fault = raised.value
    assert (fault.cause, fault.blames_post, fault.stops_run) == (Cause.UNAVAILABLE, False, False)
    assert str(fault).startswith(f"https://perspective.invalid{ANALYZE}: ")
    assert "the name perspective.invalid cannot be resolved" in str(fault)
    assert str(fault).endswith(" (6 tries)")


def test_an_outage_of_googles_service_names_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    server = LoopbackServer().start()
    server.stop()
    monkeypatch.setenv("HTTPS_PROXY", server.url)
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    with pytest.raises(TaskError) as raised:
        verdicts(classifier(f"https://{GOOGLE_HOST}"), posts("one"))
    assert (raised.value.cause, raised.value.blames_post) == (Cause.UNAVAILABLE, False)
    assert str(raised.value).endswith(f" (6 tries); is the service still there? {ENDS}")


def test_a_server_that_is_down_is_an_outage() -> None:
    server = LoopbackServer().start()
    server.stop()
    with pytest.raises(TaskError) as raised:
        verdicts(classifier(server.url), posts("one"))
    assert (raised.value.cause, raised.value.blames_post) == (Cause.UNAVAILABLE, False)
    assert "Connection refused" in str(raised.value)
    assert str(raised.value).endswith(" (6 tries)")


@pytest.mark.parametrize("status", [408, 409, 425, 501, 502, 503, 504, 520, 599])
def test_a_gateway_error_of_one_post_is_its_reason(status: int) -> None:
    fault = Fault(status=status)
    asked: list[str] = []

    def happens(text: str, _: int) -> Fault | None:
        asked.append(text)
        return fault if text == "odd" else None

    with PerspectiveServer(key=KEY, faults=happens) as server:
        found = verdicts(classifier(server.url), posts("odd"))
    assert found == {"odd": Answer("at://0", reason=f"http_{status}")}
    assert asked == ["odd"] * 6 + [PROBE, "odd"]


def test_a_gateway_error_that_ends_with_the_outage_is_no_posts() -> None:
    fault = Fault(status=502)
    asked: list[str] = []

    def happens(text: str, _: int) -> Fault | None:
        asked.append(text)
        return fault if len(asked) <= 6 else None

    with PerspectiveServer(key=KEY, faults=happens) as server:
        found = verdicts(classifier(server.url), posts("odd"))
    assert found["odd"].values
    assert asked == ["odd"] * 6 + [PROBE, "odd"]


def test_a_connection_that_is_lost_for_one_post_blames_the_post() -> None:
    fault = Fault(cut_connection=True)
    with (
        PerspectiveServer(key=KEY, faults=lambda t, _: fault if t == "odd" else None) as server,
        pytest.raises(TaskError) as raised,
    ):
        verdicts(classifier(server.url), posts("odd"))
    assert raised.value.blames_post
    assert str(raised.value).endswith(" (6 tries)")
    assert server.paid_by_text == {PROBE: 1}
