"""What to do about causes, and how shards become arrays. Pure: values in, values out."""

from collections.abc import Iterable, Sequence
from enum import StrEnum

from hpc.model import ArrayPlan, Judgement, State
from pipeline.errors import Cause


class Remedy(StrEnum):
    AGAIN = "again"
    ASK = "ask"


REMEDY: dict[Cause, Remedy] = {
    Cause.OUT_OF_MEMORY: Remedy.AGAIN,
    Cause.TIMEOUT: Remedy.AGAIN,
    Cause.NODE: Remedy.AGAIN,
    Cause.PREEMPTED: Remedy.AGAIN,
    Cause.CRASHED: Remedy.AGAIN,
    Cause.THROTTLED: Remedy.AGAIN,
    Cause.NO_OUTPUT: Remedy.AGAIN,
    Cause.LOST: Remedy.AGAIN,
    Cause.CANCELLED: Remedy.ASK,
    Cause.REFUSED: Remedy.ASK,
}

NOT_COUNTED = frozenset({Cause.PREEMPTED})

ALIVE = frozenset({State.RUNNING, State.QUEUED})


def remedy(cause: Cause) -> Remedy:
    return REMEDY[cause]


def arrays(
    shards: Iterable[int],
    *,
    array_size: int,
    max_parallel: int,
    after_jobs: tuple[int, ...] = (),
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
    groups: dict[int, list[int]] = {}
    for shard in sorted(set(shards)):
        groups.setdefault(shard // array_size, []).append(shard % array_size)
    if not groups:
        return ()
    count = len(groups)
    widths = _shares([len(group) for group in groups.values()], max_parallel)
    total = tasks_at_once or min(max_parallel, sum(len(group) for group in groups.values()))
    return tuple(
        ArrayPlan(
            offset=block * array_size,
            indices=tuple(indices),
            throttle=width,
            parallel_tasks=total,
            after=first_number + at - max_parallel if count > max_parallel <= at else 0,
            after_jobs=after_jobs,
        )
        for at, ((block, indices), width) in enumerate(zip(groups.items(), widths, strict=True))
    )


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
    if shard.state in ALIVE or (shard.state is State.BLOCKED and shard.rule == 3):
        return f": an earlier attempt is still alive ({shard.message})"
    if shard.state is State.BLOCKED:
        return f" ({shard.message}): --force submits it all the same"
    if shard.state is State.DONE:
        return f": delete outputs/{shard.index:05d}.parquet to have it done again"
    return f" ({shard.message})"
