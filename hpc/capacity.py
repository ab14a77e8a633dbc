"""How many more tasks a run may start beside those that are alive, so that `max_parallel` and a
quota shared out between tasks hold across resubmissions. Pure."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction

from hpc.model import Judgement, Observation, Phase, State, Submission

# Not the held ones: they run when a person lets them, and nothing is to wait for that.
_MAYBE_ALIVE = frozenset({Phase.ACTIVE, Phase.WAITING, Phase.UNKNOWN})
_GOING_ON = frozenset({State.RUNNING, State.QUEUED, State.UNKNOWN, State.BLOCKED})


@dataclass(frozen=True, kw_only=True, slots=True)
class Capacity:
    """`tasks` may start now, each with one `parallel_tasks`-th of the quota, or, where `after_jobs`
    names arrays, once those have ended."""

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
    """Room for `wanted` more tasks.

    A task that runs keeps the share of the quota that it was given, 1 / `parallel_tasks` of its
    submission; the new ones get what is left. Where nothing is left they wait for `ends_to_come`.
    """
    going_on = [(one, alive[one.number]) for one in submissions if alive[one.number]]
    if not going_on:
        tasks = min(wanted, max_parallel)
        return Capacity(tasks=tasks, parallel_tasks=tasks)
    widths = [min(one.plan.throttle, count) for one, count in going_on]
    spent = sum(
        Fraction(width, one.plan.parallel_tasks)
        for width, (one, _) in zip(widths, going_on, strict=True)
    )
    share = max(one.plan.parallel_tasks for one, _ in going_on)
    room = min(int((1 - spent) * share), max_parallel - sum(widths), wanted)
    if room >= 1:
        return Capacity(tasks=room, parallel_tasks=share)
    tasks = min(wanted, max_parallel)
    return Capacity(tasks=tasks, parallel_tasks=tasks, after_jobs=ends_to_come)
