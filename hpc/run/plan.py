"""What is done about each cause, and how groups of shards become arrays. Pure."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from hpc.run.model import ArrayPlan, Judgement, Observation, Phase, ShardGroup, State
from pipeline.errors import Cause


class Remedy(StrEnum):
    """What `hpc.run.remedies` does for a shard's next attempt."""

    MORE_MEMORY = "more_memory"
    MORE_TIME = "more_time"
    ELSEWHERE = "elsewhere"
    LATER = "later"
    AGAIN = "again"
    ASK = "ask"


REMEDY: dict[Cause, Remedy] = {
    Cause.OUT_OF_MEMORY: Remedy.MORE_MEMORY,
    Cause.TIMEOUT: Remedy.MORE_TIME,
    Cause.NODE: Remedy.ELSEWHERE,
    Cause.PREEMPTED: Remedy.AGAIN,
    Cause.CRASHED: Remedy.AGAIN,
    Cause.THROTTLED: Remedy.LATER,
    Cause.NO_OUTPUT: Remedy.AGAIN,
    Cause.LOST: Remedy.AGAIN,
    Cause.CANCELLED: Remedy.ASK,
    Cause.REFUSED: Remedy.ASK,
}

ALIVE = frozenset({State.RUNNING, State.QUEUED})


def remedy(cause: Cause) -> Remedy:
    return REMEDY[cause]


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


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why a whole run stands still: what one of its shards was told. Once somebody has looked and
    submitted by force, it does no longer."""

    shard: int
    message: str


def find_rejection(observation: Observation) -> Rejection | None:
    """The newest refusal (of a key, a model, …) that stops the whole run; None once something was
    submitted by force after it. By the attempts' numbers: clocks differ from node to node."""
    attempts = [one for shard in observation.shards for one in shard.attempts]
    forced = max((one.number for one in attempts if one.forced), default=0)
    refused = [
        (shard.attempts[-1].number, shard.index, shard.attempts[-1].words.message)
        for shard in observation.shards
        if shard.attempts and not shard.output.verified
        if shard.attempts[-1].words and shard.attempts[-1].words.stops_run
    ]
    if not refused:
        return None
    number, index, message = max(refused)
    return Rejection(index, message) if number >= forced else None


def jobs_to_wait_for(observation: Observation) -> tuple[str, ...]:
    """What a job that is to start after all of the run that is alive has to wait for: arrays, as
    `4711`; of one in which a task is held, which ends for nobody, the others, as `4711_3`."""
    alive: dict[int, list[int]] = {}
    held: set[int] = set()
    for shard in observation.shards:
        for one in shard.attempts:
            if one.array_job_id is None:
                continue
            if one.phase is Phase.HELD:
                held.add(one.array_job_id)
            elif one.phase in (Phase.ACTIVE, Phase.WAITING, Phase.UNKNOWN):
                alive.setdefault(one.array_job_id, []).append(one.array_task_index)
    return tuple(
        name
        for job, indices in sorted(alive.items())
        for name in ([f"{job}_{i}" for i in sorted(indices)] if job in held else [str(job)])
    )


def jobs_in_phase(observation: Observation, *phases: Phase) -> tuple[int, ...]:
    """Job ids of the arrays that have tasks in one of these phases."""
    jobs = {
        attempt.array_job_id
        for shard in observation.shards
        for attempt in shard.attempts
        if attempt.phase in phases and attempt.array_job_id is not None
    }
    return tuple(sorted(jobs))


def resubmittable(
    judged: Sequence[Judgement], *, indices: Sequence[int] | None = None, force: bool = False
) -> tuple[tuple[int, ...], str | None]:
    """The shards that `resubmit` takes, and why not, where some that were named cannot be.

    Without `indices`: every failed shard, with `force` also the blocked ones that have ended.
    """
    wanted = {State.FAILED} | ({State.BLOCKED} if force else set())
    takes = {j.index for j in judged if j.state in wanted and j.rule > 3}
    if indices is None:
        return tuple(sorted(takes)), None
    for index in indices:
        if index >= len(judged):
            return (), f"there is no shard {index}: this run's shards are 0-{len(judged) - 1}"
        if index not in takes:
            shard = judged[index]
            return (), f"shard {index} is {shard.state}{_hint(shard)}"
    return tuple(sorted(set(indices))), None


def _hint(shard: Judgement) -> str:
    if shard.state in ALIVE or shard.is_held:
        return f": an earlier attempt is still alive ({shard.message})"
    if shard.state is State.BLOCKED:
        return f" ({shard.message}): --force submits it all the same"
    if shard.state is State.DONE:
        return f": delete outputs/{shard.index:05d}.parquet to have it done again"
    return f" ({shard.message})"
