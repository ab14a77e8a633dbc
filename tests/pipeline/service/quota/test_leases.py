"""One quota, many tasks: whatever clocks, file systems and tasks do, no minute holds more than the
quota; and where nothing goes wrong, hardly less."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.service.quota.leases import Lease, LeaseTerms, NotALease, Permit, Seat, parse, share
from tests.pipeline.service.quota.world import Life, World

TERMS = LeaseTerms()
# Without what is kept for requests that are late: one too many anywhere would show.
EXACT = replace(TERMS, minute=60.0, late=0.0)
UNTIL = 240.0
moments = st.sampled_from([0.0, 1.0, 6.0, 40.0, 41.0, 70.0]) | st.floats(0, 150)


@st.composite
def lives(draw: st.DrawFn, quotas: st.SearchStrategy[int] = st.just(0)) -> Life:  # noqa: B008
    """Most of the time at work beside others, each with its own troubles."""
    start = draw(moments)
    return Life(
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
        sluggish=draw(st.sampled_from([0.0, 0.3])),
        slow=draw(st.sampled_from([0.0, 4.0, 30.0])),
    )


@settings(max_examples=400)
@given(
    st.lists(lives(), min_size=2, max_size=5),
    st.sampled_from([1, 2, 3, 7, 10, 25, 60, 119, 300]),
    st.integers(0, 10**6),
    st.sampled_from([0.0, 1.0, TERMS.delay]),
    st.sampled_from([EXACT, EXACT, TERMS]),
)
def test_no_minute_holds_more_than_the_quota(
    drawn: list[Life], quota: int, seed: int, stale: float, terms: LeaseTerms
) -> None:
    drift = 0.0 if terms is EXACT else 1e-4
    world = World(terms=terms, seed=seed, stale=stale, until=UNTIL, drift=drift)
    world.run([replace(life, quota=quota) for life in drawn])
    assert world.most_in_a_minute() <= quota


@settings(max_examples=100)
@given(
    st.lists(lives(st.sampled_from([12, 40, 150])), min_size=2, max_size=5),
    st.integers(0, 10**6),
)
def test_of_different_quotas_the_least_of_those_that_send_holds(
    drawn: list[Life], seed: int
) -> None:
    world = World(terms=EXACT, seed=seed, stale=1.0, until=UNTIL)
    lives = [replace(life, stalls=(), slow=0.0) for life in drawn]
    world.run(lives)
    for number, life in enumerate(lives):
        own = [at for at, sender in world.sent if sender == number]
        if own:
            assert world.most_in_a_minute(min(own), max(own)) <= life.quota


@pytest.mark.parametrize(("quota", "tasks"), [(6000, 8), (1500, 20), (61, 4)])
def test_the_quota_is_used_while_there_is_work(quota: int, tasks: int) -> None:
    world = World(terms=TERMS, seed=1, stale=1.0, until=130.0)
    world.run([Life(start=number % 7, end=400.0, quota=quota) for number in range(tasks)])
    used = sum(60 <= at < 120 for at, _ in world.sent)
    assert 0.97 * quota <= used <= quota


@given(st.integers(0, 10**4), st.integers(1, 300))
def test_shares_sum_to_the_quota_and_one_more_task_raises_none(quota: int, count: int) -> None:
    shares = [share(quota, rank, count) for rank in range(count)]
    assert sum(shares) == quota
    assert max(shares) - min(shares) <= 1
    for rank, own in enumerate(shares):
        assert share(quota, rank, count + 1) <= own
        assert share(quota, rank + 1, count + 1) <= own


def seat(quota: int = 60) -> Seat:
    """Of the task `me`, which has sent before, refreshed at 120 and was alone until then."""
    one = Seat("me", quota, TERMS)
    one.announced(one.lease, 100.0, 101.0)
    refreshed(one, 114.0)
    refreshed(one, 120.0)
    return one


def refreshed(one: Seat, at: float, *names: str) -> Permit | None:
    """A refresh that begins at this time and takes a second."""
    mine = one.lease
    if one.renews(at):
        mine = one.next_lease()
        one.renewed(mine, at, at + 0.5)
    return one.looked(parse([mine.name, *names]), at, at + 1.0)


def count(permit: Permit | None) -> int:
    assert permit
    return permit.count


def test_a_task_that_joins_looks_on_until_everybody_has_seen_its_lease() -> None:
    """Written at 101, to be seen by 106, and by 114 by all who may send: then for one interval of
    them, 61 / 30 seconds, it is silent still."""
    one = Seat("me", 60, TERMS)
    one.announced(one.lease, 100.0, 101.0)
    assert (one.renews(113.9), one.due(101.0), one.due(112.0)) == (False, 3.0, 2.0)
    assert refreshed(one, 113.9, "other.7.60.lease") is None
    assert one.lease == Lease(id="me", number=0, quota=60)
    assert refreshed(one, 114.0, "other.11.60.lease") == Permit(
        share=30, count=2, starts=114.0 + 61 / 30, ends=122.0
    )
    assert one.lease == Lease(id="me", number=1, quota=60)
    assert refreshed(one, 117.0, "other.12.60.lease") == Permit(
        share=30, count=2, starts=118.0, ends=125.0
    )


def test_one_that_could_not_renew_for_long_joins_anew() -> None:
    in_time, late = seat(), seat()
    assert refreshed(in_time, 143.0)
    assert refreshed(late, 143.5) is None
    assert refreshed(late, 156.9) is None
    # Renewed at 144, and at 157 again.
    permit = refreshed(late, 157.0)
    assert permit and (permit.starts, late.lease.number) == (144.0 + 13 + 61 / 60, 4)


def test_a_lease_that_does_not_change_is_dead_after_its_time() -> None:
    one = seat()
    assert count(refreshed(one, 123.0, "other.7.60.lease")) == 2
    assert count(refreshed(one, 143.0, "other.7.60.lease")) == 2
    assert count(refreshed(one, 153.9, "other.7.60.lease")) == 1 + 1
    assert count(refreshed(one, 154.0, "other.7.60.lease")) == 1
    assert count(refreshed(one, 157.0, "other.8.60.lease")) == 2


def test_a_dead_one_that_is_swept_away_does_not_count_again() -> None:
    one = seat()
    for at in (123.0, 140.0, 154.0):
        refreshed(one, at, "other.7.60.lease")
    assert count(refreshed(one, 157.0)) == 1


def test_a_lease_that_one_listing_misses_still_counts() -> None:
    """It may have been renamed while the folder was read."""
    one = seat()
    refreshed(one, 123.0, "other.7.60.lease")
    assert count(refreshed(one, 140.0)) == 2
    assert count(refreshed(one, 160.0)) == 2
    assert count(refreshed(one, 171.0)) == 1


def test_after_standing_still_the_others_are_looked_at_anew() -> None:
    one = seat()
    refreshed(one, 123.0, "other.7.60.lease", "another.7.60.lease")
    refreshed(one, 500.0, "other.99.60.lease")
    assert count(refreshed(one, 514.0, "other.99.60.lease")) == 3


def test_a_lease_that_was_left_counts_for_as_long_as_it_says() -> None:
    one = seat()
    refreshed(one, 123.0, "other.7.60.lease")
    assert count(refreshed(one, 126.0, "other.4000.60.left")) == 2
    assert count(refreshed(one, 129.0, "other.4000.60.left", "other.7.60.lease")) == 2
    assert count(refreshed(one, 132.0, "other.4000.60.left")) == 1
    assert count(refreshed(one, 135.0)) == 1


def test_one_that_left_with_nothing_in_use_counts_no_longer_at_once() -> None:
    one = seat()
    refreshed(one, 123.0, "other.7.60.lease")
    assert count(refreshed(one, 126.0, "other.0.60.left")) == 1


def test_only_what_nobody_needs_any_more_is_forgotten() -> None:
    one = seat()
    names = ("dead.7.60.lease", "left.0.60.left", "me.0.60.lease")
    first = refreshed(one, 123.0, *names)
    assert first and [lease.name for lease in first.forgotten] == ["me.0.60.lease"]
    names = names[:2]
    for at in range(126, 214, 3):
        permit = refreshed(one, at, *names, f"alive.{at}.60.lease")
        assert permit and permit.forgotten == ()
    permit = refreshed(one, 214.0, *names, "alive.1000.60.lease")
    assert permit and [lease.name for lease in permit.forgotten] == list(names)


def test_the_least_quota_that_counts_holds() -> None:
    one = seat(quota=60)
    permit = refreshed(one, 123.0, "other.7.20.lease", "third.0.10.left")
    assert permit and (permit.share, permit.count) == (10, 2)


def test_more_tasks_than_requests_a_minute_leave_some_without() -> None:
    one = seat(quota=2)
    permit = refreshed(one, 123.0, "a.1.2.lease", "b.1.2.lease")
    assert permit and (permit.share, permit.count) == (0, 3)


def test_what_is_no_lease_is_left_alone_but_not_what_may_be_one() -> None:
    assert parse([".nfs0001", "README", "1764.pause", "a.1.60.lease", "b.20.6000.left"]) == [
        Lease(id="a", number=1, quota=60),
        Lease(id="b", number=20, quota=6000, left=True),
    ]
    for name in ("a.lease", "a.1.lease", "a.x.60.lease", "a b.1.60.lease", "a.1.60.7.left"):
        with pytest.raises(NotALease, match=name):
            parse([name])
