"""Share one quota among many tasks, each of which sees only the others' leases.

Every task that uses a key keeps one file, its **lease**, in a folder that all of them share. The
file's name says everything: `<id>.<beat>.<quota>.lease`. A **refresh** renames the file to the next
beat and then lists the folder. One listing therefore shows which tasks are alive, and no file is
ever opened. An NFS client, which may keep a listing for a minute, reads it anew because it has
changed the folder itself. A task's **view** is the set of leases that it counts. With Q the
smallest quota among them, n their number and r the task's own rank by id, its **share** is
ceil((Q - r) / n) requests a minute. Over one view the shares sum to Q, and a larger view never
gives any task a larger share.

The safety argument. We assume this about the world: a task may see another's change up to `delay`
late; a process, or a call to the file system, may stall anywhere for any time; the clocks of
different nodes differ. So no two clocks are ever compared. All times are on a task's own monotonic
clock, and a lease counts as alive because its beat has changed, not because of a time stamp.

1. *Whoever sends counts everybody who sends.* A task sends only within `trust` of the start of its
   last complete refresh, and checks that as each request goes out. A task that joins sends nothing
   until `delay + trust` after it has written its lease: by then every refresh that is still trusted
   began when the lease was visible. Until then the task does not rename its lease, because a
   listing may miss a file that is renamed meanwhile, but never one that stays.
2. *Whoever is no longer counted no longer sends.* A lease is dead when a listing that began `lease`
   after its beat was first seen shows it unchanged (or does not show it: a rename may hide it from
   one listing, but not from ten). Its task has stopped by itself `trust` after writing that beat. A
   task that wakes up and has not renewed its lease for nearly `lease - delay` may be dead to the
   others, so it joins again. A task that leaves sends nothing more and then renames its lease to
   `….left`.
3. *So the shares of all tasks that send never sum to more than Q.* However, the service counts
   requests by the minute, and a share is a whole number of requests. A task's slots are
   `minute / share` apart, so that every window of a minute holds at most `share` of them, wherever
   it begins. When the share changes, the next slot follows the last one by one interval of the old
   share plus one of the new: one interval of silence at the end of the old period and one at the
   start of the new. Any part of a window then never holds more slots than the share's part of it.
   Other tasks' new periods begin only after the silence of the old ones. A task that joins waits
   for the longest interval that any task may have. One that leaves writes into its file's name for
   how long its share is still in use (`<id>.<milliseconds>.<quota>.left`). A dead lease is long
   past that.
4. *The service counts when requests arrive, not when their slots were.* A request may go out up to
   `late` after its slot, and then it travels. For both together `minute` is a second longer than a
   minute. A task never catches up on more than that: unused slots are lost.

5. *A task that is alone sends at once.* It takes the **claim**, writes its lease, and then lists
   the folder several times. At most one task holds the claim: taking it is one rename, which the
   file system decides whatever its clients remember. If no listing shows another lease, and all of
   this took less than `look`, the task is a member without waiting. Whoever else sends is one of
   these:
   - A task that waits as in 1. If a listing began `delay` after its lease was written, that listing
     shows it, unless the lease was renamed meanwhile. Its renames are `refresh` apart, with at most
     one more when it leaves, and the listings together are quicker: so they cannot miss it all.
     If they began before that, it sends nothing until `trust` after them, when no permit of these
     listings holds any more and the next one counts it; and it sees a lease that is older.
   - Another task that held the claim. It gave the claim back when its lease was surely visible to
     all (`delay` after it was written), or when it had sent its last request. In the latter case
     the interval of silence with which the next one begins keeps their requests apart.
   - A task that has left. Its file says for how long its share is in use, and that is waited out.

   A task that dies with the claim in hand leaves it. The next task that joins as in 1 gives it
   back. Whoever took the claim without seeing that task did so less than `delay` after its lease
   was written. It wrote its own lease within `look`, and `delay` later that one is visible. All of
   this takes less than `delay + trust`. What is given back is the holder's own entry, which has its
   id for a name. So a task that stalls before it gives back cannot give back the claim of another.
   A task that finds the claim taken waits for a moment before it writes its lease. So of several
   tasks that start together, one sends at once.
6. *Entries of strangers count for nothing.* Only a regular file whose name is a lease counts, and a
   quota of 0 is no lease, because no configuration has it. A lease that never changes is dead like
   that of a task that died. One that has left counts no longer than a dead one, whatever its name
   says. Leases that somebody keeps changing cannot be told from those of tasks: the quota is then
   shared with them.

What remains open: a process that is stopped in the microseconds between its last look at the clock
and the sending itself sends that one request whenever it continues.

Neither the values here nor the state machine in `membership` do I/O.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

# Of numbers with more digits than a task can reach, somebody else has made the file.
_NAME = re.compile(r"([A-Za-z0-9_-]+)\.([0-9]{1,15})\.([0-9]{1,15})\.(lease|left)")


@dataclass(frozen=True, kw_only=True, slots=True)
class LeaseTerms:
    """The times, in seconds, that all tasks of a key agree on."""

    refresh: float = 3.0
    """Between two refreshes of one task."""

    trust: float = 8.0
    """How long a task may rely on a refresh; at least `delay + look`."""

    delay: float = 5.0
    """After this time the others' changes are surely visible."""

    lease: float = 30.0
    """A lease that has not changed for this long is dead."""

    looks: int = 3
    """How many listings show a task that it is alone."""

    aside: float = 1.0
    """How long a task that finds the claim taken waits before it writes its lease."""

    late: float = 0.7
    """How long after its slot a request may still go out."""

    minute: float = 61.0
    """The time in which a share is used up.

    It is a minute, plus `late`, plus the difference that requests may need to reach the service.
    """

    @property
    def join(self) -> float:
        """How long a task that joins only watches."""
        return self.delay + self.trust

    @property
    def look(self) -> float:
        """How long all of that may take: less than the time between two renames of a lease."""
        return 0.9 * self.refresh

    @property
    def lapse(self) -> float:
        """A lease renewed later than this may be dead to others.

        It is a little less than the time itself, since no two clocks run at the same speed.
        """
        return 0.95 * (self.lease - self.delay)

    @property
    def longest_use(self) -> float:
        """How long the share of a task that has left can still be in use.

        It is the longest interval between two slots, with room for the time that others need to
        see it.
        """
        return self.minute + self.trust + self.delay


@dataclass(frozen=True, kw_only=True, slots=True)
class Lease:
    """What the name of a lease's file says."""

    id: str
    """Identifies the task; its rank is its place among the sorted ids."""

    quota: int
    """The requests a minute that the task was configured with."""

    beat: int = 0
    """How often the task has renewed the lease; 0 once it has left."""

    in_use_ms: int | None = None
    """For how many milliseconds the share of a task that has left is still in use.

    None: the task has not left.
    """

    @property
    def left(self) -> bool:
        """Whether the task has left."""
        return self.in_use_ms is not None

    @property
    def name(self) -> str:
        """The file's name."""
        if self.in_use_ms is not None:
            return f"{self.id}.{self.in_use_ms}.{self.quota}.left"
        return f"{self.id}.{self.beat}.{self.quota}.lease"


def parse_leases(names: Iterable[str]) -> list[Lease]:
    """Return the leases among the files of a folder, ignoring all other files."""
    return [lease for lease in map(_parse, names) if lease]


def is_lease(name: str) -> bool:
    """Tell whether a file's name is that of a lease."""
    return _parse(name) is not None


def _parse(name: str) -> Lease | None:
    match = _NAME.fullmatch(name)
    if match is None or int(match[3]) < 1:
        return None
    id_, number, quota, kind = match.groups()
    if kind == "left":
        return Lease(id=id_, quota=int(quota), in_use_ms=int(number))
    return Lease(id=id_, quota=int(quota), beat=int(number))


def share(quota: int, rank: int, count: int) -> int:
    """Return the requests a minute of the task with this rank, counted from 0.

    The shares of all `count` tasks are whole numbers and sum to `quota`.
    """
    return -((rank - quota) // count)


@dataclass(frozen=True, kw_only=True, slots=True)
class Permit:
    """What a refresh allows a task."""

    share: int
    """How many requests a minute the task may send."""

    count: int
    """How many tasks share the quota."""

    starts: float
    """When the permit begins, on the task's clock."""

    ends: float
    """When the permit ends, on the task's clock."""

    obsolete: tuple[Lease, ...] = ()
    """Leases that no task needs any more: their files can be deleted."""
