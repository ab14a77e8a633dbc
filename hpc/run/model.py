"""Runs, submissions and attempts as values. Their meaning is in `hpc.run.judge`. Pure."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from pathlib import Path

from hpc.run.resources import Cluster, ExecutorName
from hpc.run.retry_policy import RetryPolicy
from pipeline.config.notify_settings import NotifySettings
from pipeline.config.session_limits import LOGIN_NODE, SessionLimits
from pipeline.errors import Cause
from pipeline.run_files.amendments import Amendment
from pipeline.run_files.heartbeat import Heartbeat
from pipeline.run_files.last_words import LastWords
from pipeline.run_files.manifest import Manifest
from pipeline.run_files.output import Verdict

# Shows one message to a person.
Say = Callable[[str], None]
# Lets so many seconds pass, and shows a person what for.
Wait = Callable[[float, str], None]


class State(StrEnum):
    """A shard's state, derived by `hpc.run.judge`, never stored."""

    DONE = "done"
    PLANNED = "planned"
    BLOCKED = "blocked"
    RUNNING = "running"
    QUEUED = "queued"
    UNKNOWN = "unknown"
    ENDING = "ending"
    FAILED = "failed"


class Phase(StrEnum):
    """How far one attempt has come, as its executor reports it."""

    HELD = "held"
    ACTIVE = "active"
    WAITING = "waiting"
    ENDED = "ended"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Run:
    """A run's folder, and its manifest as it holds now."""

    folder: Path
    manifest: Manifest = field(repr=False)
    cluster: Cluster = field(repr=False)
    """The manifest's section `cluster`, typed."""
    retry: RetryPolicy = field(repr=False)
    """The manifest's section `retry`, typed."""
    original: Path | None = None
    """The folder of the run that this one is a copy of; None for the run itself, moved or not."""
    amendments: tuple[Amendment, ...] = field(default=(), repr=False)
    """The corrections since the run was created, which `manifest` includes already."""
    chosen_database: Path | None = None
    """The database that a person named instead of the run's, as they typed it; None for none."""
    notify: NotifySettings = field(default_factory=NotifySettings, repr=False)
    """The manifest's section `notify`, typed."""
    limits: SessionLimits = field(default=LOGIN_NODE, repr=False)
    """The manifest's section `session`, typed."""

    @property
    def run_id(self) -> str:
        """Return the run's id, which is also the name of its folder."""
        return self.manifest.run_id

    @property
    def age(self) -> tuple[datetime, str]:
        """Return what sorts runs from the oldest to the newest, as the database sorts them."""
        return datetime.fromisoformat(self.manifest.created_at), self.run_id

    @property
    def executor(self) -> ExecutorName:
        """Return which executor the run was planned for."""
        return self.cluster.executor


@dataclass(frozen=True, kw_only=True, slots=True)
class ResourceRequest:
    """What a task requests, as far as that may change from attempt to attempt."""

    mem_gb: float | None = None
    """Memory in GiB; None for the partition's default."""
    time_min: int = 60
    """Time limit in minutes."""
    exclude: tuple[str, ...] = ()
    """Nodes that the task must not run on."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
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
        return replace(self, nodes=self.nodes - set(excluded.split(",")))


@dataclass(frozen=True, kw_only=True, slots=True)
class SubmitLimit:
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


@dataclass(frozen=True, kw_only=True, slots=True)
class ShardGroup:
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


@dataclass(frozen=True, kw_only=True, slots=True)
class ArrayPlan:
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
    request: ResourceRequest = ResourceRequest()
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


@dataclass(frozen=True, kw_only=True, slots=True)
class Submission:
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
    crashed: Mapping[int, tuple[int, ...]] = field(default_factory=dict)
    """By array index, the former attempts of the shard that crashed."""
    forced: bool = False
    """Whether a person submitted it by force."""
    restarted: tuple[int, ...] = ()
    """Array indices that were requeued because their tasks stalled."""
    submitter: int | None = None
    """The user id of who submitted it; None where nobody knows."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskRecord:
    """What an executor reports of one task. Times are UTC."""

    phase: Phase
    """How far the task has come."""
    slurm_state: str
    """The executor's own word for that."""
    cause: Cause | None = None
    """Why the task ended, as far as the executor knows; None before that."""
    exit_code: str | None = None
    """Exit code, as the executor prints it."""
    elapsed_s: int | None = None
    """How long the task has run, in seconds."""
    max_rss_mb: float | None = None
    """Peak memory in MiB."""
    req_mem_gb: float | None = None
    """Requested memory in GiB."""
    cpu_s: float | None = None
    """CPU time that its processes used, in seconds."""
    alloc_cpus: int | None = None
    """CPUs that the task had, which may be more than it requested."""
    alloc_mem_gb: float | None = None
    """Memory that the task had, in GiB."""
    node: str | None = None
    """The node that the task runs or ran on."""
    reason: str | None = None
    """Why the task is pending."""
    advice: str = ""
    """What a person can do about that."""
    submitted_at: datetime | None = None
    """When the task was submitted."""
    started_at: datetime | None = None
    """When the task started."""
    ended_at: datetime | None = None
    """When the task ended."""


# By a submission's number and an array index.
Records = dict[tuple[int, int], TaskRecord]


@dataclass(frozen=True, slots=True)
class EarlyEnd:
    """What it means that a task ended before its first line."""

    cause: Cause
    """`node` or `environment`."""
    message: str
    """The same in words, with the end of a log."""
    newest: datetime | None
    """When the last such task of the array ended (UTC), or later while others of the array may
    still show which cause it is; None once one got further."""


@dataclass(frozen=True, slots=True)
class LogExcerpt:
    """A part of a shard's one log, in bytes."""

    offset: int
    length: int


@dataclass(frozen=True, kw_only=True, slots=True)
class LogExcerpts:
    """Where an attempt's logs are in the log of its shard; None where it left none."""

    log: LogExcerpt | None = None
    """What the task printed."""
    server_log: LogExcerpt | None = None
    """The log of the server that it started."""
    traceback: LogExcerpt | None = None
    """The traceback of its last words."""


@dataclass(frozen=True, slots=True)
class UnreadableFile:
    """A file that is there and cannot be read now. Nothing is known about its content."""

    problem: str
    """Which file, and why."""
    needs_person: bool
    """Whether only a person can make it readable."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Attempt:
    """One released submission of a shard."""

    number: int
    """The number of the submission."""
    array_job_id: int | None
    """Slurm's id of the array; None for the local executor."""
    array_task_index: int
    """The shard's index in the array."""
    submitted_at: datetime
    """When the array was released (UTC)."""
    record: TaskRecord | None = None
    """What the executor reports; None if it has no record of the task."""
    words: LastWords | None = None
    """What the task said when it ended, without the traceback."""
    unread_words: UnreadableFile | None = None
    """Its last words, if they are there but cannot be read now."""
    request: ResourceRequest = ResourceRequest()
    """What the task requested."""
    upstream: tuple[str, ...] = ()
    """Jobs of others that had to succeed before it started."""
    rows: int = 0
    """Answers that the task kept in checkpoint parts and journals; while it runs, in parts."""
    solo_attempts: int = 0
    """Posts at which the task died while it had nothing else in hand."""
    began: bool = True
    """Whether the task left anything of its own, so that its worker had begun."""
    early_end: EarlyEnd | None = None
    """What it means that the task ended before its first line; None if it did not."""
    restarted: bool = False
    """Whether the task was requeued because it stalled."""
    forced: bool = False
    """Whether a person submitted it by force."""
    hidden: str = ""
    """Why the lack of a record proves nothing of its task; empty if nothing is known to hide it."""
    packed: LogExcerpts | None = None
    """Where its logs are once its files are packed; None while each is a file of its own."""

    @property
    def task(self) -> str | None:
        """Return Slurm's name of the task, such as `4711_3`; None for the local executor."""
        if self.array_job_id is None:
            return None
        return f"{self.array_job_id}_{self.array_task_index}"

    @property
    def phase(self) -> Phase:
        """Return how far the attempt has come; last words show that it has ended."""
        if self.record:
            return self.record.phase
        return Phase.ENDED if self.words else Phase.UNKNOWN

    @property
    def never_started(self) -> bool:
        """Tell whether the attempt ended before its task ran, as if canceled while it was pending.

        Slurm gives such a task no node. A short one on this machine may have run for 0 s.
        """
        record = self.record
        if record is None or record.phase is not Phase.ENDED or self.words or self.rows:
            return False
        if self.task is None:
            return record.started_at is None
        return record.node is None and not record.elapsed_s

    @property
    def last_change(self) -> datetime:
        """Return when the attempt is last known to have changed (UTC)."""
        if self.early_end and self.early_end.newest:
            return self.early_end.newest
        if self.record and self.record.ended_at:
            return self.record.ended_at
        return self.submitted_at


@dataclass(frozen=True, kw_only=True, slots=True)
class ShardFacts:
    """All that was observed of one shard."""

    index: int
    """The shard's index."""
    posts: int
    """How many posts it has."""
    output: Verdict
    """Whether its published output verifies."""
    attempts: tuple[Attempt, ...] = ()
    """Its attempts, oldest first."""
    rows: int = 0
    """Answers that its attempts kept, counted in the same way."""
    heartbeat: Heartbeat | None = None
    """The last heartbeat of its last attempt, if that may be running."""
    unread_heartbeat: UnreadableFile | None = None
    """That heartbeat, if it is there but cannot be read now."""
    left_behind: Heartbeat | None = None
    """Without one, the newest heartbeat of an attempt that kept rows: it has what those cost."""
    copies: int = 0
    """How many of its posts get a copy of the answer to another post."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Observation:
    """A run at one moment."""

    observed_at: datetime
    """When the executor was asked (UTC)."""
    shards: tuple[ShardFacts, ...]
    """The shards, in the order of their indices."""
    answered: bool
    """Whether the executor answered in full."""
    last_answer: datetime | None
    """When it last did (UTC)."""
    trouble: str | None = None
    """What the executor said if it did not answer in full."""
    unreadable: tuple[str, ...] = ()
    """What is wrong with files of tasks that cannot be read, are damaged, or that another version
    wrote."""
    asked: frozenset[int] = frozenset()
    """The numbers of the submissions whose tasks the executor was asked about."""
    submissions: tuple[Submission, ...] = ()
    """Every recorded submission, in the order of their numbers."""
    last_number: int = 0
    """The highest number that any submission had, recorded or not; 0 where nobody has looked."""
    limits: Limits | None = None
    """How far resources can grow; None if nothing needs to know."""
    submit_limits: tuple[SubmitLimit, ...] | None = None
    """How many jobs may be submitted, as far as is known; None if nothing needs to know."""
    is_labeled_elsewhere: bool = False
    """Whether another engine labels the posts, so that nothing is ever submitted."""

    @property
    def released(self) -> tuple[Submission, ...]:
        """Return the submissions that may have run."""
        return tuple(submission for submission in self.submissions if submission.released_at)


@dataclass(frozen=True, kw_only=True, slots=True)
class Judgement:
    """A shard in one state with one cause."""

    index: int
    """The shard's index."""
    state: State
    """Its state."""
    rule: int
    """The number of the first rule that matched."""
    cause: Cause | None = None
    """Why its last attempt ended; None while that is open."""
    message: str = ""
    """The same in words."""
    stalled: bool = False
    """Whether it is running and has made no progress for longer than it should."""
    awaits_file: bool = False
    """Whether its state is open until a file can be read that cannot be read now."""
    awaits_engine: bool = False
    """Whether another engine labels it, so that no task is ever submitted for it."""

    @property
    def is_held(self) -> bool:
        """Tell whether Slurm holds a task of it, which is alive and never starts by itself."""
        return self.state is State.BLOCKED and self.rule == 3

    @property
    def is_unreadable(self) -> bool:
        """Tell whether it depends on a file that only a person can make readable."""
        return self.state is State.BLOCKED and self.rule == 6

    @property
    def has_ended(self) -> bool:
        """Tell whether its last attempt is known to be over, and to have left no output."""
        return self.rule >= 7
