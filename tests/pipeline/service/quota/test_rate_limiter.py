"""When a task may send: its pauses and its slots, by a clock that the test moves."""

import math
import threading
from bisect import bisect_left
from collections.abc import Callable

from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.service.quota.leases import LeaseTerms, Permit
from pipeline.service.quota.rate_limiter import RateLimiter, Slots

TERMS = LeaseTerms()


class Clock(threading.Event):
    """A clock that moves on when somebody waits; `meanwhile` is called once, as a wait begins."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0
        self.meanwhile: Callable[[], None] | None = None

    def __call__(self) -> float:
        return self.now

    def wait(self, timeout: float | None = None) -> bool:
        assert timeout is not None
        meanwhile, self.meanwhile = self.meanwhile, None
        if meanwhile:
            meanwhile()
        self.now += max(timeout, 0.0)
        return self.is_set()


def test_a_request_without_a_quota_goes_out_at_once() -> None:
    clock = Clock()
    limiter = RateLimiter(clock=clock)
    assert all(limiter.wait(clock) for _ in range(100))
    assert clock.now == 1000.0


def test_a_shorter_pause_does_not_end_a_longer_one() -> None:
    clock = Clock()
    limiter = RateLimiter(clock=clock)
    limiter.pause(30)
    limiter.pause(1)
    assert limiter.wait(clock)
    assert clock.now == 1030.0


def test_a_pause_that_begins_during_another_extends_it() -> None:
    clock = Clock()
    limiter = RateLimiter(clock=clock)
    limiter.pause(10)
    clock.meanwhile = lambda: limiter.pause(30)
    assert limiter.wait(clock)
    assert clock.now == 1030.0


def test_waiting_ends_when_the_task_ends() -> None:
    clock = Clock()
    clock.set()
    assert not RateLimiter(clock=clock).wait(clock)


def permit(share: int, starts: float, *, ends: float = 1e9) -> Permit:
    return Permit(share=share, count=1, starts=starts, ends=ends)


def taken(slots: Slots, now: float, count: int) -> list[float]:
    """Return when a task takes its next slots if it asks again whenever `take` says to."""
    times: list[float] = []
    while len(times) < count:
        wait = slots.take(now)
        now += wait
        if not wait:
            times.append(round(now, 6))
    return times


def test_slots_are_evenly_spaced_after_one_interval_of_silence() -> None:
    slots = Slots(TERMS)
    slots.adopt(permit(61, 1000.0), 1000.0)
    assert taken(slots, 1000.0, 3) == [1001.0, 1002.0, 1003.0]


def test_a_change_of_the_share_costs_one_interval_of_each() -> None:
    slots = Slots(TERMS)
    slots.adopt(permit(61, 1000.0), 1000.0)
    assert taken(slots, 1000.0, 1) == [1001.0]
    slots.adopt(permit(122, 1001.5), 1001.5)
    assert taken(slots, 1001.5, 2) == [1002.5, 1003.0]
    slots.adopt(permit(122, 1003.1), 1003.1)
    assert taken(slots, 1003.1, 1) == [1003.5]
    slots.adopt(permit(61, 1003.6), 1003.6)
    assert taken(slots, 1003.6, 2) == [1005.0, 1006.0]


def test_a_task_catches_up_on_little_time_only() -> None:
    slots = Slots(TERMS)
    slots.adopt(permit(610, 1000.0), 1000.0)
    assert taken(slots, 1000.65, 8) == [1000.65] * 6 + [1000.7, 1000.8]
    assert taken(slots, 1100.05, 9) == [1100.05] * 8 + [1100.15]


def test_a_permit_that_has_ended_allows_nothing() -> None:
    slots = Slots(TERMS)
    slots.adopt(permit(61, 1000.0, ends=1008.0), 1000.0)
    assert slots.take(1008.0) == 0
    assert slots.take(1008.1) == math.inf
    slots.adopt(permit(61, 1020.0, ends=1028.0), 1020.0)
    assert taken(slots, 1020.0, 1) == [1021.0]


def test_a_task_without_a_share_waits_for_one() -> None:
    slots = Slots(TERMS)
    slots.adopt(permit(0, 1000.0), 1000.0)
    assert slots.take(1001.0) == math.inf
    slots.adopt(permit(61, 1003.0), 1003.0)
    assert taken(slots, 1003.0, 1) == [1004.0]


def test_no_slot_lies_in_a_pause_and_lost_slots_are_not_made_up_for() -> None:
    slots = Slots(TERMS)
    slots.adopt(permit(61, 1000.0), 1000.0)
    slots.pause(1030.0)
    slots.pause(1010.0)
    assert taken(slots, 1001.0, 2) == [1030.0, 1031.0]


def test_a_task_that_leaves_learns_for_how_long_its_share_is_in_use() -> None:
    slots = Slots(TERMS)
    assert slots.end(1000.0) == 0.0
    slots = Slots(TERMS)
    slots.adopt(permit(61, 1000.0), 1000.0)
    assert taken(slots, 1001.0, 1) == [1001.0]
    assert slots.end(1001.4) == 0.6000000000000227
    assert slots.take(1500.0) == math.inf


@settings(deadline=None)
@given(st.integers(1, 60) | st.sampled_from([1000, 6000]), st.lists(st.floats(0, 200), max_size=8))
def test_no_window_of_a_minute_holds_more_than_the_share(share: int, gaps: list[float]) -> None:
    """Whatever the gaps between requests: unused time is not saved up."""
    now = 1000.0
    slots = Slots(TERMS)
    slots.adopt(permit(share, now), now)
    sent: list[float] = []
    for gap in [0.0, *gaps]:
        now += gap
        sent += taken(slots, now, min(share + 3, 50))
        now = sent[-1]
    assert sent == sorted(sent)
    assert max(bisect_left(sent, start + 60) - index for index, start in enumerate(sent)) <= share
