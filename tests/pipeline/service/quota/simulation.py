"""Simulate tasks that share a quota.

The folder shows others' changes late, the clocks disagree, calls take long, and the tasks stall,
leave or die.
"""

import heapq
import math
import random
from bisect import bisect_left, bisect_right, insort
from collections import Counter
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field

from pipeline.service.quota.leases import Lease, LeaseTerms, parse_leases
from pipeline.service.quota.membership import Membership
from pipeline.service.quota.rate_limiter import Slots

Steps = Generator[float, None, None]


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskLife:
    """What one task does, and what happens to it. Times are in seconds of the world."""

    start: float
    end: float
    quota: int
    dies: bool = False
    """Whether it dies at its end, and does not leave."""
    stalls: Sequence[tuple[float, float]] = ()
    """When it stalls, and for how long."""
    busy: float = 1.0
    """The share of the time in which it has something to send."""
    notices_late: float = 0.0
    """How often it notices late that it may send, from 0 to 1."""
    slow_calls_s: float = 0.0
    """How much longer than usual a call to the file system may take."""


@dataclass(kw_only=True, slots=True)
class World:
    """The folder, the time, and the requests that arrive at the service."""

    terms: LeaseTerms
    seed: int
    stale: float
    """How late a task may see others' changes, in seconds."""
    until: float
    drift: float = 0.0
    """By which part clocks run too fast or too slow."""
    now: float = 0.0
    sent: list[tuple[float, int]] = field(default_factory=list)
    """The time at which each request arrives, and the number of the task that sent it."""
    names: list[list[tuple[float, str]]] = field(default_factory=list)
    claim: int | None = None
    """The number of the task that holds the claim."""
    claimed: Counter[int] = field(default_factory=Counter)
    """How often each task began to send at once."""
    chance: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self.chance = random.Random(self.seed)

    def run(self, lives: Sequence[TaskLife]) -> None:
        """Run all tasks until the end of the world."""
        queue: list[tuple[float, int, int, Steps]] = []
        order = 0
        for number, life in enumerate(lives):
            self.names.append([])
            task = Task(self, number, life)
            for steps in (task.keep(), task.send()):
                heapq.heappush(queue, (life.start, order, number, steps))
                order += 1
        while queue:
            time, _, number, steps = heapq.heappop(queue)
            if time > self.until:
                return
            life = lives[number]
            wakes_at = _after_stall(life, time)
            if wakes_at > time:
                heapq.heappush(queue, (wakes_at, order, number, steps))
                order += 1
                continue
            if life.dies and time >= life.end:
                continue
            self.now = time
            seconds = next(steps, None)
            if seconds is not None:
                heapq.heappush(queue, (self.now + seconds, order, number, steps))
                order += 1

    def change(self, time: float, number: int, name: str) -> None:
        """Rename a task's file at some time; '' deletes it. The others see that later."""
        insort(self.names[number], (time, name))

    def listing(self, number: int, began: float) -> list[str]:
        """Return the names in the folder as one task sees them.

        The task sees its own changes, and the others' as of some time since `began - stale`. A file
        that is renamed meanwhile may be missing, or listed twice.
        """
        oldest = began - self.stale
        as_of = self.chance.choice([oldest, self.now, self.chance.uniform(oldest, self.now)])
        listed = []
        for who, names in enumerate(self.names):
            seen = _name_at(names, self.now if who == number else as_of)
            if who != number and (later := _name_at(names, self.now)) != _name_at(names, began):
                seen = self.chance.choice([[], seen, [*seen, *later]])
            listed += seen
        return listed

    def most_in_a_minute(self, since: float = 0.0, until: float = 1e9, minute: float = 60.0) -> int:
        """Return how many requests the fullest minute holds, wherever it begins."""
        sent = sorted(arrival for arrival, _ in self.sent if since <= arrival < until)
        return max(
            (bisect_left(sent, start + minute - 1e-6) - index for index, start in enumerate(sent)),
            default=0,
        )


def _name_at(names: list[tuple[float, str]], time: float) -> list[str]:
    count = bisect_right(names, (time, "~"))
    return [names[count - 1][1]] if count and names[count - 1][1] else []


def _after_stall(life: TaskLife, time: float) -> float:
    for begin, seconds in life.stalls:
        if begin <= time < begin + seconds:
            return begin + seconds
    return time


class Task:
    """One task: the steps that its two threads take, as the seconds between them."""

    def __init__(self, world: World, number: int, life: TaskLife) -> None:
        self.world, self.number, self.life = world, number, life
        chance = world.chance
        self._zero = chance.uniform(-1e5, 1e5)
        self._rate = 1 + world.drift * chance.uniform(-1, 1)
        # Clocks disagree, so the ids are not in the order in which the tasks join.
        self.membership = Membership(
            f"{chance.randrange(10**6):06d}-{number}", life.quota, world.terms
        )
        self.slots = Slots(world.terms)
        self.is_over = False

    def clock(self) -> float:
        return self._zero + self._rate * self.world.now

    def call(self, name: str | None = None, number: int | None = None) -> Steps:
        """Call the file system, which has its effect at some time before the call returns."""
        chance = self.world.chance
        seconds = chance.uniform(0.0, 0.05)
        if chance.random() < 0.1:
            seconds += chance.uniform(0.0, self.life.slow_calls_s)
        effect = self.world.now + seconds * chance.choice([0.0, chance.random(), 1.0])
        if name is not None:
            self.world.change(effect, self.number if number is None else number, name)
        yield seconds

    def keep(self) -> Steps:
        began = self.clock()
        yield self.world.chance.uniform(0.0, 0.05)
        has_claim = self.world.claim is None
        if has_claim:
            self.world.claim = self.number
            yield self.world.chance.uniform(0.0, 0.05)
        else:
            yield self.world.terms.aside
            began = self.clock()
        lease = self.membership.next_lease()
        yield from self.call(lease.name)
        self.membership.lease_written(lease, began, self.clock())
        is_alone = has_claim and (yield from self.start_alone(began))
        while True:
            if not is_alone:
                yield from self.refresh()
            is_alone = False
            due = self.membership.seconds_to_refresh(self.clock())
            while due > 0:
                if self.world.now >= self.life.end:
                    yield from self.leave()
                    return
                step = min(due, 0.5)
                due -= step
                yield step

    def start_alone(self, began: float) -> Generator[float, None, bool]:
        """Do what `SharedRateLimiter` does to send at once, and return whether the task may."""
        world = self.world
        listings = []
        for _ in range(world.terms.looks):
            listed = world.now
            yield from self.call()
            listings.append(parse_leases(world.listing(self.number, listed)))
        permit = self.membership.observe_alone(listings, began, self.clock())
        if permit is None:
            yield from self.give_back_claim(self.number)
            return False
        world.claimed[self.number] += 1
        self.slots.adopt(permit, self.clock())
        return True

    def give_back_claim(self, holder: int | None) -> Steps:
        """Delete one holder's own entry, at whatever time that gets through."""
        yield self.world.chance.uniform(0.0, 0.05 + self.life.slow_calls_s)
        if self.world.claim == holder:
            self.world.claim = None

    def refresh(self) -> Steps:
        began = self.clock()
        if self.membership.should_renew(began):
            lease = self.membership.next_lease()
            yield from self.call(lease.name)
            self.membership.lease_renamed(lease, began, self.clock())
        if self.world.claim == self.number and began >= self.membership.visible_at:
            yield from self.give_back_claim(self.number)
        listed = self.world.now
        yield from self.call()
        names = self.world.listing(self.number, listed)
        was_member = self.membership.is_member
        permit = self.membership.observe(parse_leases(names), began, self.clock())
        if permit:
            self.slots.adopt(permit, self.clock())
            if not was_member:
                yield from self.give_back_claim(self.world.claim)
            for lease in permit.obsolete:
                if lease.id != self.membership.lease.id:
                    yield from self.call("", int(lease.id.split("-")[1]))

    def leave(self) -> Steps:
        self.is_over = True
        in_use_s = self.slots.end(self.clock())
        left = Lease(
            id=self.membership.lease.id,
            in_use_ms=math.ceil(in_use_s * 1000),
            quota=self.life.quota,
        )
        yield from self.call(left.name)
        if self.world.claim == self.number:
            yield from self.give_back_claim(self.number)

    def send(self) -> Steps:
        chance, terms = self.world.chance, self.world.terms
        on_the_way = max(0.0, terms.minute - 60 - terms.late - 0.02)
        while not self.is_over:
            if chance.random() > self.life.busy:
                yield chance.uniform(0.0, 30.0)
            wait = self.slots.take(self.clock())
            if wait == 0:
                arrival = self.world.now + chance.choice([0.0, on_the_way])
                self.world.sent.append((arrival, self.number))
                yield 0.0
            else:
                late = chance.uniform(0.0, 0.7) if chance.random() < self.life.notices_late else 0.0
                yield min(wait, 0.3) + late + 1e-6
