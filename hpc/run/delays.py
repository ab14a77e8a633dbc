"""Find the tasks that were submitted for later, such as until a service answers again. Pure."""

from collections.abc import Collection
from datetime import datetime

import msgspec

from hpc.run.causes import cause_of
from hpc.run.model.attempts import Attempt, Phase
from hpc.run.model.shards import Observation
from hpc.run.outage import find_outage
from pipeline.errors import Cause


class DelayedTask(msgspec.Struct, frozen=True, kw_only=True):
    """A pending task that may not start yet, because its submission asked for that."""

    shard: int
    """Its shard's index."""
    attempt: Attempt
    """The task."""
    starts_at: datetime
    """When it may start (UTC)."""
    cause: Cause
    """Why the attempt before it ended."""
    failed_at: datetime
    """When that was (UTC)."""

    @property
    def awaits_quota(self) -> bool:
        """Whether it waits for a quota; otherwise it waits for a service that was down."""
        return self.cause is Cause.THROTTLED


def delayed_tasks(observation: Observation) -> tuple[DelayedTask, ...]:
    """Return the tasks that wait for their time, in the order of their shards."""
    return tuple(
        DelayedTask(
            shard=shard.index,
            attempt=last,
            starts_at=last.starts_at,
            cause=cause_of(shard.attempts[-2]),
            failed_at=shard.attempts[-2].last_change,
        )
        for shard in observation.shards
        if len(shard.attempts) > 1 and not shard.output.verified
        if is_delayed(last := shard.attempts[-1], observation.observed_at) and last.starts_at
    )


def is_delayed(attempt: Attempt, now: datetime) -> bool:
    """Tell whether a task is pending and may not start yet."""
    starts = attempt.starts_at
    return attempt.phase is Phase.WAITING and starts is not None and now < starts


def tasks_to_start(
    observation: Observation, *, indices: Collection[int] | None, force: bool
) -> tuple[DelayedTask, ...]:
    """Return the delayed tasks that a person's resubmission starts now.

    Those that wait for a quota have to be named, or forced: at once, they would most likely meet
    the quota again.
    """
    return tuple(
        task
        for task in delayed_tasks(observation)
        if (task.shard in indices if indices is not None else force or not task.awaits_quota)
    )


def tasks_whose_service_is_back(observation: Observation) -> tuple[DelayedTask, ...]:
    """Return the tasks that wait for a service that answers others of the run by now."""
    waiting = tuple(task for task in delayed_tasks(observation) if not task.awaits_quota)
    return waiting if waiting and find_outage(observation) is None else ()
