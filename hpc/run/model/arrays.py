"""Define arrays to submit, and what was submitted, as values. Pure."""

from collections.abc import Mapping
from datetime import datetime, timedelta

import msgspec


class ResourceRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What a task requests, as far as that may change from attempt to attempt."""

    mem_gb: float | None = None
    """Memory in GiB; None for the partition's default."""
    time_min: int = 60
    """Time limit in minutes."""
    exclude: tuple[str, ...] = ()
    """Nodes that the task must not run on."""


FIRST_REQUEST = ResourceRequest()


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """How far a task's resources can grow; None where the executor does not say."""

    mem_gb: float | None = None
    """Memory of the largest node in GiB."""
    time_min: int | None = None
    """The longest time limit in minutes."""
    nodes: frozenset[str] | None = None
    """Names of the nodes that a task can run on."""

    def without_nodes(self, excluded: str | None) -> "Limits":
        """Return the limits without these nodes, a comma list. A pattern in it leaves too many."""
        if self.nodes is None or not excluded:
            return self
        return msgspec.structs.replace(self, nodes=self.nodes - set(excluded.split(",")))


class SubmitLimit(msgspec.Struct, frozen=True, kw_only=True):
    """A limit on how many jobs are submitted at a time. Array tasks count one by one."""

    name: str
    """What limits, as a person would look it up."""
    most: int
    """How many jobs it allows."""
    used: int = 0
    """How many count against it now, those of other runs and people included."""

    @property
    def room(self) -> int:
        """Return how many more jobs may be submitted."""
        return max(0, self.most - self.used)


class ShardGroup(msgspec.Struct, frozen=True, kw_only=True):
    """Shards whose next attempts request the same."""

    shards: tuple[int, ...]
    """Indices of the shards."""
    request: ResourceRequest
    """What each of their tasks requests."""
    delay_s: int = 0
    """How long they wait before they start, in seconds."""
    slowdown: float = 1.0
    """Factor on the number of tasks at a time, at most 1."""
    why: str = ""
    """Cause and remedy in words; empty for first attempts."""


class ArrayPlan(msgspec.Struct, frozen=True, kw_only=True):
    """One array to submit. Shard index = `offset` + array index."""

    offset: int
    """The shard index of array index 0."""
    indices: tuple[int, ...]
    """The array indices."""
    throttle: int
    """How many of the array's tasks run at a time (Slurm's `%K`)."""
    parallel_tasks: int
    """How many of the run's tasks run at a time, those of other arrays included."""
    after: int = 0
    """Number of the submission that has to end first; 0 for none."""
    after_jobs: tuple[str, ...] = ()
    """Arrays or tasks of earlier submissions that have to end first, by their job ids."""
    request: ResourceRequest = FIRST_REQUEST
    """What each task requests."""
    delay_s: int = 0
    """How long the array waits before it starts, in seconds."""
    why: str = ""
    """Cause and remedy in words; empty for first attempts."""
    upstream: tuple[str, ...] = ()
    """Jobs of others that have to succeed first, such as `4711` or `4711_3`."""

    @property
    def shards(self) -> tuple[int, ...]:
        """Return the indices of the shards."""
        return tuple(self.offset + index for index in self.indices)


class Submission(msgspec.Struct, frozen=True, kw_only=True):
    """One sbatch, and the record of it.

    The record is written before sbatch (the intent), again with the job id once sbatch has taken
    the array on hold, and again when the array is released. Only a released submission may have
    run.
    """

    number: int
    """Number of this submission, and of the attempt of every shard in it."""
    job_name: str
    """A name that no other job has, by which the array is found after a crash."""
    plan: ArrayPlan
    """What is submitted."""
    intended_at: datetime
    """When the intent was written (UTC)."""
    array_job_id: int | None = None
    """Slurm's id of the array; None before sbatch, and for the local executor."""
    released_at: datetime | None = None
    """When the array was released (UTC); None before that."""
    crashed: Mapping[int, tuple[int, ...]] = {}
    """By array index, the former attempts of the shard that crashed."""
    forced: bool = False
    """Whether a person submitted it by force."""
    restarted: tuple[int, ...] = ()
    """Array indices that were requeued because their tasks stalled."""
    started_early: tuple[int, ...] = ()
    """Array indices whose tasks were started before the plan's delay was over."""
    submitter: int | None = None
    """The user id of who submitted it; None where nobody knows."""

    def begin_of(self, index: int) -> datetime | None:
        """Return when a task may start at the earliest (UTC); None if that is at once."""
        if self.released_at is None or not self.plan.delay_s or index in self.started_early:
            return None
        return self.released_at + timedelta(seconds=self.plan.delay_s)
