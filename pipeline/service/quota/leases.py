"""One quota, many tasks: what a task may send, by what it has seen of the others' leases. Pure.

Every task that uses a key keeps one file, its **lease**, in a folder that all of them share. The
file's name says all: `<id>.<beat>.<quota>.lease`. A **refresh** renames it to the next beat, then
lists the folder; so one listing shows who lives, no file is ever opened, and an NFS client, which
may keep a listing for a minute, reads anew because it has changed the folder itself. A task's
**view** is the leases that it counts; with Q the smallest quota among them, n their number and r
its own rank by id, its **share** is ceil((Q - r) / n) requests a minute: over one view these sum to
Q, and a larger view never gives anybody a larger share.

The safety argument. Outside are: others' changes are seen up to `delay` late; a process, or a call
to the file system, may stand still for any time anywhere; the clocks of different nodes differ. So
no two clocks are compared: all times are a task's own monotonic clock, and a lease is known to
live by its beat having changed, not by a time stamp.

1. *Whoever sends counts all who send.* A task sends only within `trust` of the start of its last
   whole refresh, which it checks as each request goes out. One that joins sends nothing until
   `delay + trust` after its lease was there: by then every refresh that is trusted began when the
   lease was to be seen. It doesn't rename it meanwhile: a file that is renamed while a folder is
   listed may be missed, one that stays is not.
2. *Who is counted no longer sends no longer.* A lease is dead when a listing that began `lease`
   after its beat was first seen shows it unchanged (or not at all: a rename may hide it from one
   listing, not from ten). Its task has stopped by itself `trust` after that beat was written. One
   that comes to, and has not renewed for nearly `lease - delay`, may be dead to others, and joins
   anew. A task that leaves sends nothing more and then renames its lease to `….left`.
3. *So the shares of those who send sum to Q at most, at every moment.* Requests are counted by
   the minute, though, and a share is whole requests. A task's slots are `minute / share` apart, so
   that any window of a minute holds at most `share` of them, no matter where it begins. Where the
   share changes, the last slot and the next are one interval of the old share and one of the new
   apart, as it were one of silence at the end of the old time and one at the start of the new:
   then the slots in any part of a window are never more than the share's part of it. Others' new
   times begin only after the silence of the old ones: a task that joins waits for the `longest`
   interval that anybody may have, one that leaves writes into its name for how long its share is
   still its own (`<id>.<milliseconds>.<quota>.left`), and a dead lease is long past it.
4. *The service counts when requests arrive, not slots.* A request may go out up to `late` after
   its slot and take its way's time; for both together `minute` is a second longer than a minute.
   More is never caught up: unused slots are lost.

What is left open: a process that is stopped between its last look at the clock and the sending
itself, some microseconds, sends that one request whenever it goes on.
"""

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

_NAME = re.compile(r"([A-Za-z0-9_-]+)\.([0-9]+)\.([0-9]+)\.(lease|left)")
_OURS = re.compile(r".*\.(lease|left)")
_NOT_SEEN = -1


@dataclass(frozen=True, kw_only=True, slots=True)
class LeaseTerms:
    """What all tasks of a key agree on, in seconds.

    Args:
        refresh: between two refreshes of one task.
        trust: how long a refresh may be relied on; at least `delay`.
        delay: after which others' changes are surely seen.
        lease: without a change for so long, a lease is dead.
        late: how long after its slot a request may still go out.
        minute: the time in which a share is spent; a minute, `late`, and what the way of a request
            may take longer than that of another.
    """

    refresh: float = 3.0
    trust: float = 8.0
    delay: float = 5.0
    lease: float = 30.0
    late: float = 0.7
    minute: float = 61.0

    @property
    def join(self) -> float:
        return self.delay + self.trust

    @property
    def lapse(self) -> float:
        """Renewed later than this, a lease may be dead to others; a little less, since no two
        clocks run alike."""
        return 0.95 * (self.lease - self.delay)


class NotALease(Exception):
    """A name in the folder that looks like a lease's, and is none that this version reads."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Lease:
    """A lease by its name. `number`: its beat, or, where it was `left`, milliseconds."""

    id: str
    number: int
    quota: int
    left: bool = False

    @property
    def name(self) -> str:
        return f"{self.id}.{self.number}.{self.quota}.{'left' if self.left else 'lease'}"


def parse(names: Iterable[str]) -> list[Lease]:
    """The leases among the names; others' files are none of ours. Raises NotALease."""
    found = []
    for name in names:
        if match := _NAME.fullmatch(name):
            id_, number, quota, kind = match.groups()
            found.append(Lease(id=id_, number=int(number), quota=int(quota), left=kind == "left"))
        elif _OURS.fullmatch(name):
            raise NotALease(name)
    return found


def share(quota: int, rank: int, count: int) -> int:
    """Whole requests a minute of the task of this rank, from 0; they sum to `quota`."""
    return -((rank - quota) // count)


@dataclass(frozen=True, kw_only=True, slots=True)
class Permit:
    """What a refresh allows: `share` requests a minute, one task's of `count`, from `starts` until
    `ends`. The files of `forgotten` leases tell nobody anything any more."""

    share: int
    count: int
    starts: float
    ends: float
    forgotten: tuple[Lease, ...] = ()


@dataclass(frozen=True, slots=True)
class _Sighting:
    lease: Lease
    since: float  # when the first listing that showed it so was over
    is_dead: bool = False


class Seat:
    """What one task has seen of the others, and its own lease. Its caller does the writing and
    listing and tells when: `began` is the start of a whole refresh."""

    def __init__(self, me: str, quota: int, terms: LeaseTerms) -> None:
        self.lease = Lease(id=me, number=0, quota=quota)
        self._terms = terms
        self._known: dict[str, _Sighting] = {}
        self._joined_at = self._renewed = math.inf
        self._is_in = False

    def announced(self, lease: Lease, began: float, done: float) -> None:
        """The lease was written, for the first time or anew."""
        self.lease = lease
        self._renewed = began
        self._join(done)

    def due(self, now: float) -> float:
        """Seconds until the next refresh should begin."""
        to_join = self._joined_at + self._terms.join - now
        return min(self._terms.refresh, to_join) if to_join > 0 else self._terms.refresh

    def renews(self, began: float) -> bool:
        """Whether this refresh renews the lease, or only looks."""
        return began >= self._joined_at + self._terms.join

    def next_lease(self) -> Lease:
        return replace(self.lease, number=self.lease.number + 1)

    def renewed(self, lease: Lease, began: float, done: float) -> None:
        """The lease was renamed."""
        self.lease = lease
        if done - self._renewed > self._terms.lapse:
            self._join(done)
        self._renewed = began

    def looked(self, leases: Iterable[Lease], began: float, now: float) -> Permit | None:
        """What the folder's listing shows; None where the task has to wait before it sends."""
        self._see(leases, now)
        others = [one for id_, one in self._known.items() if id_ != self.lease.id]
        lowest = min([self.lease.quota, *(one.lease.quota for one in others)])
        # Whoever sends counts no more than these: `_known` keeps what is gone for long enough.
        longest = self._terms.minute / max(1, lowest // (len(others) + 1))
        gone_after = max(self._terms.lease, self._terms.trust + longest)
        self._bury(gone_after, began)
        if not self.renews(began):
            return None
        starts = now if self._is_in else max(now, self._joined_at + self._terms.join + longest)
        self._is_in = True
        counted = [one.lease for one in self._known.values() if _is_counted(one, now)]
        counted = [self.lease, *(one for one in counted if one.id != self.lease.id)]
        ids = sorted(one.id for one in counted)
        return Permit(
            share=share(min(one.quota for one in counted), ids.index(self.lease.id), len(ids)),
            count=len(ids),
            starts=starts,
            ends=began + self._terms.trust,
            forgotten=self._forgotten(leases, 3 * gone_after, began),
        )

    def _join(self, now: float) -> None:
        self._joined_at = now
        self._is_in = False

    def _see(self, leases: Iterable[Lease], now: float) -> None:
        seen: dict[str, Lease] = {}
        for lease in leases:
            # A listing may show one that is being renamed under both names.
            other = seen.get(lease.id, lease)
            seen[lease.id] = max(lease, other, key=lambda one: (one.left, one.number))
        for id_, lease in seen.items():
            known = self._known.get(id_)
            if known is None or known.lease != lease:
                self._known[id_] = _Sighting(lease, now)
        for id_ in self._known.keys() - seen.keys():
            known = self._known[id_]
            if known.lease.left or known.is_dead:
                del self._known[id_]
            elif known.lease.number != _NOT_SEEN:
                self._known[id_] = _Sighting(replace(known.lease, number=_NOT_SEEN), now)

    def _bury(self, gone_after: float, began: float) -> None:
        for id_, one in self._known.items():
            if not one.is_dead and not one.lease.left and began - one.since >= gone_after:
                self._known[id_] = replace(one, is_dead=True)

    def _forgotten(self, leases: Iterable[Lease], after: float, began: float) -> tuple[Lease, ...]:
        """Of those that were listed. Of the task's own, all but the one that it holds: a rename
        whose answer got lost may leave one."""
        return tuple(
            one
            for one in leases
            if one != self.lease and (one.id == self.lease.id or self._is_over(one, began - after))
        )

    def _is_over(self, lease: Lease, since: float) -> bool:
        known = self._known[lease.id]
        return (known.is_dead or known.lease.left) and known.since <= since


def _is_counted(one: _Sighting, now: float) -> bool:
    if one.lease.left:
        return now < one.since + one.lease.number / 1000
    return not one.is_dead
