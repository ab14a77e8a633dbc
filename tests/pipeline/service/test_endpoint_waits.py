"""How long an endpoint waits: between attempts, for the quota, and not once the task ends."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import Cause, TaskError
from pipeline.service.endpoint import Endpoint, RequestPolicy, Stopped
from pipeline.service.quota.pace import until_next_minute
from tests.pipeline.classifiers.classifier_setup import Scripted, endpoint
from tests.pipeline.service.scripted_replies import FAILURES, GOOD, NEVER, QUOTA, RecordedWaits
from tests.servers.http import Reply


def test_a_429_is_waited_out_and_does_not_count_as_an_attempt() -> None:
    """Twenty of them, three times as many as there are attempts, and a 503 at the end."""
    waits_s: list[float] = []

    def until_quota_resets() -> float:
        waits_s.append(0.0005)
        return waits_s[-1]

    policy = RequestPolicy(
        first_wait_s=0.001, longest_wait_s=0.002, until_quota_resets=until_quota_resets
    )
    script = [*([QUOTA] * 20), FAILURES["503"], GOOD]
    with Scripted(lambda nth: script[nth - 1]) as server:
        reply = endpoint(server, policy=policy).post({}, NEVER)
    assert (reply.status, len(server.seen), len(waits_s)) == (200, 22, 20)


def test_429_for_too_long_ends_the_task_as_throttled() -> None:
    policy = RequestPolicy(throttled_s=0.0)
    with Scripted(lambda nth: QUOTA) as server, pytest.raises(TaskError) as raised:
        endpoint(server, policy=policy).post({}, NEVER)
    assert raised.value.cause is Cause.THROTTLED
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

    policy = RequestPolicy(throttled_s=0.5, until_quota_resets=lambda: 0.6)
    with Scripted(script) as server:
        shared.append(endpoint(server, policy=policy))
        assert shared[0].post({}, NEVER).status == 200
    assert len(server.seen) == 4


def test_a_429_pauses_the_other_requests_too() -> None:
    stop = RecordedWaits()
    with Scripted(lambda nth: QUOTA) as server:
        shared = endpoint(server, policy=RequestPolicy(until_quota_resets=lambda: 60.0))
        for _ in range(2):
            with pytest.raises(Stopped):
                shared.post({}, stop)
    assert [round(seconds) for seconds in stop.waits_s] == [0, 60, 60]
    assert len(server.seen) == 1


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
def test_a_429_is_waited_out_for_as_long_as_the_service_asks(
    headers: dict[str, str], seconds: float
) -> None:
    """42 s stands for the time until the quota resets. 0 s would be a busy loop."""
    stop = RecordedWaits()
    with Scripted(lambda nth: Reply(status=429, body={}, headers=headers)) as server:
        shared = endpoint(server, policy=RequestPolicy(until_quota_resets=lambda: 42.0))
        with pytest.raises(Stopped):
            shared.post({}, stop)
    assert seconds - 1 < stop.waits_s[1] <= seconds


@pytest.mark.parametrize("headers", [{}, {"Retry-After": "300"}])
def test_a_task_that_ends_does_not_wait_for_the_next_attempt(headers: dict[str, str]) -> None:
    stop = RecordedWaits()
    unavailable = Reply(status=503, headers=headers)
    with Scripted(lambda nth: unavailable) as server, pytest.raises(Stopped):
        endpoint(server, policy=RequestPolicy()).post({}, stop)
    assert len(server.seen) == 1
    assert stop.waits_s[1] == (300.0 if headers else pytest.approx(1.5, abs=0.5))


@given(st.floats(0, 4e9))
def test_the_next_minute_begins_by_the_wall_clock(now: float) -> None:
    wait = until_next_minute(now)
    assert 60 * (now // 60 + 1) < now + wait <= 60 * (now // 60 + 1) + 2.0 + 1e-6
    assert 0 < wait <= 62.0
