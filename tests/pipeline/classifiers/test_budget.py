"""The pace of requests, by a clock that the test moves."""

import math
import threading
from bisect import bisect_left
from collections.abc import Callable

from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.budget import Pace

rates = st.integers(1, 30) | st.floats(0.5, 30) | st.sampled_from([60, 1000, 6000])


class Clock(threading.Event):
    """Time passes when somebody waits for it. `meanwhile` is called once, as a wait begins."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0
        self.meanwhile: Callable[[], None] | None = None

    def __call__(self) -> float:
        return self.now

    def wait(self, timeout: float | None = None) -> bool:
        assert timeout is not None
        happens, self.meanwhile = self.meanwhile, None
        if happens:
            happens()
        self.now += max(timeout, 0.0)
        return self.is_set()


def most_in_a_minute(sent: list[float]) -> int:
    """The fullest window of a minute, wherever it begins."""
    # Less a hair: floats that should be 60 apart are not.
    return max(bisect_left(sent, start + 60 - 1e-6) - at for at, start in enumerate(sent))


@settings(deadline=None)
@given(rates, st.lists(st.floats(0, 200), max_size=8))
def test_no_window_of_a_minute_holds_more_than_the_quota(
    per_minute: float, gaps: list[float]
) -> None:
    """Whatever the pauses between askers: time that was not used is not saved up."""
    clock = Clock()
    pace = Pace(per_minute, clock=clock)
    sent = []
    for gap in [0.0, *gaps]:
        clock.now += gap
        for _ in range(min(int(per_minute) + 3, 50)):
            assert pace.wait(clock)
            sent.append(clock.now)
    assert sent == sorted(sent)
    assert most_in_a_minute(sent) <= math.ceil(per_minute)


@settings(deadline=None)
@given(st.integers(1, 300))
def test_a_quota_that_is_asked_for_is_spent_whole(per_minute: int) -> None:
    clock = Clock()
    pace = Pace(per_minute, clock=clock)
    for _ in range(per_minute):
        pace.wait(clock)
    assert clock.now - 1000.0 <= 60.0


def test_slots_taken_at_once_are_evenly_spaced() -> None:
    pace = Pace(60, clock=Clock())
    assert [pace.reserve() for _ in range(3)] == [1000.0, 1001.0, 1002.0]


def test_without_a_quota_nobody_waits() -> None:
    clock = Clock()
    pace = Pace(None, clock=clock)
    assert all(pace.wait(clock) for _ in range(100))
    assert clock.now == 1000.0


def test_after_a_pause_the_pace_goes_on() -> None:
    clock = Clock()
    pace = Pace(60, clock=clock)
    pace.pause(30)
    assert [pace.reserve() for _ in range(2)] == [1030.0, 1031.0]


def test_a_shorter_pause_does_not_end_a_longer_one() -> None:
    clock = Clock()
    pace = Pace(60, clock=clock)
    pace.pause(30)
    pace.pause(1)
    pace.wait(clock)
    assert clock.now == 1030.0


def test_a_slot_taken_before_a_pause_is_not_used_in_it() -> None:
    """With hundreds in flight, they would else run into the same 429 one after another."""
    clock = Clock()
    pace = Pace(60, clock=clock)
    pace.reserve()
    clock.meanwhile = lambda: pace.pause(30)
    assert pace.wait(clock)
    assert clock.now >= 1030.0


@settings(deadline=None)
@given(rates, st.lists(st.tuples(st.floats(0, 5), st.floats(0, 90)), max_size=30))
def test_no_slot_starts_in_a_pause(per_minute: float, pauses: list[tuple[float, float]]) -> None:
    clock = Clock()
    pace = Pace(per_minute, clock=clock)
    until = 0.0

    def paused(seconds: float) -> None:
        nonlocal until
        until = max(until, clock.now + seconds)
        pace.pause(seconds)

    for gap, seconds in pauses:
        clock.now += gap
        clock.meanwhile = lambda length=seconds: paused(length)
        assert pace.wait(clock)
        assert clock.now >= until - 1e-6


def test_waiting_ends_when_the_task_ends() -> None:
    clock = Clock()
    clock.set()
    assert not Pace(60, clock=clock).wait(clock)


def test_many_threads_never_get_the_same_slot() -> None:
    pace, taken, lock = Pace(60, clock=Clock()), [], threading.Lock()

    def take() -> None:
        for _ in range(50):
            slot = pace.reserve()
            with lock:
                taken.append(slot)

    threads = [threading.Thread(target=take) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(taken) == [1000.0 + second for second in range(400)]
