"""Tasks that share a quota in a simulated world: a folder that shows others' changes late, clocks
that tell different times, calls that take long, processes that stand still, leave or die."""

import heapq
import math
import random
from bisect import bisect_left, bisect_right, insort
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field

from pipeline.service.quota.leases import Lease, LeaseTerms, Seat, parse
from pipeline.service.quota.pace import Slots

Steps = Generator[float, None, None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Life:
    """One task: it works from `start` to `end`, and stands still in the `stalls` (from, seconds).

    `busy`: the share of the time in which it has something to send.
    """

    start: float
    end: float
    quota: int
    dies: bool = False
    stalls: Sequence[tuple[float, float]] = ()
    busy: float = 1.0
    sluggish: float = 0.0  # how often it notices late that it may send
    slow: float = 0.0  # how long a call to the file system may take, beyond the usual


@dataclass(kw_only=True, slots=True)
class World:
    """`sent` are (arrival, the task's number)."""

    terms: LeaseTerms
    seed: int
    stale: float  # how late others' changes may be seen
    until: float
    drift: float = 0.0  # by how much clocks run too fast or slow
    now: float = 0.0
    sent: list[tuple[float, int]] = field(default_factory=list)
    names: list[list[tuple[float, str]]] = field(default_factory=list)
    chance: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self.chance = random.Random(self.seed)

    def run(self, lives: Sequence[Life]) -> None:
        queue: list[tuple[float, int, int, Steps]] = []
        nth = 0
        for number, life in enumerate(lives):
            self.names.append([])
            task = Task(self, number, life)
            for steps in (task.keep(), task.send()):
                heapq.heappush(queue, (life.start, nth, number, steps))
                nth += 1
        while queue:
            at, _, number, steps = heapq.heappop(queue)
            if at > self.until:
                return
            life = lives[number]
            thawed = _thawed(life, at)
            if thawed > at:
                heapq.heappush(queue, (thawed, nth, number, steps))
                nth += 1
                continue
            if life.dies and at >= life.end:
                continue
            self.now = at
            seconds = next(steps, None)
            if seconds is not None:
                heapq.heappush(queue, (self.now + seconds, nth, number, steps))
                nth += 1

    def change(self, at: float, number: int, name: str) -> None:
        """From then on this is the name of a task's file, '' where it has none, for all to see by
        and by."""
        insort(self.names[number], (at, name))

    def listing(self, number: int, began: float) -> list[str]:
        """The folder as it was at some time since `stale` before `began`, but with the task's own
        changes; what is renamed while it is read may be missed, or be there twice."""
        oldest = began - self.stale
        as_of = self.chance.choice([oldest, self.now, self.chance.uniform(oldest, self.now)])
        found = []
        for who, names in enumerate(self.names):
            seen = _name_at(names, self.now if who == number else as_of)
            if who != number and (later := _name_at(names, self.now)) != _name_at(names, began):
                seen = self.chance.choice([[], seen, [*seen, *later]])
            found += seen
        return found

    def most_in_a_minute(self, since: float = 0.0, until: float = 1e9) -> int:
        """The fullest window of a minute, wherever it begins."""
        sent = sorted(at for at, _ in self.sent if since <= at < until)
        return max(
            (bisect_left(sent, start + 60 - 1e-6) - at for at, start in enumerate(sent)), default=0
        )


def _name_at(names: list[tuple[float, str]], at: float) -> list[str]:
    nth = bisect_right(names, (at, "~"))
    return [names[nth - 1][1]] if nth and names[nth - 1][1] else []


def _thawed(life: Life, at: float) -> float:
    for begin, seconds in life.stalls:
        if begin <= at < begin + seconds:
            return begin + seconds
    return at


class Task:
    def __init__(self, world: World, number: int, life: Life) -> None:
        self.world, self.number, self.life = world, number, life
        chance = world.chance
        self._zero = chance.uniform(-1e5, 1e5)
        self._rate = 1 + world.drift * chance.uniform(-1, 1)
        # Ids are not in the order of joining: clocks differ.
        self.seat = Seat(f"{chance.randrange(10**6):06d}-{number}", life.quota, world.terms)
        self.slots = Slots(world.terms)
        self.is_over = False

    def clock(self) -> float:
        return self._zero + self._rate * self.world.now

    def call(self, name: str | None = None, number: int | None = None) -> Steps:
        """A call to the file system: it takes effect at some time before it is over."""
        chance = self.world.chance
        seconds = chance.uniform(0.0, 0.05)
        if chance.random() < 0.1:
            seconds += chance.uniform(0.0, self.life.slow)
        effect = self.world.now + seconds * chance.choice([0.0, chance.random(), 1.0])
        if name is not None:
            self.world.change(effect, self.number if number is None else number, name)
        yield seconds

    def keep(self) -> Steps:
        began = self.clock()
        lease = self.seat.next_lease()
        yield from self.call(lease.name)
        self.seat.announced(lease, began, self.clock())
        while True:
            yield from self.refresh()
            due = self.seat.due(self.clock())
            while due > 0:
                if self.world.now >= self.life.end:
                    yield from self.leave()
                    return
                step = min(due, 0.5)
                due -= step
                yield step

    def refresh(self) -> Steps:
        began = self.clock()
        if self.seat.renews(began):
            lease = self.seat.next_lease()
            yield from self.call(lease.name)
            self.seat.renewed(lease, began, self.clock())
        listed = self.world.now
        yield from self.call()
        names = self.world.listing(self.number, listed)
        permit = self.seat.looked(parse(names), began, self.clock())
        if permit:
            self.slots.adopt(permit, self.clock())
            for one in permit.forgotten:
                if one.id != self.seat.lease.id:
                    yield from self.call("", int(one.id.split("-")[1]))

    def leave(self) -> Steps:
        self.is_over = True
        hold = self.slots.end(self.clock())
        left = Lease(
            id=self.seat.lease.id, number=math.ceil(hold * 1000), quota=self.life.quota, left=True
        )
        yield from self.call(left.name)

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
                late = chance.uniform(0.0, 0.7) if chance.random() < self.life.sluggish else 0.0
                yield min(wait, 0.3) + late + 1e-6
