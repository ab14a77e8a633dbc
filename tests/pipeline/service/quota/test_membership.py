"""What one task may send, from the leases that it lists at given times."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.service.quota.leases import Lease, LeaseTerms, Permit, parse_leases, share
from pipeline.service.quota.membership import Membership

TERMS = LeaseTerms()


def member(quota: int = 60) -> Membership:
    """Return the task `me`: it has joined, was alone so far, and last refreshed at 120."""
    membership = Membership("me", quota, TERMS)
    membership.lease_written(membership.lease, 100.0, 101.0)
    refresh(membership, 114.0)
    refresh(membership, 120.0)
    return membership


def refresh(membership: Membership, began: float, *others: str) -> Permit | None:
    """Refresh for a second; the listing shows the task's own lease and `others`."""
    lease = membership.lease
    if membership.should_renew(began):
        lease = membership.next_lease()
        membership.lease_renamed(lease, began, began + 0.5)
    return membership.observe(parse_leases([lease.name, *others]), began, began + 1.0)


def counted(permit: Permit | None) -> int:
    """Return how many tasks the permit counts."""
    assert permit
    return permit.count


def test_a_task_that_joins_only_watches_until_everybody_has_seen_its_lease() -> None:
    """Its lease is written at 101, visible by 106, and seen by every sending task by 114.

    Then it stays silent for one more interval of theirs, 61 / 30 seconds.
    """
    membership = Membership("me", 60, TERMS)
    membership.lease_written(membership.lease, 100.0, 101.0)
    assert not membership.should_renew(113.9)
    assert membership.seconds_to_refresh(101.0) == 3.0
    assert membership.seconds_to_refresh(112.0) == 2.0
    assert refresh(membership, 113.9, "other.7.60.lease") is None
    assert membership.lease == Lease(id="me", quota=60)
    assert refresh(membership, 114.0, "other.11.60.lease") == Permit(
        share=30, count=2, starts=114.0 + 61 / 30, ends=122.0
    )
    assert membership.lease == Lease(id="me", quota=60, beat=1)
    assert refresh(membership, 117.0, "other.12.60.lease") == Permit(
        share=30, count=2, starts=118.0, ends=125.0
    )


ALONE = ["me.0.60.lease"]


def start_alone(*listings: list[str], took_s: float = 0.5) -> tuple[Membership, Permit | None]:
    """Write the lease at 100 and list the folder, with the claim in hand."""
    membership = Membership("me", 60, TERMS)
    membership.lease_written(membership.lease, 100.0, 100.1)
    leases = [parse_leases(names) for names in listings]
    return membership, membership.observe_alone(leases, 100.0, 100.0 + took_s)


def test_a_task_that_sees_no_other_lease_is_a_member_at_once() -> None:
    membership, permit = start_alone(ALONE, ALONE, ALONE)
    assert permit == Permit(share=60, count=1, starts=100.5, ends=108.0)
    assert membership.is_member
    assert membership.visible_at == 105.1
    assert (membership.seconds_to_refresh(100.5), membership.should_renew(103.5)) == (3.0, True)
    assert refresh(membership, 103.5, "other.1.60.lease") == Permit(
        share=30, count=2, starts=104.5, ends=111.5
    )


@pytest.mark.parametrize("shown_by", range(3))
def test_a_lease_that_any_listing_shows_makes_a_task_join(shown_by: int) -> None:
    """The others may have missed it while it was renamed."""
    listings = [ALONE] * 3
    listings[shown_by] = [*ALONE, "other.7.60.lease"]
    membership, permit = start_alone(*listings)
    assert (permit, membership.is_member) == (None, False)
    assert not membership.should_renew(113.0)


def test_a_task_that_took_long_to_see_that_it_is_alone_joins() -> None:
    assert start_alone(ALONE, ALONE, ALONE, took_s=2.6)[1]
    assert start_alone(ALONE, ALONE, ALONE, took_s=2.7)[1] is None


def test_a_task_that_is_alone_waits_until_the_share_of_one_that_left_is_free() -> None:
    listing = [*ALONE, "other.4000.60.left", "third.0.60.left"]
    _, permit = start_alone(listing, listing, ALONE)
    assert permit and (permit.share, permit.starts) == (60, 100.5)
    _, permit = start_alone(listing, listing, listing)
    assert permit and (permit.share, permit.starts) == (60, 104.5)


def test_a_task_that_could_not_renew_for_long_joins_again() -> None:
    in_time, late = member(), member()
    assert refresh(in_time, 143.0)
    assert refresh(late, 143.5) is None
    assert refresh(late, 156.9) is None
    # It was renewed at 144, and again at 157.
    permit = refresh(late, 157.0)
    assert permit and (permit.starts, late.lease.beat) == (144.0 + 13 + 61 / 60, 4)


def test_a_lease_that_does_not_change_is_dead_after_its_time() -> None:
    membership = member()
    assert counted(refresh(membership, 123.0, "other.7.60.lease")) == 2
    assert counted(refresh(membership, 143.0, "other.7.60.lease")) == 2
    assert counted(refresh(membership, 153.9, "other.7.60.lease")) == 2
    assert counted(refresh(membership, 154.0, "other.7.60.lease")) == 1
    assert counted(refresh(membership, 157.0, "other.8.60.lease")) == 2


def test_a_dead_lease_whose_file_is_deleted_does_not_count_again() -> None:
    membership = member()
    for began in (123.0, 140.0, 154.0):
        refresh(membership, began, "other.7.60.lease")
    assert counted(refresh(membership, 157.0)) == 1


def test_a_lease_that_one_listing_misses_still_counts() -> None:
    """It may have been renamed while the folder was read."""
    membership = member()
    refresh(membership, 123.0, "other.7.60.lease")
    assert counted(refresh(membership, 140.0)) == 2
    assert counted(refresh(membership, 160.0)) == 2
    assert counted(refresh(membership, 171.0)) == 1


def test_a_task_that_stalled_forgets_what_it_knew_of_the_others() -> None:
    membership = member()
    refresh(membership, 123.0, "other.7.60.lease", "another.7.60.lease")
    refresh(membership, 500.0, "other.99.60.lease")
    assert counted(refresh(membership, 514.0, "other.99.60.lease")) == 3


def test_a_task_that_left_counts_for_as_long_as_its_file_says() -> None:
    membership = member()
    refresh(membership, 123.0, "other.7.60.lease")
    assert counted(refresh(membership, 126.0, "other.4000.60.left")) == 2
    assert counted(refresh(membership, 129.0, "other.4000.60.left", "other.7.60.lease")) == 2
    assert counted(refresh(membership, 132.0, "other.4000.60.left")) == 1
    assert counted(refresh(membership, 135.0)) == 1


def test_a_task_that_left_with_nothing_in_use_does_not_count_any_more() -> None:
    membership = member()
    refresh(membership, 123.0, "other.7.60.lease")
    assert counted(refresh(membership, 126.0, "other.0.60.left")) == 1


def test_only_leases_that_no_task_needs_any_more_are_obsolete() -> None:
    membership = member()
    names = ("dead.7.60.lease", "left.0.60.left", "me.0.60.lease")
    first = refresh(membership, 123.0, *names)
    assert first and [lease.name for lease in first.obsolete] == ["me.0.60.lease"]
    names = names[:2]
    for began in range(126, 214, 3):
        permit = refresh(membership, began, *names, f"alive.{began}.60.lease")
        assert permit and permit.obsolete == ()
    permit = refresh(membership, 214.0, *names, "alive.1000.60.lease")
    assert permit and [lease.name for lease in permit.obsolete] == list(names)


def test_the_lowest_quota_that_counts_is_shared() -> None:
    membership = member(quota=60)
    permit = refresh(membership, 123.0, "other.7.20.lease", "third.0.10.left")
    assert permit and (permit.share, permit.count) == (10, 2)


def test_more_tasks_than_requests_a_minute_leave_some_without_a_share() -> None:
    membership = member(quota=2)
    permit = refresh(membership, 123.0, "a.1.2.lease", "b.1.2.lease")
    assert permit and (permit.share, permit.count) == (0, 3)


IDS = st.text("abcxyz0189_-", min_size=1, max_size=4).filter(lambda name: name != "me")
QUOTAS = st.integers(1, 10**6)
# Whatever may be in a folder that people share, but names that are leases.
FOREIGN = st.one_of(
    st.text(st.characters(exclude_characters="/\0"), max_size=20),
    st.builds("{}.{}".format, st.text("a.10\n é", max_size=12), st.sampled_from(["lease", "left"])),
    st.builds("{}.{}.0.lease".format, IDS, st.integers(0)),
    st.builds("{}.1.{}.lease".format, IDS, st.integers(10**15)),
).filter(lambda name: not parse_leases([name]))


@given(
    alive=st.dictionaries(IDS, QUOTAS, max_size=6),
    dead=st.dictionaries(IDS, QUOTAS, max_size=6),
    left=st.dictionaries(IDS, st.tuples(QUOTAS, st.integers(0, 10**15 - 1)), max_size=6),
    foreign=st.lists(FOREIGN, max_size=12),
    own_quota=QUOTAS,
)
def test_among_any_entries_a_task_shares_the_quota_with_the_live_leases_alone(
    alive: dict[str, int],
    dead: dict[str, int],
    left: dict[str, tuple[int, int]],
    foreign: list[str],
    own_quota: int,
) -> None:
    still = [f"dead-{id_}.7.{quota}.lease" for id_, quota in dead.items()]
    still += [f"left-{id_}.{used}.{quota}.left" for id_, (quota, used) in left.items()]
    membership = member(own_quota)
    for beat in range(40):  # two minutes
        beating = [f"{id_}.{beat}.{quota}.lease" for id_, quota in alive.items()]
        permit = refresh(membership, 123.0 + 3 * beat, *still, *beating, *foreign)
    assert permit
    rank = sorted(["me", *alive]).index("me")
    lowest = min(own_quota, *alive.values(), own_quota)
    assert (permit.share, permit.count) == (
        share(lowest, rank, 1 + len(alive)),
        1 + len(alive),
    )
