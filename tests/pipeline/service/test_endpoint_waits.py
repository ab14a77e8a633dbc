"""How long an endpoint waits: between attempts, for the quota, and not once the task ends."""

import threading
from collections import Counter
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import Cause, TaskError
from pipeline.service.concurrency import map_concurrently
from pipeline.service.endpoint import Endpoint, Stopped
from pipeline.service.quota.rate_limiter import until_next_minute
from pipeline.service.service import RequestPolicy
from tests.pipeline.classifiers.classifier_setup import Scripted, endpoint
from tests.pipeline.service.scripted_replies import FAILURES, GOOD, NEVER, QUOTA, RecordedWaits
from tests.servers.http import Reply


def test_a_429_is_waited_out_and_does_not_count_as_an_attempt() -> None:
    """Twenty of them, three times as many as there are attempts, and a 503 at the end."""
    script = [*([QUOTA] * 20), FAILURES["503"], GOOD]
    with Scripted(lambda nth: script[nth - 1]) as server:
        reply = endpoint(server).post({}, NEVER)
    assert (reply.status, len(server.seen)) == (200, 22)


def test_429_for_too_long_ends_the_task_as_throttled() -> None:
    policy = RequestPolicy(throttled_s=0.0, first_wait_s=0.001)
    with Scripted(lambda nth: QUOTA) as server:
        asked = endpoint(server, policy=policy)
        with pytest.raises(TaskError) as raised:
            asked.post({}, NEVER)
    assert raised.value.cause is Cause.THROTTLED
    assert asked.activity().is_throttled
    assert str(raised.value) == (
        f'{server.url}/ask: HTTP 429: {{"error": {{"status": "RESOURCE_EXHAUSTED"}}}}'
    )


def test_a_request_is_not_throttled_while_others_get_through() -> None:
    """Its two 429s are further apart than the limit; another was answered between them."""
    shared: list[Endpoint] = []

    def script(nth: int) -> Reply:
        if nth == 2:
            assert shared[0].post({}, NEVER).status == 200
        return QUOTA if nth in (1, 2) else GOOD

    policy = RequestPolicy(throttled_s=0.05, first_wait_s=0.12)
    with Scripted(script) as server:
        shared.append(endpoint(server, policy=policy))
        assert shared[0].post({}, NEVER).status == 200
    assert len(server.seen) == 4


def test_the_whole_task_pauses_once_several_requests_in_a_row_are_throttled() -> None:
    stop = RecordedWaits()
    with Scripted(lambda nth: QUOTA) as server:
        shared = endpoint(server, policy=RequestPolicy(until_quota_resets=lambda: 60.0))
        for _ in range(4):
            with pytest.raises(Stopped):
                shared.post({}, RecordedWaits())
        with pytest.raises(Stopped):
            shared.post({}, stop)
    assert (round(stop.waits_s[0]), len(server.seen)) == (60, 4)


@pytest.mark.parametrize(("replies", "throttled_of"), [(1, 99), (3, 99), (40, 4)])
def test_the_task_does_not_pause_while_others_are_answered(replies: int, throttled_of: int) -> None:
    """Even if three of four requests are throttled: only these wait."""
    script = [GOOD if nth % throttled_of == 0 else QUOTA for nth in range(1, replies + 1)]
    with Scripted(lambda nth: [*script, GOOD][nth - 1]) as server:
        shared = endpoint(server, policy=RequestPolicy(until_quota_resets=lambda: 60.0))
        for reply in script:
            if reply is GOOD:
                shared.post({}, RecordedWaits())
            else:
                with pytest.raises(Stopped):
                    shared.post({}, RecordedWaits())
        last = RecordedWaits()
        assert shared.post({}, last).status == 200
    assert last.waits_s == [0.0]


def test_one_request_that_is_throttled_again_and_again_does_not_pause_the_task() -> None:
    """It is the only one on the wire, so its replies are all that come in a row."""
    stop, last = RecordedWaits(until=20), RecordedWaits()
    with Scripted(lambda nth: QUOTA if nth <= 10 else GOOD) as server:
        shared = endpoint(server, policy=RequestPolicy(until_quota_resets=lambda: 60.0))
        with pytest.raises(Stopped):
            shared.post({}, stop)
        assert shared.post({}, last).status == 200
    assert last.waits_s == [0.0]


def test_a_request_that_waits_takes_no_other_requests_place() -> None:
    """Both places belong to requests that are told to come back in five minutes."""
    late = Reply(status=429, body={}, headers={"Retry-After": "300"})
    stopping = threading.Event()
    with Scripted(lambda nth: late if nth <= 2 else GOOD) as server:
        shared = endpoint(server)
        answered = 0
        for _ in map_concurrently(
            range(22),
            lambda number, stop: shared.post({"q": number}, stop),
            limit=2,
            stopping=stopping,
            waiting=shared.waiting,
        ):
            answered += 1
            if answered == 20:
                assert shared.waiting() == 2
                stopping.set()
    assert (answered, len(server.seen)) == (20, 22)
    assert server.peak_in_flight <= 2


def test_no_more_requests_than_allowed_are_on_the_wire_when_those_that_waited_come_back() -> None:
    """All are throttled twice: twice as many are in flight as there are places."""
    seen: Counter[bytes] = Counter()

    def script(nth: int) -> Reply:
        body = server.seen[nth - 1].body
        seen[body] += 1
        return Reply(body={"ok": True}, delay_s=0.002) if seen[body] > 2 else QUOTA

    with Scripted(script) as server:
        shared = endpoint(server)  # it has four places
        replies = list(
            map_concurrently(
                range(40),
                lambda number, stop: shared.post({"q": number}, stop),
                limit=4,
                waiting=shared.waiting,
            )
        )
    assert [reply.status for reply in replies] == [200] * 40
    assert server.peak_in_flight <= 4


@pytest.mark.parametrize(
    "final",
    [
        Reply(status=429, body={"error": {"code": "insufficient_quota"}}),
        Reply(status=429, body={"error": {"type": "insufficient_quota"}}),
        Reply(status=429, body={}, headers={"X-Should-Retry": "false"}),
    ],
)
def test_a_429_that_waiting_cannot_help_is_returned(final: Reply) -> None:
    with Scripted(lambda nth: final) as server:
        assert endpoint(server).post({}, NEVER).status == 429
    assert len(server.seen) == 1


@pytest.mark.parametrize("status", [429, 503, 529])
@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "7"}, 7.0),
        ({"Retry-After-Ms": "1500", "Retry-After": "7"}, 1.5),
        ({"Retry-After": "86400"}, 300.0),
    ],
)
def test_a_request_waits_for_as_long_as_the_service_asks(
    status: int, headers: dict[str, str], seconds: float
) -> None:
    stop = RecordedWaits()
    reply = Reply(status=status, body={}, headers=headers)
    with Scripted(lambda nth: reply) as server, pytest.raises(Stopped):
        endpoint(server, policy=RequestPolicy()).post({}, stop)
    assert stop.waits_s == [0.0, seconds]


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("value", [None, "0", "²", "-1", "soon"])
def test_without_a_time_that_makes_sense_a_request_waits_as_after_any_failure(
    status: int, value: str | None
) -> None:
    """0 s would be a busy loop."""
    stop = RecordedWaits()
    headers = {} if value is None else {"Retry-After": value}
    reply = Reply(status=status, body={}, headers=headers)
    with Scripted(lambda nth: reply) as server, pytest.raises(Stopped):
        endpoint(server, policy=RequestPolicy(first_wait_s=2.0)).post({}, stop)
    assert 1.0 <= stop.waits_s[1] <= 2.0


def test_waits_grow_where_the_time_that_the_service_names_does_not_help() -> None:
    stop = RecordedWaits(until=8)
    busy = Reply(status=503, headers={"Retry-After": "1"})
    with Scripted(lambda nth: busy) as server, pytest.raises(Stopped):
        endpoint(server, policy=RequestPolicy(first_wait_s=0.5)).post({}, stop)
    waits_s = stop.waits_s[1::2]
    assert waits_s[:2] == [1.0, 1.0]
    assert 1.0 <= waits_s[2] <= 2.0
    assert 4.0 <= waits_s[3] <= 8.0


@pytest.mark.parametrize("headers", [{}, {"Retry-After": "300"}])
def test_a_task_that_ends_does_not_wait_for_the_next_attempt(headers: dict[str, str]) -> None:
    stop = RecordedWaits()
    unavailable = Reply(status=503, headers=headers)
    with Scripted(lambda nth: unavailable) as server, pytest.raises(Stopped):
        endpoint(server, policy=RequestPolicy()).post({}, stop)
    assert len(server.seen) == 1


@given(st.floats(0, 4e9))
def test_the_next_minute_begins_by_the_wall_clock(now: float) -> None:
    wait = until_next_minute(now)
    assert 60 * (now // 60 + 1) < now + wait <= 60 * (now // 60 + 1) + 2.0 + 1e-6
    assert 0 < wait <= 62.0


def test_a_request_that_fails_alone_is_sent_again_sooner_than_in_an_outage() -> None:
    """Another request is answered before each of its failures, or before the first only."""
    first_wait_s = 64.0

    def waits(answered: Callable[[int], bool]) -> list[float]:
        shared: list[Endpoint] = []
        tries = Counter[str]()

        def script(nth: int) -> Reply:
            if nth in others:
                return GOOD
            tries["ours"] += 1
            if answered(tries["ours"]):
                others.add(nth + 1)
                assert shared[0].post({}, NEVER).status == 200
            return FAILURES["503"]

        others: set[int] = set()
        stop = RecordedWaits(until=6)
        policy = RequestPolicy(first_wait_s=first_wait_s, longest_wait_s=1e6)
        with Scripted(script) as server, pytest.raises(Stopped):
            shared.append(endpoint(server, policy=policy))
            shared[0].post({}, stop)
        return [seconds for seconds in stop.waits_s if seconds]

    alone, outage = waits(lambda nth: True), waits(lambda nth: nth == 1)
    assert alone[0] <= first_wait_s / 2
    assert alone[1] <= first_wait_s
    assert outage[0] <= first_wait_s / 2
    assert first_wait_s * 2 <= outage[1]
