"""What to submit next: one call from what was observed and judged to arrays. Pure."""

from dataclasses import dataclass, replace

from hpc.run.array_plan import Capacity, alive_tasks, capacity, next_number, plan_arrays
from hpc.run.model import ArrayPlan, Limits, ResourceRequest
from hpc.run.remedies import group_by_remedy
from hpc.run.resource_requests import first_request
from hpc.run.run_state import RunStatus
from hpc.run.selection import jobs_to_wait_for


@dataclass(frozen=True, kw_only=True, slots=True)
class ShardSelection:
    """The shards to submit, and what a person wants for them."""

    shards: tuple[int, ...]
    """Indices of the shards, none of which may be alive."""
    override: ResourceRequest | None = None
    """Resources that replace the remedy's; no memory and 0 minutes leave the remedy's."""
    forced: bool = False
    """Whether a person has looked at the run and resumes it by force."""


def plan(status: RunStatus, selection: ShardSelection) -> tuple[ArrayPlan, ...]:
    """Return the arrays that submit the selected shards beside those that are alive.

    Args:
        status: the run as it is now, with the cluster's limits if a remedy needs them.
        selection: what to submit.
    """
    if not selection.shards:
        return ()
    run, observation = status.run, status.observation
    groups = group_by_remedy(
        [observation.shards[shard] for shard in selection.shards],
        base=first_request(run.cluster.resources),
        policy=run.retry,
        limits=observation.limits or Limits(),
    )
    room = room_for(status, len(selection.shards))
    return plan_arrays(
        [
            replace(group, request=_overridden(group.request, selection.override))
            for group in groups
        ],
        array_size=run.manifest.array_size,
        max_parallel=room.tasks,
        after_jobs=room.after_jobs,
        tasks_at_once=room.parallel_tasks,
        first_number=next_number(observation.submissions),
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
