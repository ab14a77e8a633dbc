"""One POST with its retries, against a real socket: who is at fault when it keeps failing."""

import json
import threading
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import Cause, TaskError
from pipeline.service.endpoint import Endpoint
from pipeline.service.service import RequestPolicy
from pipeline.terminal import clean
from tests.pipeline.classifiers.classifier_setup import KEY, Scripted, endpoint
from tests.pipeline.service.scripted_replies import FAILURES, GOOD, NEVER, QUOTA
from tests.servers.http import LoopbackServer, Reply
from tests.waiting import PATIENCE_S

PLAIN = {"Content-Type": "application/json"}  # without a charset it is still UTF-8


def post(server: LoopbackServer, **options: Any) -> Any:
    return endpoint(server, **options).post({"q": "é🦋"}, NEVER)


def failure(server: LoopbackServer, **options: Any) -> TaskError:
    with pytest.raises(TaskError) as raised:
        post(server, **options)
    return raised.value


@pytest.mark.parametrize("name", FAILURES)
def test_a_failure_that_may_pass_is_retried(name: str) -> None:
    with Scripted(lambda nth: GOOD if nth == 4 else FAILURES[name]) as server:
        reply = post(server)
    assert (reply.status, reply.body, len(server.seen)) == (200, {"ok": True}, 4)


@pytest.mark.parametrize(
    ("reply", "text"),
    [
        (Reply(body='{ "a" : "🦋" }\n', headers=PLAIN), '{ "a" : "🦋" }\n'),
        (Reply(body=f'{{"é": "🦋",\n "key": "{KEY}"}}'), '{"é": "🦋",\n "key": "[key]"}'),
        (Reply(status=400, body=f'{{"said": "{KEY}"}}'), '{"said": "[key]"}'),
        (Reply(status=404, body="<html>é" + 999 * "x", headers={"Content-Type": "text/html"}),
         "<html>é" + 999 * "x"),
        (Reply(status=403, body=b"\xff\x00+2AA-", headers={"Content-Type": "a/b; charset=utf-7"}),
         "\ufffd\x00+2AA-"),
        (Reply(status=403), ""),
    ],
)  # fmt: skip
def test_the_body_is_kept_as_it_came_except_for_the_key(reply: Reply, text: str) -> None:
    with Scripted(lambda nth: reply) as server:
        received = post(server)
    assert received.text == text
    assert received.summary == f"HTTP {reply.status}: {' '.join(clean(text[:300]).split())}"


def test_a_lost_connection_has_no_body() -> None:
    with Scripted(lambda nth: Reply(cut=True)) as server:
        reply = endpoint(server).post({}, NEVER, attempts=1)
    assert reply.text is None


@pytest.mark.parametrize("name", FAILURES)
def test_the_service_is_at_fault_when_nothing_is_answered(name: str) -> None:
    with Scripted(lambda nth: FAILURES[name]) as server:
        error = failure(server)
    assert (error.cause, error.blames_post) == (Cause.UNAVAILABLE, False)
    assert str(error).startswith(f"{server.url}/ask: ")
    assert str(error).endswith(" (6 tries)")
    assert len(server.seen) == 6


@pytest.mark.parametrize("name", ["500", "no JSON", "empty"])
def test_the_post_is_at_fault_when_the_probe_is_answered(name: str) -> None:
    with Scripted(lambda nth: GOOD if nth == 7 else FAILURES[name]) as server:
        reply = post(server, probe={"q": "probe"})
    assert reply.status == (500 if name == "500" else 0)
    assert [json.loads(request.body) for request in server.seen[5:]] == [
        {"q": "é🦋"},
        {"q": "probe"},
    ]


@pytest.mark.parametrize("name", ["500", "no JSON", "503", "cut at once"])
def test_the_service_is_at_fault_when_the_probe_fails_too(name: str) -> None:
    with Scripted(lambda nth: FAILURES[name]) as server:
        error = failure(server, probe={"q": "probe"})
    assert (error.cause, error.blames_post) == (Cause.UNAVAILABLE, False)


@pytest.mark.parametrize("name", ["500", "no JSON", "empty"])
def test_the_post_is_at_fault_when_another_is_answered_between_its_attempts(name: str) -> None:
    """Its last attempt is answered only after another post has got its answer."""
    with Scripted(lambda nth: script(nth)) as server:
        shared = endpoint(server)
        other = threading.Thread(target=shared.post, args=({}, NEVER))

        def script(nth: int) -> Reply:
            if nth == 6:
                other.start()
                other.join(PATIENCE_S)
            return GOOD if nth == 7 else FAILURES[name]

        reply = shared.post({}, NEVER)
    assert reply.status == (500 if name == "500" else 0)
    assert reply.body == ({"error": {}} if name == "500" else None)
    assert len(server.seen) == 7


@pytest.mark.parametrize(
    "failing",
    [
        *(FAILURES[name] for name in ("500", "no JSON", "503", "cut at once")),
        Reply(status=500, headers={"X-Should-Retry": "false"}),
    ],
)
def test_the_service_is_at_fault_when_others_were_answered_only_as_the_outage_began(
    failing: Reply,
) -> None:
    """All requests in flight at that moment have seen such an answer."""
    with Scripted(lambda nth: script(nth)) as server:
        shared = endpoint(server, probe={"q": "probe"})
        other = threading.Thread(target=shared.post, args=({}, NEVER))

        def script(nth: int) -> Reply:
            if nth == 1:
                other.start()
                other.join(PATIENCE_S)
            return GOOD if nth == 2 else failing

        with pytest.raises(TaskError) as raised:
            shared.post({}, NEVER)
    assert (raised.value.cause, raised.value.blames_post) == (Cause.UNAVAILABLE, False)


@pytest.mark.parametrize("name", ["503", "cut at once", "408"])
def test_the_service_is_at_fault_when_others_were_answered_before_the_outage(name: str) -> None:
    with Scripted(lambda nth: GOOD if nth == 1 else FAILURES[name]) as server:
        shared = endpoint(server)
        shared.post({}, NEVER)
        with pytest.raises(TaskError) as raised:
            shared.post({}, NEVER)
    assert raised.value.cause is Cause.UNAVAILABLE


@pytest.mark.parametrize("status", [200, 400])
def test_the_probe_is_answered_only_by_a_200_and_after_an_outage(status: int) -> None:
    script = {1: FAILURES["503"], 2: QUOTA, 3: Reply(status=status, body={})}
    with Scripted(lambda nth: script[nth]) as server:
        shared = endpoint(server, probe={"q": "probe"})
        assert shared.answers_probe({}, NEVER) is (status == 200)
    assert [json.loads(request.body) for request in server.seen] == [{"q": "probe"}] * 3


def test_a_probe_during_an_outage_raises_the_services_fault() -> None:
    with Scripted(lambda nth: FAILURES["503"]) as server:
        shared = endpoint(server, probe={"q": "probe"})
        with pytest.raises(TaskError) as raised:
            shared.answers_probe({}, NEVER)
    assert (raised.value.cause, raised.value.blames_post) == (Cause.UNAVAILABLE, False)


def test_trouble_is_the_last_failure_until_the_next_success() -> None:
    troubles: list[str] = []
    script = {1: QUOTA, 2: Reply(status=503, body=f"key {KEY}"), 3: GOOD}

    def record(nth: int) -> Reply:
        troubles.append(shared.trouble)
        return script[nth]

    with Scripted(record) as server:
        shared = endpoint(server)
        assert shared.trouble == ""
        shared.post({}, NEVER)
        assert shared.trouble == ""
    assert troubles == [
        "",
        'HTTP 429: {"error": {"status": "RESOURCE_EXHAUSTED"}}',
        "HTTP 503: key [key]",
    ]


@pytest.mark.parametrize("status", [201, 302, 400, 401, 403, 404, 410, 413, 422])
def test_any_other_reply_is_returned_at_once_for_the_classifier_to_judge(status: int) -> None:
    with Scripted(lambda nth: Reply(status=status, body={"a": 1})) as server:
        reply = post(server)
    assert (reply.status, reply.body, len(server.seen)) == (status, {"a": 1}, 1)
    assert reply.summary == f'HTTP {status}: {{"a": 1}}'


def test_a_timeout_is_an_attempt_and_is_named_in_the_message() -> None:
    policy = RequestPolicy(attempts=2, first_wait_s=0.001, longest_wait_s=0.001, timeout_s=0.05)
    with Scripted(lambda nth: Reply(delay_s=30)) as server:
        error = failure(server, policy=policy)
    assert "the answer was not complete within 0.05 s (2 tries)" in str(error)
    assert error.cause is Cause.UNAVAILABLE


def test_a_service_that_nobody_runs_is_at_fault() -> None:
    with Scripted(lambda nth: GOOD) as server:
        pass
    error = failure(server)  # nobody listens there any more
    assert error.cause is Cause.UNAVAILABLE
    assert "Connection refused" in str(error)


def test_the_caller_may_limit_the_attempts() -> None:
    with Scripted(lambda nth: FAILURES["500"]) as server:
        assert endpoint(server).post({}, NEVER, attempts=1).status == 500
    assert len(server.seen) == 1


@pytest.mark.parametrize("status", [400, 404, 422])
def test_the_services_advice_to_retry_overrides_the_status(status: int) -> None:
    """OpenAI sends it as x-should-retry. If it never helps, the classifier judges the reply."""
    retry = Reply(status=status, body={"a": 1}, headers={"X-Should-Retry": "true"})
    with Scripted(lambda nth: GOOD if nth == 3 else retry) as server:
        assert post(server).status == 200
    with Scripted(lambda nth: retry) as server:
        assert post(server).status == status
    assert len(server.seen) == 6


@pytest.mark.parametrize("name", ["408", "500", "503"])
def test_the_services_advice_not_to_retry_is_followed(name: str) -> None:
    """The failure is still the service's as long as nothing else is answered either."""
    final = Reply(status=int(name), body={}, headers={"X-Should-Retry": "false"})
    with Scripted(lambda nth: final) as server:
        error = failure(server)
    assert (error.cause, len(server.seen)) == (Cause.UNAVAILABLE, 1)
    assert str(error) == f"{server.url}/ask: HTTP {name}: {{}} (1 try)"


@pytest.mark.parametrize("advice", ["true", "false", "perhaps", ""])
def test_a_200_is_accepted_whatever_the_service_advises(advice: str) -> None:
    good = Reply(body={"ok": True}, headers={"X-Should-Retry": advice})
    with Scripted(lambda nth: good) as server:
        assert post(server).status == 200
    assert len(server.seen) == 1


replies = st.sampled_from([*FAILURES.values(), QUOTA, GOOD, Reply(status=400, body={"error": {}})])


@settings(max_examples=40, deadline=None)
@given(st.lists(replies, max_size=12))
def test_the_first_definite_reply_counts_whatever_comes_before(script: list[Reply]) -> None:
    """Unless six failures come first: those are the service's fault."""
    definite = [reply for reply in script if reply is GOOD or reply.status == 400]
    with Scripted(lambda nth: [*script, GOOD][nth - 1]) as server:
        try:
            reply = post(server)
        except TaskError as error:
            sent = script[: len(server.seen)]
            assert error.cause is Cause.UNAVAILABLE
            assert len([reply for reply in sent if reply is not QUOTA]) == 6
            assert not any(reply in definite for reply in sent)
        else:
            expected = (definite or [GOOD])[0]
            assert (reply.status, reply.body) == (expected.status, expected.body)


def test_an_endpoint_is_named_after_its_url() -> None:
    with Scripted(lambda nth: GOOD) as server:
        shared: Endpoint = endpoint(server)
    assert shared.url == f"{server.url}/ask"
