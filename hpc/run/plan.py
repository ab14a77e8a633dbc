"""Plan what to submit next, as arrays, from what was observed and judged. Pure.

Where a limit of submitted jobs leaves no room for all shards, they go out in waves: what fits is
submitted now, and the rest when tasks have ended.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from msgspec.structs import replace

from hpc.run.array_plan import Capacity, alive_tasks, capacity, next_number, plan_arrays
from hpc.run.cluster.resource_requests import first_request
from hpc.run.model.arrays import ArrayPlan, Limits, ResourceRequest, SubmitLimit
from hpc.run.model.attempts import Phase
from hpc.run.model.run import Run
from hpc.run.model.shards import Observation, ShardFacts
from hpc.run.outage import find_outage
from hpc.run.remedies import Base, group_by_remedy
from hpc.run.run_state import RunStatus
from hpc.run.selection import jobs_to_wait_for

# Settings of whatever supervises the run, by the beginning of their keys. All others go to tasks.
_OF_SUPERVISION = ("retry.", "cluster.caretaker.", "cluster.poll_seconds", "cluster.grace_seconds")


@dataclass(frozen=True, kw_only=True, slots=True)
class ShardSelection:
    """The shards to submit, and what a person wants for them."""

    shards: tuple[int, ...]
    """Indices of the shards, none of which may be alive."""
    override: ResourceRequest | None = None
    """Resources that replace the remedy's; no memory and 0 minutes leave the remedy's."""
    forced: bool = False
    """Whether a person has looked at the run and resumes it by force."""
    at_most: int | None = None
    """How many shards the executor may be asked to take at once; None if nothing is known."""
    is_patient: bool = False
    """Whether they may wait for a service that is down, as when no person asks for them."""
    spare_jobs: int = 0
    """How many jobs to leave room for beside the tasks: those of a caretaker."""


def plan(status: RunStatus, selection: ShardSelection) -> tuple[ArrayPlan, ...]:
    """Return the arrays that submit the next wave of the selected shards beside those alive.

    Args:
        status: the run as it is now, with the limits of submitted jobs, and with the cluster's
            limits if a remedy needs them.
        selection: what to submit.
    """
    shards = next_wave(status, selection)
    if not shards:
        return ()
    run, observation = status.run, status.observation
    groups = group_by_remedy(
        [observation.shards[shard] for shard in shards],
        base=base_of(run),
        policy=run.retry,
        limits=observation.limits or Limits(),
        others=observation.shards,
        outage=find_outage(observation) if selection.is_patient else None,
    )
    room = room_for(status, len(shards))
    arrays = plan_arrays(
        [
            replace(group, request=_overridden(group.request, selection.override))
            for group in groups
        ],
        array_size=run.manifest.array_size,
        max_parallel=room.tasks,
        after_jobs=room.after_jobs,
        tasks_at_once=room.parallel_tasks,
        first_number=next_number(observation.submissions, observation.last_number),
    )
    upstream = upstream_of(run, observation, forced=selection.forced)
    return tuple(replace(array, upstream=upstream) for array in arrays)


def upstream_of(run: Run, observation: Observation, *, forced: bool = False) -> tuple[str, ...]:
    """Return the jobs of others that have to succeed before the next task of the run may start.

    None once any task has started, because they had succeeded then, nor if a person submits by
    force.
    """
    if forced or any(map(_has_started, observation.shards)):
        return ()
    return run.manifest.after


def _has_started(shard: ShardFacts) -> bool:
    return shard.output.verified or any(
        attempt.began
        or attempt.phase is Phase.ACTIVE
        or bool(attempt.record and attempt.record.node)
        for attempt in shard.attempts
    )


def next_wave(status: RunStatus, selection: ShardSelection) -> tuple[int, ...]:
    """Return those of the selected shards that may be submitted now, the oldest posts first.

    A wave that is not the last takes no more than its share of the work. It may start as many
    tasks as slots are free, and the arrays that follow it use the slots that are not free yet.
    """
    wanted = sorted(set(selection.shards))
    fits = len(wanted)
    if (limit := tightest(status.observation.submit_limits or ())) is not None:
        fits = min(fits, usable_room(limit, selection.spare_jobs))
    if selection.at_most is not None:
        fits = min(fits, selection.at_most)
    if fits == len(wanted):
        return tuple(wanted)
    alive = sum(alive_tasks(status.observation, status.judgements).values())
    slots = room_for(status, len(wanted)).tasks
    share = math.ceil((len(wanted) + alive) * slots / status.run.cluster.max_parallel)
    return tuple(wanted[: min(fits, share)])


def is_worth_submitting(status: RunStatus, selection: ShardSelection) -> bool:
    """Tell whether a wave should go out now, or when more of it fits.

    Sent one by one as others end, thousands of shards would become thousands of arrays. So a wave
    is the last one, or has at least a quarter of the tasks that are alive.
    """
    wave = len(next_wave(status, selection))
    alive = sum(alive_tasks(status.observation, status.judgements).values())
    return wave > 0 and (wave == len(set(selection.shards)) or 4 * wave >= alive)


def tightest(limits: Sequence[SubmitLimit]) -> SubmitLimit | None:
    """Return the limit that leaves the least room; None without any."""
    return min(limits, key=lambda limit: limit.room, default=None)


def usable_room(limit: SubmitLimit, spare_jobs: int) -> int:
    """Return how many tasks fit if some jobs should have room beside them; a task comes first."""
    return max(limit.room - spare_jobs, min(limit.room, 1))


def count_waves(shards: int, limits: Sequence[SubmitLimit], *, spare_jobs: int = 0) -> int | None:
    """Return in how many waves this many shards go out, if the jobs of others stay as they are.

    None if no task fits as long as they stay.
    """
    limit = tightest(limits)
    if limit is None or not shards:
        return min(shards, 1)
    room = usable_room(limit, spare_jobs)
    return math.ceil(shards / room) if room else None


def base_of(run: Run) -> Base:
    """Return what the configuration requests, with the amendments that changed it."""
    per_cpu = run.cluster.resources.mem_per_cpu is not None
    memory = {"cluster.mem_gb", "cluster.mem_per_cpu", *(["cluster.cpus"] if per_cpu else [])}
    return Base(
        request=first_request(run.cluster.resources),
        memory_since=_last_attempt_before(run, memory.__contains__),
        time_since=_last_attempt_before(run, {"cluster.time_min"}.__contains__),
        settings_since=_last_attempt_before(run, reaches_tasks),
    )


def reaches_tasks(key: str) -> bool:
    """Tell whether a task has this setting from its submission on, by its key."""
    return not key.startswith(_OF_SUPERVISION)


def _last_attempt_before(run: Run, corrects: Callable[[str], bool]) -> int:
    """Return the newest attempt before the last correction of some keys; 0 without any."""
    return max(
        (
            amendment.after_attempt
            for amendment in run.amendments
            if any(corrects(change.key) for change in amendment.changes)
        ),
        default=0,
    )


def room_for(status: RunStatus, wanted: int) -> Capacity:
    """Return how many of `wanted` more tasks may start beside those that are alive."""
    observation = status.observation
    return capacity(
        observation.released,
        alive_tasks(observation, status.judgements),
        wanted=wanted,
        max_parallel=status.run.cluster.max_parallel,
        ends_to_come=jobs_to_wait_for(observation),
    )


def _overridden(ask: ResourceRequest, override: ResourceRequest | None) -> ResourceRequest:
    if override is None:
        return ask
    return replace(
        ask, mem_gb=override.mem_gb or ask.mem_gb, time_min=override.time_min or ask.time_min
    )
