"""How many more tasks a run may start beside those that are alive, so that `max_parallel` holds
across resubmissions. Pure."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from hpc.run.model import Judgement, Observation, Phase, State, Submission

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
