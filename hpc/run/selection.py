"""Select the shards and jobs of a command, and tell whether the service rejected the run. Pure."""

from collections.abc import Mapping, Sequence
from datetime import timedelta

import msgspec

from hpc.run.causes import why_ended
from hpc.run.judge import rest_of_grace
from hpc.run.model.attempts import Attempt, Phase
from hpc.run.model.shards import Judgement, Observation, State
from hpc.run.outage import find_outage
from hpc.run.run_state import RunStatus
from pipeline.errors import Cause
from pipeline.messages.options import FORCE

_ALIVE = frozenset({State.RUNNING, State.QUEUED})
_TO_SETTLE = frozenset({State.ENDING, State.BLOCKED})
_MAY_RUN = frozenset({Phase.ACTIVE, Phase.WAITING, Phase.UNKNOWN})


class Rejection(msgspec.Struct, frozen=True):
    """Why a whole run is stopped. A person resumes it by force."""

    shard: int
    """The shard whose task was rejected, or never began."""
    message: str
    """What the task said, or what is known of its end."""
    cause: Cause
    """`refused` or `environment`."""

    def __str__(self) -> str:
        """Return the reason as a clause."""
        if self.cause is Cause.ENVIRONMENT:
            return f"the environment of the tasks is broken ({self.message})"
        return f"the service rejected shard {self.shard} ({self.message})"


def find_rejection(observation: Observation) -> Rejection | None:
    """Return the newest rejection (of a key, a model, …) that stops the whole run.

    So does an environment in which no task reaches its first line.

    None once something was submitted by force after it. The numbers of the attempts decide what
    came after what, because clocks differ from node to node.
    """
    attempts = [attempt for shard in observation.shards for attempt in shard.attempts]
    last_forced = max((attempt.number for attempt in attempts if attempt.forced), default=0)
    rejected = [
        (shard.attempts[-1].number, shard.index, shard.attempts[-1])
        for shard in observation.shards
        if shard.attempts and not shard.output.verified and _stops_run(shard.attempts[-1])
    ]
    if not rejected:
        return None
    number, index, attempt = max(rejected, key=lambda found: found[:2])
    cause, message = why_ended(attempt)
    return Rejection(index, message, cause) if number >= last_forced else None


def _stops_run(attempt: Attempt) -> bool:
    if attempt.words:
        return attempt.words.stops_run
    return attempt.early_end is not None and attempt.early_end.cause is Cause.ENVIRONMENT


def jobs_to_wait_for(observation: Observation) -> tuple[str, ...]:
    """Return what a job has to wait for that starts after everything of the run that is alive.

    That is arrays, such as `4711`. An array with a held task never ends by itself, so its other
    tasks are named instead, such as `4711_3`.
    """
    alive: dict[int, list[int]] = {}
    with_held_task: set[int] = set()
    for shard in observation.shards:
        for attempt in shard.attempts:
            if attempt.array_job_id is None:
                continue
            if attempt.phase is Phase.HELD:
                with_held_task.add(attempt.array_job_id)
            elif attempt.phase in _MAY_RUN:
                alive.setdefault(attempt.array_job_id, []).append(attempt.array_task_index)
    names: list[str] = []
    for job, indices in sorted(alive.items()):
        if job in with_held_task:
            names += [f"{job}_{index}" for index in sorted(indices)]
        else:
            names.append(str(job))
    return tuple(names)


def jobs_in_phase(observation: Observation, *phases: Phase) -> tuple[int, ...]:
    """Return the job ids of the arrays that have tasks in one of these phases."""
    jobs = {
        attempt.array_job_id
        for shard in observation.shards
        for attempt in shard.attempts
        if attempt.phase in phases and attempt.array_job_id is not None
    }
    return tuple(sorted(jobs))


def planned_shards(judgements: Sequence[Judgement]) -> tuple[int, ...]:
    """Return the shards that were never submitted, except those that another engine labels."""
    return tuple(
        judgement.index
        for judgement in judgements
        if judgement.state is State.PLANNED and not judgement.awaits_engine
    )


def shards_to_submit(status: RunStatus) -> tuple[int, ...]:
    """Return the shards that a supervised run submits next: failed ones, and planned ones.

    While the service answers nobody, that is one shard, and none while any task may get an answer.
    """
    failed, _ = resubmittable(status.judgements)
    if find_outage(status.observation):
        has_tasks = any(judgement.state in _ALIVE for judgement in status.judgements)
        return () if has_tasks else failed[:1]
    return tuple(sorted({*failed, *planned_to_submit(status)}))


def planned_to_submit(status: RunStatus) -> tuple[int, ...]:
    """Return the shards that were never submitted and may be submitted now.

    They wait while the run is stopped, while its service answers nobody, and while nobody knows
    whether the tasks' environment works. Otherwise a limit of submitted jobs would make a broken
    environment cost wave after wave.
    """
    if find_rejection(status.observation) or find_outage(status.observation):
        return ()
    failed, _ = resubmittable(status.judgements)
    if (failed or status.is_under_way) and _is_environment_in_doubt(status.observation):
        return ()
    return planned_shards(status.judgements)


def _is_environment_in_doubt(observation: Observation) -> bool:
    """Tell whether tasks ended before their first line, and none got to it since.

    The numbers of the attempts decide what came after what.
    """
    attempts = [attempt for shard in observation.shards for attempt in shard.attempts]
    newest_early = max((each.number for each in attempts if each.early_end), default=0)
    newest_begun = max((each.number for each in attempts if each.began), default=0)
    return newest_early > newest_begun


def resubmittable(
    judgements: Sequence[Judgement], *, indices: Sequence[int] | None = None, force: bool = False
) -> tuple[tuple[int, ...], str | None]:
    """Return the shards to resubmit, and why not if one that was named cannot be.

    Args:
        judgements: one per shard, in the order of their indices.
        indices: the shards that a person named; None for every failed one.
        force: whether to take the blocked shards that have ended too.
    """
    states = {State.FAILED} | ({State.BLOCKED} if force else set())
    candidates = {shard.index for shard in judgements if shard.state in states and shard.has_ended}
    if indices is None:
        return tuple(sorted(candidates)), None
    for index in indices:
        if index >= len(judgements):
            return (), f"there is no shard {index}: this run has shards 0-{len(judgements) - 1}"
        if index not in candidates:
            shard = judgements[index]
            return (), f"shard {index} is {shard.state}{_hint(shard)}"
    return tuple(sorted(set(indices))), None


def unsettled_shards(
    status: RunStatus, *, indices: Sequence[int] | None = None, force: bool = False
) -> Mapping[int, float]:
    """Return the shards that a resubmission means and that may still turn out to be done.

    Args:
        status: the run as it is now.
        indices: the shards that a person named; None for all.
        force: whether the resubmission means blocked shards too.

    Returns:
        By the shard's index, for how many more seconds its files may show up late.
    """
    observation = status.observation
    grace = timedelta(seconds=status.run.cluster.grace_seconds)
    states = _TO_SETTLE if force else {State.ENDING}
    return {
        judgement.index: seconds
        for facts, judgement in zip(observation.shards, status.judgements, strict=True)
        if judgement.state in states
        and (judgement.state is not State.BLOCKED or judgement.has_ended)
        if indices is None or judgement.index in indices
        if (seconds := rest_of_grace(facts, observation, grace))
    }


def _hint(shard: Judgement) -> str:
    if shard.state in _ALIVE or shard.is_held:
        return f": an earlier attempt is still alive ({shard.message})"
    if shard.state is State.BLOCKED and shard.has_ended:
        return f" ({shard.message}): add {FORCE.on} to resubmit it"
    if shard.state is State.DONE:
        return f": delete outputs/{shard.index:05d}.parquet to label it again"
    return f" ({shard.message})"
