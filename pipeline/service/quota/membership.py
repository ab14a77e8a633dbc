"""Decide what one task may send, from what it has seen of the others' leases.

The rules, and why they are safe, are in `leases`. Nothing here does I/O.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from pipeline.service.quota.leases import Lease, LeaseTerms, Permit, share

# How many times as long as it takes to die the file of a dead lease stays. Deleting is not urgent,
# and by then the other tasks have found the lease dead as well.
_KEPT_TIMES = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class _SeenLease:
    lease: Lease
    since: float
    """The end of the first listing that showed the lease in this state."""
    is_listed: bool = True
    """Whether the last listing showed the lease at all."""
    is_dead: bool = False


class Membership:
    """One task's own lease, and what the task has seen of the others.

    The caller writes, renames and lists the files, and passes in the times. `began` is always the
    start of a complete refresh.
    """

    def __init__(self, task_id: str, quota: int, terms: LeaseTerms) -> None:
        """Begin as no member: the lease is not written yet."""
        self.lease = Lease(id=task_id, quota=quota)
        self._terms = terms
        self._seen: dict[str, _SeenLease] = {}
        self._joined_at = self._renewed_at = self._written_at = math.inf
        self._is_member = False

    @property
    def is_member(self) -> bool:
        """Whether the task may send, as long as its permit holds."""
        return self._is_member

    @property
    def visible_at(self) -> float:
        """When the lease that was written last is surely visible to all."""
        return self._written_at + self._terms.delay

    def lease_written(self, lease: Lease, began: float, done: float) -> None:
        """Record that the lease was written, for the first time or after it was deleted."""
        self.lease = lease
        self._renewed_at = began
        self._written_at = done
        self._join(done)

    def lease_renamed(self, lease: Lease, began: float, done: float) -> None:
        """Record that the lease was renewed. If that took too long, the task joins again."""
        self.lease = lease
        if done - self._renewed_at > self._terms.lapse:
            self._join(done)
        self._renewed_at = began

    def seconds_to_refresh(self, now: float) -> float:
        """Return in how many seconds the next refresh should begin."""
        to_join = self._joined_at + self._terms.join - now
        return min(self._terms.refresh, to_join) if to_join > 0 else self._terms.refresh

    def should_renew(self, began: float) -> bool:
        """Report whether this refresh renews the lease, or only lists the folder."""
        return began >= self._joined_at + self._terms.join

    def next_lease(self) -> Lease:
        """Return the lease with its next beat."""
        return replace(self.lease, beat=self.lease.beat + 1)

    def observe(self, leases: Iterable[Lease], began: float, now: float) -> Permit | None:
        """Record a listing, and return what the task may send now; None while it must only watch.

        A lease that has not changed for long counts as dead from now on. The task becomes a member
        once it has watched for long enough.

        Args:
            leases: all leases in the listing.
            began: the start of the refresh.
            now: the end of the listing.
        """
        listed = list(leases)
        self._record(listed, now)
        longest_interval = self._longest_interval()
        dead_after = max(self._terms.lease, self._terms.trust + longest_interval)
        self._mark_dead(dead_after, began)
        if not self.should_renew(began):
            return None
        starts = now
        if not self._is_member:
            starts = max(now, self._joined_at + self._terms.join + longest_interval)
        self._is_member = True
        counted = [
            self.lease,
            *(seen.lease for seen in self._others() if self._is_counted(seen, now)),
        ]
        ids = sorted(lease.id for lease in counted)
        return Permit(
            share=share(min(lease.quota for lease in counted), ids.index(self.lease.id), len(ids)),
            count=len(ids),
            starts=starts,
            ends=began + self._terms.trust,
            obsolete=self._obsolete(listed, began - _KEPT_TIMES * dead_after),
        )

    def observe_alone(
        self, listings: Sequence[Iterable[Lease]], began: float, now: float
    ) -> Permit | None:
        """Record listings, and return what a task that holds the claim may send at once.

        Args:
            listings: the leases of each of `LeaseTerms.looks` listings, all of them after the lease
                was written.
            began: before the claim was taken.
            now: when the last one ended.

        Returns:
            None if the task has to join. Otherwise it is a member now.
        """
        for leases in listings:
            self._record(leases, now)
        others = self._others()
        is_quick = now - began < self._terms.look
        if not is_quick or not all(seen.lease.left for seen in others):
            return None
        self._joined_at, self._is_member = -math.inf, True
        return Permit(
            share=self.lease.quota,
            count=1,
            starts=now + max(map(self._seconds_in_use, others), default=0.0),
            ends=began + self._terms.trust,
        )

    def _others(self) -> list[_SeenLease]:
        return [seen for id_, seen in self._seen.items() if id_ != self.lease.id]

    def _longest_interval(self) -> float:
        """Return the longest interval between slots that any task may have, in seconds.

        No task that sends counts more leases than these: `_seen` keeps the ones that are gone for
        long enough.
        """
        others = self._others()
        lowest_quota = min([self.lease.quota, *(seen.lease.quota for seen in others)])
        return self._terms.minute / max(1, lowest_quota // (len(others) + 1))

    def _join(self, now: float) -> None:
        self._joined_at = now
        self._is_member = False

    def _record(self, leases: Iterable[Lease], now: float) -> None:
        listed: dict[str, Lease] = {}
        for lease in leases:
            # A listing may show a file that is being renamed under both names.
            other = listed.get(lease.id, lease)
            listed[lease.id] = max(lease, other, key=_progress)
        for id_, lease in listed.items():
            seen = self._seen.get(id_)
            if seen is None or seen.lease != lease or not seen.is_listed:
                self._seen[id_] = _SeenLease(lease=lease, since=now)
        for id_ in self._seen.keys() - listed.keys():
            seen = self._seen[id_]
            if seen.lease.left or seen.is_dead:
                del self._seen[id_]
            elif seen.is_listed:
                self._seen[id_] = _SeenLease(lease=seen.lease, since=now, is_listed=False)

    def _mark_dead(self, dead_after: float, began: float) -> None:
        for id_, seen in self._seen.items():
            if not seen.is_dead and not seen.lease.left and began - seen.since >= dead_after:
                self._seen[id_] = replace(seen, is_dead=True)

    def _obsolete(self, leases: Iterable[Lease], before: float) -> tuple[Lease, ...]:
        """Return the listed leases whose files can be deleted.

        Of the task's own leases these are all but the current one: a rename whose reply got lost
        may leave one behind.
        """
        return tuple(
            lease
            for lease in leases
            if lease != self.lease and (lease.id == self.lease.id or self._is_over(lease, before))
        )

    def _is_over(self, lease: Lease, before: float) -> bool:
        seen = self._seen[lease.id]
        return (seen.is_dead or seen.lease.left) and seen.since <= before

    def _is_counted(self, seen: _SeenLease, now: float) -> bool:
        if seen.lease.left:
            return now < seen.since + self._seconds_in_use(seen)
        return not seen.is_dead

    def _seconds_in_use(self, seen: _SeenLease) -> float:
        """Return for how long the share of a task that has left is in use, at most."""
        return min((seen.lease.in_use_ms or 0) / 1000, self._terms.longest_use)


def _progress(lease: Lease) -> tuple[bool, int, int]:
    """Return what is larger for the later of two states of the same lease."""
    return lease.left, lease.in_use_ms or 0, lease.beat
