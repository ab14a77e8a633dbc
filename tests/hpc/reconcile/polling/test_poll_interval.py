"""Looks come soon after something was done, and in an hour no more often than configured."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from hpc.reconcile.polling.poll_interval import MOST_AHEAD, QUICK_S, PollInterval

POLL_S = 30.0


def pauses(interval: PollInterval, count: int, elapsed_s: float = 0.0) -> list[float]:
    return [interval.next_pause_s(elapsed_s) for _ in range(count)]


def test_the_first_looks_come_soon_and_an_hour_has_as_many_as_without_that() -> None:
    interval = PollInterval(POLL_S)
    assert pauses(interval, len(QUICK_S)) == list(QUICK_S)
    later = pauses(interval, 115)
    assert later[0] == 37.5
    assert later[-1] == POLL_S
    assert sum(QUICK_S) + sum(later) >= 3600 - POLL_S


def test_a_pace_that_is_quick_already_stays_as_it_is() -> None:
    assert pauses(PollInterval(0.2), 3) == [0.2, 0.2, 0.2]


def test_looks_are_quick_again_after_something_was_done_but_not_each_time() -> None:
    interval = PollInterval(POLL_S)
    seen = []
    for _ in range(3):
        interval.quicken()
        seen += pauses(interval, len(QUICK_S))
    assert seen == [*QUICK_S, *QUICK_S, *[37.5] * len(QUICK_S)]


def test_where_slurm_refuses_or_is_slow_no_look_is_quick() -> None:
    refused = PollInterval(POLL_S)
    refused.settle()
    assert pauses(refused, 2) == [POLL_S, POLL_S]
    assert pauses(PollInterval(POLL_S), 2, elapsed_s=20.0) == [20.0, 20.0]


@given(st.lists(st.tuples(st.booleans(), st.floats(0, 100)), max_size=300), st.floats(2, 120))
def test_no_time_has_more_than_a_few_looks_more_than_usual(
    rounds: list[tuple[bool, float]], poll_s: float
) -> None:
    interval, at = PollInterval(poll_s), [0.0]
    for is_quickened, elapsed_s in rounds:
        if is_quickened:
            interval.quicken()
        at.append(at[-1] + elapsed_s + interval.next_pause_s(elapsed_s))
    assert all(later > earlier for earlier, later in pairwise(at))
    for first in range(0, len(at), 7):
        for last in range(first, len(at), 5):
            usual = (at[last] - at[first]) / poll_s
            assert last - first <= usual + MOST_AHEAD + 1e-6
