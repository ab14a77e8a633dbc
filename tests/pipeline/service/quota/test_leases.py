"""One quota, many tasks: no minute ever holds more requests than the quota, and hardly fewer.

This holds whatever clocks, file systems and tasks do. A simulated world tries.
"""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.service.quota.leases import (
    Lease,
    LeaseTerms,
    parse_leases,
    share,
)
from tests.pipeline.service.quota.simulation import TaskLife, World

TERMS = LeaseTerms()
# Without the allowance for late requests, so that a single request too many shows.
EXACT = replace(TERMS, minute=60.0, late=0.0)
UNTIL = 240.0
moments = st.sampled_from([0.0, 1.0, 6.0, 40.0, 41.0, 70.0]) | st.floats(0, 150)


@st.composite
def lives(draw: st.DrawFn, quotas: st.SearchStrategy[int] = st.just(0)) -> TaskLife:  # noqa: B008
    """Draw a task that mostly works beside others and has its own troubles."""
    start = draw(moments)
    return TaskLife(
        start=start,
        end=start + draw(st.sampled_from([UNTIL, 60.0, 20.0]) | st.floats(0, UNTIL)),
        quota=draw(quotas),
        dies=draw(st.booleans()),
        stalls=draw(
            st.lists(
                st.tuples(
                    moments,
                    st.sampled_from([4.0, 9.0, 12.0, 20.0, 26.0, 32.0, 100.0]) | st.floats(0, 60),
                ),
                max_size=2,
            )
        ),
        busy=draw(st.sampled_from([1.0, 1.0, 0.9])),
        notices_late=draw(st.sampled_from([0.0, 0.3])),
        slow_calls_s=draw(st.sampled_from([0.0, 4.0, 30.0])),
    )


@settings(max_examples=150)
@given(
    st.lists(lives(), min_size=2, max_size=5),
    st.sampled_from([1, 2, 3, 7, 10, 25, 60, 119, 300]),
    st.integers(0, 10**6),
    st.sampled_from([0.0, 1.0, TERMS.delay]),
    st.sampled_from([EXACT, EXACT, TERMS]),
)
def test_no_minute_holds_more_than_the_quota(
    drawn: list[TaskLife], quota: int, seed: int, stale: float, terms: LeaseTerms
) -> None:
    drift = 0.0 if terms is EXACT else 1e-4
    world = World(terms=terms, seed=seed, stale=stale, until=UNTIL, drift=drift)
    world.run([replace(life, quota=quota) for life in drawn])
    assert world.most_in_a_minute() <= quota


@st.composite
def short_lives(draw: st.DrawFn) -> TaskLife:
    """Draw a task that comes soon after another, or with it, and mostly ends soon."""
    start = draw(st.sampled_from([0.0, 0.0, 0.1, 3.5, 4.0, 4.5]) | st.floats(0, 40))
    return TaskLife(
        start=start,
        end=start + draw(st.sampled_from([0.5, 2.0, 4.9, 5.1, 8.0, 30.0]) | st.floats(0, 60)),
        quota=0,
        dies=draw(st.sampled_from([False, False, True])),
        stalls=draw(
            st.lists(
                st.tuples(st.floats(0, 40), st.sampled_from([0.2, 3.0, 9.0, 30.0])), max_size=1
            )
        ),
        slow_calls_s=draw(st.sampled_from([0.0, 0.0, 4.0])),
    )


@settings(max_examples=400)
@given(
    st.lists(short_lives(), min_size=2, max_size=8),
    st.sampled_from([1, 3, 10]),
    st.integers(0, 10**6),
    st.sampled_from([0.0, 1.0, TERMS.delay]),
)
def test_no_minute_holds_more_than_the_quota_when_tasks_come_and_go(
    drawn: list[TaskLife], quota: int, seed: int, stale: float
) -> None:
    """Here a minute is short, so that it is full before such tasks end."""
    world = World(terms=replace(EXACT, minute=2.0), seed=seed, stale=stale, until=80.0)
    world.run([replace(life, quota=quota) for life in drawn])
    assert world.most_in_a_minute(minute=2.0) <= quota


@pytest.mark.parametrize("stale", [0.0, 5.0])
def test_each_of_many_tasks_that_are_alone_sends_at_once(stale: float) -> None:
    world = World(terms=TERMS, seed=1, stale=stale, until=400.0)
    starts = [40.0 * number for number in range(8)]
    world.run([TaskLife(start=start, end=start + 3.0, quota=6000) for start in starts])
    firsts = [min(at for at, who in world.sent if who == number) for number in range(8)]
    assert max(first - start for first, start in zip(firsts, starts, strict=True)) < 1.0
    assert world.most_in_a_minute() <= 6000


def test_of_tasks_that_start_together_one_sends_at_once_and_the_others_join() -> None:
    world = World(terms=TERMS, seed=1, stale=1.0, until=60.0)
    world.run([TaskLife(start=0.0, end=100.0, quota=6000) for _ in range(5)])
    assert sum(world.claimed.values()) == 1
    assert {who for at, who in world.sent if at < 1.0} == set(world.claimed)
    assert {who for at, who in world.sent if at < TERMS.join} == set(world.claimed)
    assert {who for _, who in world.sent} == set(range(5))


def test_a_claim_that_a_dead_task_left_is_given_back_by_the_next_one_that_joins() -> None:
    world = World(terms=TERMS, seed=1, stale=1.0, until=600.0)
    world.run(
        [
            TaskLife(start=0.0, end=2.0, quota=60, dies=True),
            TaskLife(start=3.0, end=300.0, quota=60),
            TaskLife(start=320.0, end=400.0, quota=60),
        ]
    )
    assert set(world.claimed) == {0, 2}


@settings(max_examples=60)
@given(
    st.lists(lives(st.sampled_from([12, 40, 150])), min_size=2, max_size=5),
    st.integers(0, 10**6),
)
def test_the_lowest_quota_of_the_sending_tasks_holds(drawn: list[TaskLife], seed: int) -> None:
    world = World(terms=EXACT, seed=seed, stale=1.0, until=UNTIL)
    lives = [replace(life, stalls=(), slow_calls_s=0.0) for life in drawn]
    world.run(lives)
    for number, life in enumerate(lives):
        own = [arrival for arrival, sender in world.sent if sender == number]
        if own:
            assert world.most_in_a_minute(min(own), max(own)) <= life.quota


@pytest.mark.parametrize(("quota", "tasks"), [(6000, 8), (1500, 20), (61, 4)])
def test_the_quota_is_used_up_while_there_is_work(quota: int, tasks: int) -> None:
    world = World(terms=TERMS, seed=1, stale=1.0, until=130.0)
    world.run([TaskLife(start=number % 7, end=400.0, quota=quota) for number in range(tasks)])
    used = sum(60 <= arrival < 120 for arrival, _ in world.sent)
    assert 0.97 * quota <= used <= quota


@given(st.integers(0, 10**4), st.integers(1, 300))
def test_shares_sum_to_the_quota_and_a_further_task_raises_none(quota: int, count: int) -> None:
    shares = [share(quota, rank, count) for rank in range(count)]
    assert sum(shares) == quota
    assert max(shares) - min(shares) <= 1
    for rank, own in enumerate(shares):
        assert share(quota, rank, count + 1) <= own
        assert share(quota, rank + 1, count + 1) <= own


def test_a_lease_is_read_from_its_file_name_and_other_files_are_ignored() -> None:
    others = [".nfs0001", "README", "1764.pause", "a.lease", "a.1.lease", "a.x.60.lease"]
    others += ["a b.1.60.lease", "a.1.60.7.left", "a.1.0.lease", "a.1.60.lease\n"]
    assert parse_leases([*others, "a.1.60.lease", "b.20.6000.left"]) == [
        Lease(id="a", quota=60, beat=1),
        Lease(id="b", quota=6000, in_use_ms=20),
    ]
