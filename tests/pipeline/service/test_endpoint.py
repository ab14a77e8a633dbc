"""One POST with its retries, against a real socket: what may pass is tried again."""

import json
import threading
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import Cause, TaskError
from pipeline.service.endpoint import Endpoint, Patience, Stopped
from pipeline.service.quota.pace import until_next_minute
from tests.pipeline.classifiers.asking import KEY, Scripted, endpoint
from tests.servers.http import LoopbackServer, Reply

GOOD = Reply(body={"ok": True})
QUOTA = Reply(status=429, body={"error": {"status": "RESOURCE_EXHAUSTED"}})
PASSING = {
    **{
        str(code): Reply(status=code, body={"error": {}}) for code in (408, 409, 425, 500, 503, 599)
    },
    "html 502": Reply(status=502, body="<html>Bad Gateway"),
    "cut at once": Reply(cut=True),
    "cut half way": Reply(body={"ok": True, "much": "more" * 50}, cut=True),
    "moved to no URL": Reply(status=302, headers={"Location": "http://[::1"}),
    "no JSON": Reply(body="<html>Welcome to the network"),
    "empty": Reply(),
    "a number too long": Reply(body="1" * 5000),
    "nested too deep": Reply(body="[" * 100_000),
}


class Noted(threading.Event):
    """Keeps how long it was to be waited for; it is set from the second wait on."""

    def __init__(self) -> None:
        super().__init__()
        self.waited: list[float] = []

    def wait(self, timeout: float | None = None) -> bool:
        assert timeout is not None
        self.waited.append(timeout)
        return len(self.waited) > 1


def ask(server: LoopbackServer, **more: Any) -> Any:
    return endpoint(server, **more).post({"q": "é🦋"}, threading.Event())


def fault(server: LoopbackServer, **more: Any) -> TaskError:
    with pytest.raises(TaskError) as raised:
        ask(server, **more)
    return raised.value


@pytest.mark.parametrize("passing", PASSING)
def test_what_may_pass_is_asked_again(passing: str) -> None:
    with Scripted(lambda nth: GOOD if nth == 4 else PASSING[passing]) as server:
        reply = ask(server)
    assert (reply.status, reply.body, len(server.seen)) == (200, {"ok": True}, 4)


PLAIN = {"Content-Type": "application/json"}  # no charset: it is UTF-8 all the same


@pytest.mark.parametrize(
    ("reply", "text"),
    [
        (Reply(body='{ "a" : "🦋" }\n', headers=PLAIN), '{ "a" : "🦋" }\n'),
        (Reply(status=400, body=f'{{"said": "{KEY}"}}'), '{"said": "[key]"}'),
        (Reply(status=404, body="<html>é" + 999 * "x", headers={"Content-Type": "text/html"}),
         "<html>é" + 999 * "x"),
        (Reply(status=403, body=b"\xff\x00+2AA-", headers={"Content-Type": "a/b; charset=utf-7"}),
         "\ufffd\x00+2AA-"),
        (Reply(status=403), ""),
    ],
)  # fmt: skip
def test_the_response_is_kept_as_it_came_but_for_the_key(reply: Reply, text: str) -> None:
    with Scripted(lambda nth: reply) as server:
        found = ask(server)
    assert (found.text, found.shown) == (text, f"HTTP {reply.status}: {text[:300]}")


def test_where_nothing_came_there_is_no_response() -> None:
    with Scripted(lambda nth: Reply(cut=True)) as server:
        found = endpoint(server).post({}, threading.Event(), tries=1)
    assert found.text is None


@pytest.mark.parametrize("passing", PASSING)
def test_where_nothing_else_is_answered_the_service_is_at_fault(passing: str) -> None:
    with Scripted(lambda nth: PASSING[passing]) as server:
        error = fault(server)
    assert error.cause is Cause.CRASHED
    assert str(error).startswith(f"{server.url}/ask: ")
    assert str(error).endswith(" (6 times)")
    assert len(server.seen) == 6
    assert not error.blames_post


@pytest.mark.parametrize("passing", ["500", "no JSON", "empty"])
def test_a_fault_of_a_post_asked_alone_is_its_own_where_the_probe_is_answered(passing: str) -> None:
    with Scripted(lambda nth: GOOD if nth == 7 else PASSING[passing]) as server:
        reply = ask(server, probe={"q": "probe"})
    assert reply.status == (500 if passing == "500" else 0)
    assert [json.loads(request.body) for request in server.seen[5:]] == [
        {"q": "é🦋"},
        {"q": "probe"},
    ]


@pytest.mark.parametrize("passing", ["500", "no JSON", "503", "cut at once"])
def test_an_outage_is_no_posts_fault_however_often_it_is_asked_alone(passing: str) -> None:
    with Scripted(lambda nth: PASSING[passing]) as server:
        error = fault(server, probe={"q": "probe"})
    assert (error.cause, error.blames_post) == (Cause.CRASHED, False)


@pytest.mark.parametrize("status", [200, 400])
def test_a_refusal_is_a_posts_own_where_the_probe_is_answered(status: int) -> None:
    """An outage in between is waited out: it says nothing of the probe."""
    script = {1: PASSING["503"], 2: QUOTA, 3: Reply(status=status, body={})}
    with Scripted(lambda nth: script[nth]) as server:
        shared = endpoint(server, probe={"q": "probe"})
        assert shared.answers_probe({}, threading.Event()) is (status == 200)
    assert [json.loads(request.body) for request in server.seen] == [{"q": "probe"}] * 3


def test_in_an_outage_it_is_not_known_whose_a_refusal_is() -> None:
    with Scripted(lambda nth: PASSING["503"]) as server:
        shared = endpoint(server, probe={"q": "probe"})
        with pytest.raises(TaskError) as raised:
            shared.answers_probe({}, threading.Event())
    assert (raised.value.cause, raised.value.blames_post) == (Cause.CRASHED, False)


def test_what_the_last_reply_complained_of_is_known_until_the_next_success() -> None:
    told: list[str] = []
    script = {1: QUOTA, 2: Reply(status=503, body=f"key {KEY}"), 3: GOOD}
    with Scripted(lambda nth: told.append(shared.trouble) or script[nth]) as server:  # type: ignore[func-returns-value]
        shared = endpoint(server)
        assert shared.trouble == ""
        shared.post({}, threading.Event())
        assert shared.trouble == ""
    assert told == [
        "",
        'HTTP 429: {"error": {"status": "RESOURCE_EXHAUSTED"}}',
        "HTTP 503: key [key]",
    ]


@pytest.mark.parametrize("status", [201, 302, 400, 401, 403, 404, 410, 413, 422])
def test_any_other_answer_is_returned_at_once_for_the_classifier_to_judge(status: int) -> None:
    with Scripted(lambda nth: Reply(status=status, body={"a": 1})) as server:
        reply = ask(server)
    assert (reply.status, reply.body, len(server.seen)) == (status, {"a": 1}, 1)
    assert reply.shown == f'HTTP {status}: {{"a": 1}}'


@pytest.mark.parametrize("passing", ["500", "no JSON", "empty"])
def test_a_fault_while_others_are_answered_is_this_posts_own(passing: str) -> None:
    """The last try is answered only after another post's has been."""
    with Scripted(lambda nth: script(nth)) as server:
        shared = endpoint(server)
        other = threading.Thread(target=shared.post, args=({}, threading.Event()))

        def script(nth: int) -> Reply:
            if nth == 6:
                other.start()
                other.join(10)
            return GOOD if nth == 7 else PASSING[passing]

        reply = shared.post({}, threading.Event())
    assert reply.status == (500 if passing == "500" else 0)
    assert reply.body == ({"error": {}} if passing == "500" else None)
    assert len(server.seen) == 7


@pytest.mark.parametrize(
    "passing",
    [
        *(PASSING[name] for name in ("500", "no JSON", "503", "cut at once")),
        Reply(status=500, headers={"X-Should-Retry": "false"}),
    ],
)
def test_an_outage_is_no_posts_fault_though_others_were_answered_as_it_began(
    passing: Reply,
) -> None:
    """So it is for all that were in flight by then."""
    with Scripted(lambda nth: script(nth)) as server:
        shared = endpoint(server, probe={"q": "probe"})
        other = threading.Thread(target=shared.post, args=({}, threading.Event()))

        def script(nth: int) -> Reply:
            if nth == 1:
                other.start()
                other.join(10)
            return GOOD if nth == 2 else passing

        with pytest.raises(TaskError) as raised:
            shared.post({}, threading.Event())
    assert (raised.value.cause, raised.value.blames_post) == (Cause.CRASHED, False)


@pytest.mark.parametrize("passing", ["503", "cut at once", "408"])
def test_an_outage_is_the_services_though_others_were_answered_before(passing: str) -> None:
    with Scripted(lambda nth: GOOD if nth == 1 else PASSING[passing]) as server:
        shared = endpoint(server)
        shared.post({}, threading.Event())
        with pytest.raises(TaskError) as raised:
            shared.post({}, threading.Event())
    assert raised.value.cause is Cause.CRASHED


def test_a_timeout_is_a_try_and_the_message_says_so() -> None:
    with Scripted(lambda nth: Reply(delay_s=30)) as server:
        patience = Patience(tries=2, first_wait=0.001, longest_wait=0.001, timeout=0.05)
        error = fault(server, patience=patience)
    assert "Read timed out. (read timeout=0.05) (2 times)" in str(error)
    assert error.cause is Cause.CRASHED


def test_a_server_that_is_not_there_is_a_fault_of_the_service() -> None:
    with Scripted(lambda nth: GOOD) as server:
        pass
    error = fault(server)  # nobody listens there any more
    assert error.cause is Cause.CRASHED
    assert "Connection refused" in str(error)


def test_429_is_waited_out_and_is_no_try() -> None:
    """Twenty of them, three times as many as there are tries, and a 503 at the end."""
    waits: list[float] = []

    def next_bucket() -> float:
        waits.append(0.0005)
        return waits[-1]

    script = [*([QUOTA] * 20), PASSING["503"], GOOD]
    with Scripted(lambda nth: script[nth - 1]) as server:
        reply = ask(server, until_next_bucket=next_bucket)
    assert (reply.status, len(server.seen), len(waits)) == (200, 22, 20)


def test_429_without_end_is_throttled() -> None:
    patience = Patience(throttled_seconds=0.0)
    with Scripted(lambda nth: QUOTA) as server:
        error = fault(server, patience=patience)
    assert error.cause is Cause.THROTTLED
    assert str(error) == (
        f'{server.url}/ask: HTTP 429: {{"error": {{"status": "RESOURCE_EXHAUSTED"}}}}'
    )


def test_a_late_turn_is_not_throttled_while_others_get_through() -> None:
    """Its two refusals lie further apart than the patience; between them another was answered."""
    shared: list[Endpoint] = []

    def script(nth: int) -> Reply:
        if nth == 2:
            assert shared[0].post({}, threading.Event()).status == 200
        return QUOTA if nth in (1, 2) else GOOD

    patience = Patience(throttled_seconds=0.5)
    with Scripted(script) as server:
        shared.append(endpoint(server, patience=patience, until_next_bucket=lambda: 0.6))
        assert shared[0].post({}, threading.Event()).status == 200
    assert len(server.seen) == 4


def test_a_429_pauses_the_other_posts_too() -> None:
    stop = Noted()
    with Scripted(lambda nth: QUOTA) as server:
        shared = endpoint(server, until_next_bucket=lambda: 60.0)
        for _ in range(2):
            with pytest.raises(Stopped):
                shared.post({}, stop)
    assert [round(seconds) for seconds in stop.waited] == [0, 60, 60]
    assert len(server.seen) == 1


@pytest.mark.parametrize("where", ["code", "type"])
def test_a_quota_that_never_comes_back_is_returned(where: str) -> None:
    final = Reply(status=429, body={"error": {where: "insufficient_quota"}})
    with Scripted(lambda nth: final) as server:
        assert ask(server).status == 429
    assert len(server.seen) == 1


@pytest.mark.parametrize("status", [400, 404, 422])
def test_what_the_service_says_to_ask_again_is_asked_again(status: int) -> None:
    """OpenAI's x-should-retry overrules the status; in the end the classifier judges that."""
    again = Reply(status=status, body={"a": 1}, headers={"X-Should-Retry": "true"})
    with Scripted(lambda nth: GOOD if nth == 3 else again) as server:
        assert ask(server).status == 200
    with Scripted(lambda nth: again) as server:
        assert ask(server).status == status
    assert len(server.seen) == 6


@pytest.mark.parametrize("name", ["408", "500", "503"])
def test_what_the_service_says_not_to_ask_again_is_asked_once(name: str) -> None:
    """And is still no verdict on the post where nothing else is answered either."""
    never = Reply(status=int(name), body={}, headers={"X-Should-Retry": "false"})
    with Scripted(lambda nth: never) as server:
        error = fault(server)
    assert (error.cause, len(server.seen)) == (Cause.CRASHED, 1)
    assert str(error) == f"{server.url}/ask: HTTP {name}: {{}} (1 times)"


def test_a_429_that_the_service_says_not_to_ask_again_is_returned() -> None:
    never = Reply(status=429, body={}, headers={"X-Should-Retry": "false"})
    with Scripted(lambda nth: never) as server:
        assert ask(server).status == 429
    assert len(server.seen) == 1


@pytest.mark.parametrize("advice", ["true", "false", "perhaps", ""])
def test_a_200_is_taken_whatever_is_advised(advice: str) -> None:
    good = Reply(body={"ok": True}, headers={"X-Should-Retry": advice})
    with Scripted(lambda nth: good) as server:
        assert ask(server).status == 200
    assert len(server.seen) == 1


def test_the_body_is_kept_as_it_came_but_for_the_key() -> None:
    body = f'{{"é": "🦋",\n "key": "{KEY}"}}'
    with Scripted(lambda nth: Reply(body=body)) as server:
        reply = ask(server)
    assert reply.text == '{"é": "🦋",\n "key": "[key]"}'


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "7"}, 7.0),
        ({"Retry-After-Ms": "1500", "Retry-After": "7"}, 1.5),
        ({"Retry-After": "86400"}, 300.0),
        ({"Retry-After": "0"}, 42.0),
        ({"Retry-After": "²"}, 42.0),
        ({"Retry-After": "-1"}, 42.0),
        ({"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"}, 42.0),
        ({}, 42.0),
    ],
)
def test_the_wait_that_a_429_asks_for_is_kept(headers: dict[str, str], seconds: float) -> None:
    """42 stands for the time until the next bucket; 0 is no advice, and would be a hot loop."""
    stop = Noted()
    with Scripted(lambda nth: Reply(status=429, body={}, headers=headers)) as server:
        shared = endpoint(server, until_next_bucket=lambda: 42.0)
        with pytest.raises(Stopped):
            shared.post({}, stop)
    assert seconds - 1 < stop.waited[1] <= seconds


@pytest.mark.parametrize("headers", [{}, {"Retry-After": "300"}])
def test_a_task_that_ends_does_not_wait_for_the_next_try(headers: dict[str, str]) -> None:
    stop = Noted()
    unavailable = Reply(status=503, headers=headers)
    with Scripted(lambda nth: unavailable) as server, pytest.raises(Stopped):
        endpoint(server, patience=Patience()).post({}, stop)
    assert len(server.seen) == 1
    assert stop.waited[1] == (300.0 if headers else pytest.approx(1.5, abs=0.5))


def test_asked_to_try_once_it_tries_once() -> None:
    with Scripted(lambda nth: PASSING["500"]) as server:
        assert endpoint(server).post({}, threading.Event(), tries=1).status == 500
    assert len(server.seen) == 1


replies = st.sampled_from([*PASSING.values(), QUOTA, GOOD, Reply(status=400, body={"error": {}})])


@settings(max_examples=40, deadline=None)
@given(st.lists(replies, max_size=12))
def test_only_a_whole_200_is_ever_a_200(script: list[Reply]) -> None:
    """Whatever comes before: the first verdict counts, and six faults are the service's."""
    ends = [reply for reply in script if reply is GOOD or reply.status == 400]
    with Scripted(lambda nth: [*script, GOOD][nth - 1]) as server:
        try:
            reply = ask(server)
        except TaskError as error:
            tried = script[: len(server.seen)]
            assert error.cause is Cause.CRASHED
            assert len([one for one in tried if one is not QUOTA]) == 6
            assert not any(one in ends for one in tried)
        else:
            assert (reply.status, reply.body) == (
                (ends or [GOOD])[0].status,
                (ends or [GOOD])[0].body,
            )


@given(st.floats(0, 4e9))
def test_the_next_bucket_is_in_the_next_minute_of_the_clock(now: float) -> None:
    wait = until_next_minute(now)
    assert 60 * (now // 60 + 1) < now + wait <= 60 * (now // 60 + 1) + 2.0 + 1e-6
    assert 0 < wait <= 62.0
