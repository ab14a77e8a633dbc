"""Which shards and jobs a command is about, and whether the service rejected the run. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from hpc.run.model import Judgement, Observation, Phase, State

_ALIVE = frozenset({State.RUNNING, State.QUEUED})


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
    if shard.state in _ALIVE or shard.is_held:
        return f": an earlier attempt is still alive ({shard.message})"
    if shard.state is State.BLOCKED:
        return f" ({shard.message}): --force submits it all the same"
    if shard.state is State.DONE:
        return f": delete outputs/{shard.index:05d}.parquet to have it done again"
    return f" ({shard.message})"


def planned_shards(judgements: Sequence[Judgement]) -> tuple[int, ...]:
    """Return the shards that were never submitted."""
    return tuple(judgement.index for judgement in judgements if judgement.state is State.PLANNED)
