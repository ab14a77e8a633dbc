"""What a task sends to its service, and which faults come back, is counted by kind."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.service.activity import FAULTS, WINDOW_S, RequestCounter, RequestFault
from pipeline.service.http_reply import DISCONNECTED, INCOMPLETE, TIMED_OUT
from tests.pipeline.classifiers.classifier_setup import Scripted, endpoint
from tests.pipeline.service.scripted_replies import FAILURES, GOOD, NEVER


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@given(st.lists(st.floats(0, 100), max_size=300), st.floats(0, 200))
def test_the_last_minute_has_the_requests_of_the_last_sixty_seconds(
    moments: list[float], after: float
) -> None:
    clock = Clock()
    counter, start = RequestCounter(clock), clock.now
    for moment in sorted(moments):
        clock.now = start + moment
        counter.record_sent()
    clock.now = start + max([*moments, 0]) + after
    recent = [moment for moment in moments if int(clock.now) - int(start + moment) < WINDOW_S]
    assert counter.activity().requests_last_minute == len(recent)


@pytest.mark.parametrize(
    ("status", "fault"),
    [
        (200, None),
        (204, RequestFault.REJECTED),
        (307, RequestFault.REJECTED),
        (401, RequestFault.REJECTED),
        (429, RequestFault.THROTTLED),
        (500, RequestFault.SERVER_ERROR),
        (599, RequestFault.SERVER_ERROR),
        (999, RequestFault.SERVER_ERROR),
        (INCOMPLETE, RequestFault.BAD_ANSWER),
        (TIMED_OUT, RequestFault.TIMED_OUT),
        (DISCONNECTED, RequestFault.NO_CONNECTION),
    ],
)
def test_a_fault_is_counted_by_the_status(status: int, fault: RequestFault | None) -> None:
    counter = RequestCounter()
    counter.record_reply(status)
    assert counter.activity().faults == ({fault: 1} if fault else {})


def test_the_most_frequent_fault_comes_first() -> None:
    counter = RequestCounter()
    for status in (503, 429, 200, 429):
        counter.record_reply(status)
    activity = counter.activity(quota_tasks=3)
    assert list(activity.faults.items()) == [
        (RequestFault.THROTTLED, 2),
        (RequestFault.SERVER_ERROR, 1),
    ]
    assert activity.quota_tasks == 3


def test_an_endpoint_counts_what_it_sends_and_what_comes_back() -> None:
    replies = [FAILURES["503"], FAILURES["empty"], FAILURES["cut at once"], GOOD]
    with Scripted(lambda nth: replies[nth - 1]) as server:
        asked = endpoint(server)
        asked.post({}, NEVER)
    assert asked.activity().requests_last_minute == len(replies)
    assert not asked.activity().is_throttled
    assert asked.activity().faults == {
        RequestFault.SERVER_ERROR: 1,
        RequestFault.BAD_ANSWER: 1,
        RequestFault.NO_CONNECTION: 1,
    }


def test_every_fault_has_a_status() -> None:
    assert set(FAULTS.values()) == {None, *RequestFault}
