"""Arrays from groups of shards, and how many of their tasks may run at once. Pure."""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from hpc.run.model import (
    ArrayPlan,
    Judgement,
    Observation,
    Phase,
    ShardGroup,
    State,
    Submission,
)

# Not the held ones: they run when a person lets them, and nothing is to wait for that.
_MAYBE_ALIVE = frozenset({Phase.ACTIVE, Phase.WAITING, Phase.UNKNOWN})
_GOING_ON = frozenset({State.RUNNING, State.QUEUED, State.UNKNOWN, State.BLOCKED})


@dataclass(frozen=True, kw_only=True, slots=True)
class Capacity:
    """`tasks` may start now, or, where `after_jobs` names arrays, once those have ended;
    `parallel_tasks` of the run are then at work at once."""

    tasks: int
    parallel_tasks: int
    after_jobs: tuple[str, ...] = ()


def alive_tasks(observation: Observation, judged: Sequence[Judgement]) -> Counter[int]:
    """How many tasks of each submission, by its number, are alive or may be."""
    return Counter(
        attempt.number
        for shard, judgement in zip(observation.shards, judged, strict=True)
        if judgement.state in _GOING_ON and judgement.cause is None
        for attempt in shard.attempts
        if attempt.phase in _MAYBE_ALIVE
    )


def capacity(
    submissions: Iterable[Submission],
    alive: Counter[int],
    *,
    wanted: int,
    max_parallel: int,
    ends_to_come: tuple[str, ...] = (),
) -> Capacity:
    """Room for `wanted` more tasks: an array that is alive keeps its width, or what is left of it.
    Where no room is left they wait for `ends_to_come`."""
    taken = sum(min(one.plan.throttle, alive[one.number]) for one in submissions)
    room = min(max_parallel - taken, wanted)
    if room >= 1:
        return Capacity(tasks=room, parallel_tasks=taken + room)
    tasks = min(wanted, max_parallel)
    return Capacity(tasks=tasks, parallel_tasks=tasks, after_jobs=ends_to_come)


def plan_arrays(
    groups: Iterable[ShardGroup],
    *,
    array_size: int,
    max_parallel: int,
    after_jobs: tuple[str, ...] = (),
    tasks_at_once: int | None = None,
    first_number: int = 1,
) -> tuple[ArrayPlan, ...]:
    """The arrays that submit these shards, each at its own index, at most `max_parallel` at once.

    A shard's array index is its index modulo `array_size` (Slurm's MaxArraySize caps the index,
    not the count), the same on every attempt. The throttle is shared out between the arrays; where
    there are more arrays than `max_parallel`, they form that many chains, each one task wide.

    Args:
        tasks_at_once: of the whole run, where others of its tasks are alive already.
        first_number: the number that the first array's submission will have.
    """
    blocks = [(group, *block) for group in groups for block in _blocks(group.shards, array_size)]
    if not blocks:
        return ()
    count = len(blocks)
    widths = _shares([len(indices) for _, _, indices in blocks], max_parallel)
    at_once = tasks_at_once or min(max_parallel, sum(len(indices) for _, _, indices in blocks))
    return tuple(
        ArrayPlan(
            offset=offset,
            indices=indices,
            throttle=_slower(width, group.slowdown),
            parallel_tasks=at_once,
            after=first_number + at - max_parallel if count > max_parallel <= at else 0,
            after_jobs=after_jobs,
            ask=group.ask,
            delay_s=group.delay_s,
            why=group.why,
        )
        for at, ((group, offset, indices), width) in enumerate(zip(blocks, widths, strict=True))
    )


def next_number(recorded: Iterable[Submission]) -> int:
    """Return the number of the next submission, and so of the next attempt."""
    return max((submission.number for submission in recorded), default=0) + 1


def _blocks(shards: Iterable[int], array_size: int) -> list[tuple[int, tuple[int, ...]]]:
    """(offset, array indices) of each array that these shards need."""
    found: dict[int, list[int]] = {}
    for shard in sorted(set(shards)):
        found.setdefault(shard // array_size, []).append(shard % array_size)
    return [(block * array_size, tuple(indices)) for block, indices in found.items()]


def _slower(width: int, slowdown: float) -> int:
    return max(1, math.floor(width * slowdown))


def _shares(sizes: Sequence[int], total: int) -> list[int]:
    """Widths of at least 1 and at most the size, that sum to at most `total` where that is
    possible: each further one to the array with the most tasks a slot."""
    widths = [1] * len(sizes)
    for _ in range(total - len(sizes)):
        at = max(range(len(sizes)), key=lambda i: (sizes[i] / widths[i], -i))
        if widths[at] >= sizes[at]:
            break
        widths[at] += 1
    return widths
