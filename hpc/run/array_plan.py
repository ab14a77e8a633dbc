"""Plan arrays from groups of shards, and how many of their tasks may run at a time. Pure."""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from hpc.run.model.arrays import ArrayPlan, ShardGroup, Submission
from hpc.run.model.attempts import Phase
from hpc.run.model.shards import Judgement, Observation, State

# Held tasks are left out: they run when a person releases them, and nothing should wait for that.
_MAYBE_ALIVE = frozenset({Phase.ACTIVE, Phase.WAITING, Phase.UNKNOWN})
_UNDER_WAY = frozenset({State.RUNNING, State.QUEUED, State.UNKNOWN, State.ENDING, State.BLOCKED})


@dataclass(frozen=True, kw_only=True, slots=True)
class Capacity:
    """How many more tasks of a run may start, so that `max_parallel` holds."""

    tasks: int
    """How many may start."""
    parallel_tasks: int
    """How many of the run's tasks run at a time from then on."""
    after_jobs: tuple[str, ...] = ()
    """Arrays or tasks that have to end first; none if the tasks may start now."""
    ends: int = 0
    """How many tasks have to end at least before the first of these may start."""


def alive_tasks(observation: Observation, judgements: Sequence[Judgement]) -> Counter[int]:
    """Count the tasks of each submission, by its number, that are or may be alive."""
    return Counter(
        attempt.number
        for shard, judgement in zip(observation.shards, judgements, strict=True)
        if judgement.state in _UNDER_WAY and judgement.cause is None
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
    """Return the room for more tasks. An array that is alive keeps its throttle, or what is left.

    Args:
        submissions: the released submissions of the run.
        alive: how many tasks of each are alive, by number.
        wanted: how many more tasks there are to start.
        max_parallel: how many tasks of the run may run at a time.
        ends_to_come: what the tasks have to wait for if there is no room now.
    """
    # By array: how many of its tasks run, and how many of its own wait for a place of these.
    places = [
        (running, alive[submission.number] - running)
        for submission in submissions
        if (running := min(submission.plan.throttle, alive[submission.number]))
    ]
    used = sum(running for running, _ in places)
    room = min(max_parallel - used, wanted)
    if room >= 1:
        return Capacity(tasks=room, parallel_tasks=used + room)
    tasks = min(wanted, max_parallel)
    ends = min((waiting for _, waiting in places), default=0) + used - max_parallel + 1
    return Capacity(tasks=tasks, parallel_tasks=tasks, after_jobs=ends_to_come, ends=ends)


def plan_arrays(
    groups: Iterable[ShardGroup],
    *,
    array_size: int,
    max_parallel: int,
    after_jobs: tuple[str, ...] = (),
    tasks_at_once: int | None = None,
    first_number: int = 1,
) -> tuple[ArrayPlan, ...]:
    """Return the arrays that submit these shards, each shard at its own index.

    A shard's array index is its index modulo `array_size`, the same on every attempt: Slurm's
    MaxArraySize limits the index, not the count. The arrays share `max_parallel`. If there are
    more arrays than that, they form that many chains, each one task wide.

    Args:
        groups: the shards, by what they request.
        array_size: how many array indices there are; they begin at 0.
        max_parallel: how many of these tasks may run at a time.
        after_jobs: arrays or tasks that have to end first.
        tasks_at_once: how many of the run's tasks run at a time, if others are alive already.
        first_number: the number that the first array's submission will have.
    """
    blocks = [(group, *block) for group in groups for block in _blocks(group.shards, array_size)]
    if not blocks:
        return ()
    sizes = [len(indices) for _, _, indices in blocks]
    widths = _share_out(sizes, max_parallel)
    are_chained = len(blocks) > max_parallel
    return tuple(
        ArrayPlan(
            offset=offset,
            indices=indices,
            throttle=max(1, math.floor(width * group.slowdown)),
            parallel_tasks=tasks_at_once or min(max_parallel, sum(sizes)),
            after=first_number + position - max_parallel
            if are_chained and position >= max_parallel
            else 0,
            after_jobs=after_jobs,
            request=group.request,
            delay_s=group.delay_s,
            why=group.why,
        )
        for position, ((group, offset, indices), width) in enumerate(
            zip(blocks, widths, strict=True)
        )
    )


def next_number(recorded: Iterable[Submission], last_number: int = 0) -> int:
    """Return the number of the next submission, and so of the next attempt.

    Args:
        recorded: every recorded submission.
        last_number: the highest number of one whose record may be lost; 0 for none.
    """
    return max([last_number, *(submission.number for submission in recorded)]) + 1


def _blocks(shards: Iterable[int], array_size: int) -> list[tuple[int, tuple[int, ...]]]:
    """Return (offset, array indices) of each array that these shards need."""
    blocks: dict[int, list[int]] = {}
    for shard in sorted(set(shards)):
        blocks.setdefault(shard // array_size, []).append(shard % array_size)
    return [(block * array_size, tuple(indices)) for block, indices in blocks.items()]


def _share_out(sizes: Sequence[int], total: int) -> list[int]:
    """Return a width for each array, from 1 to its size; together at most `total` if possible.

    Each further slot goes to the array with the most tasks per slot.
    """
    widths = [1] * len(sizes)
    for _ in range(total - len(sizes)):
        widest = max(range(len(sizes)), key=lambda array: (sizes[array] / widths[array], -array))
        if widths[widest] >= sizes[widest]:
            break
        widths[widest] += 1
    return widths
