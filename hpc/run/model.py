"""Runs, submissions and attempts as values. Their meaning is in `hpc.run.judge`. Pure."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from pathlib import Path

from hpc.run.resources import Cluster, ExecutorName
from hpc.run.retry_policy import RetryPolicy
from pipeline.errors import Cause
from pipeline.run_files.heartbeat import Heartbeat
from pipeline.run_files.last_words import LastWords
from pipeline.run_files.manifest import Manifest
from pipeline.run_files.output import Verdict

# Shows one message to a person.
Say = Callable[[str], None]


class State(StrEnum):
    """A shard's state, derived by `hpc.run.judge`, never stored."""

    DONE = "done"
    PLANNED = "planned"
    BLOCKED = "blocked"
    RUNNING = "running"
    QUEUED = "queued"
    UNKNOWN = "unknown"
    FAILED = "failed"


class Phase(StrEnum):
    """How far one attempt is, as Slurm (or the local executor) tells."""

    HELD = "held"
    ACTIVE = "active"
    WAITING = "waiting"
    ENDED = "ended"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Run:
    """A run's folder, its manifest, and of that the sections `cluster` and `retry`, typed."""

    folder: Path
    manifest: Manifest
    cluster: Cluster
    retry: RetryPolicy

    @property
    def run_id(self) -> str:
        return self.manifest.run_id

    @property
    def executor(self) -> ExecutorName:
        """Return which executor the run was planned for."""
        return self.cluster.executor


@dataclass(frozen=True, kw_only=True, slots=True)
class ResourceRequest:
    """What a task asks Slurm for, as far as that may change from attempt to attempt: GiB (None: the
    partition's default), minutes, nodes to stay away from."""

    mem_gb: float | None = None
    time_min: int = 60
    exclude: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """How far a partition lets a task grow; None where it does not say. `nodes` by their names."""

    mem_gb: float | None = None
    time_min: int | None = None
    nodes: frozenset[str] | None = None

    def without_nodes(self, excluded: str | None) -> "Limits":
        """Return the limits without these nodes, a comma list. A pattern in it leaves too many."""
        if self.nodes is None or not excluded:
            return self
        return replace(self, nodes=self.nodes - set(excluded.split(",")))


@dataclass(frozen=True, kw_only=True, slots=True)
class ShardGroup:
    """Shards that are submitted alike: no sooner than in `delay_s`, at `slowdown` of the speed that
    the others have, and `why`, in words, '' on a first attempt."""

    shards: tuple[int, ...]
    ask: ResourceRequest
    delay_s: int = 0
    slowdown: float = 1.0
    why: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class ArrayPlan:
    """One array to submit. Shard index = `offset` + array index.

    `throttle` is the array's %K; `parallel_tasks` how many of the run are at work at once, others'
    included; `after` numbers the submission that must end first, 0 for none; `after_jobs` holds
    array job ids of earlier submissions that must. `ask`, `delay_s` and `why` are the group's.
    """

    offset: int
    indices: tuple[int, ...]
    throttle: int
    parallel_tasks: int
    after: int = 0
    after_jobs: tuple[str, ...] = ()
    ask: ResourceRequest = ResourceRequest()
    delay_s: int = 0
    why: str = ""

    @property
    def shards(self) -> tuple[int, ...]:
        return tuple(self.offset + index for index in self.indices)


@dataclass(frozen=True, kw_only=True, slots=True)
class Submission:
    """One sbatch. Its number is the attempt's number of every shard that it names.

    The record is written before sbatch (the intent), again with the job id once sbatch took it,
    to wait, and again when the array was released. Only a released submission may have run.
    `crashed` names, for an array index, the attempts of its shard that ended as crashed before;
    `restarted` the array indices that were put back into the queue because they stood still.
    """

    number: int
    job_name: str
    plan: ArrayPlan
    intended_at: datetime
    array_job_id: int | None = None
    released_at: datetime | None = None
    crashed: Mapping[int, tuple[int, ...]] = field(default_factory=dict)
    forced: bool = False
    restarted: tuple[int, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskRecord:
    """What Slurm (or the local executor) says of one task of an attempt. Times are UTC."""

    phase: Phase
    slurm_state: str
    cause: Cause | None = None
    exit_code: str | None = None
    elapsed_s: int | None = None
    max_rss_mb: float | None = None
    req_mem_gb: float | None = None
    node: str | None = None
    reason: str | None = None
    advice: str = ""
    submitted_at: datetime | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None


# By a submission's number and an array index.
Records = dict[tuple[int, int], TaskRecord]


@dataclass(frozen=True, kw_only=True, slots=True)
class Attempt:
    """One released submission of a shard; `record` None: nobody has a record of it.

    `rows` counts the rows that it kept in checkpoint parts; `trials` the posts at which it died
    while it had nothing else in hand; `restarted`: it was put back because it stood still;
    `forced`: a person submitted it by force.
    """

    number: int
    array_job_id: int | None
    array_task_index: int
    submitted_at: datetime
    record: TaskRecord | None = None
    words: LastWords | None = None
    ask: ResourceRequest = ResourceRequest()
    rows: int = 0
    trials: int = 0
    restarted: bool = False
    forced: bool = False

    @property
    def task(self) -> str | None:
        """As Slurm names it, `4711_3`; None of the local executor's."""
        if self.array_job_id is None:
            return None
        return f"{self.array_job_id}_{self.array_task_index}"

    @property
    def phase(self) -> Phase:
        if self.record:
            return self.record.phase
        return Phase.ENDED if self.words else Phase.UNKNOWN

    @property
    def last_change(self) -> datetime:
        """Return when the attempt is last known to have changed (UTC)."""
        if self.record and self.record.ended_at:
            return self.record.ended_at
        return self.submitted_at


@dataclass(frozen=True, kw_only=True, slots=True)
class ShardFacts:
    """All that was observed of one shard. `rows` counts the rows in its checkpoint parts;
    `heartbeat` is the last one of its last attempt, where that may be running; `left_behind`, where
    there is none of that, the newest of an attempt that kept rows: what those cost."""

    index: int
    posts: int
    output: Verdict
    attempts: tuple[Attempt, ...] = ()
    rows: int = 0
    heartbeat: Heartbeat | None = None
    left_behind: Heartbeat | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Observation:
    """A run at one moment. `trouble` holds what Slurm said where it did not answer."""

    at: datetime
    shards: tuple[ShardFacts, ...]
    answered: bool
    last_answer: datetime | None
    trouble: str | None = None
    submissions: tuple[Submission, ...] = ()
    limits: Limits | None = None

    @property
    def released(self) -> tuple[Submission, ...]:
        """Return the submissions that may have run."""
        return tuple(submission for submission in self.submissions if submission.released_at)


@dataclass(frozen=True, kw_only=True, slots=True)
class Judgement:
    """A shard in one state with one cause. `rule` numbers the first rule that matched.

    `stalled`: it runs, and has made no progress for longer than it should.
    """

    index: int
    state: State
    rule: int
    cause: Cause | None = None
    message: str = ""
    stalled: bool = False

    @property
    def is_held(self) -> bool:
        """Whether Slurm holds a task of it, which so is alive and never starts by itself."""
        return self.state is State.BLOCKED and self.rule == 3
