"""Define attempts of a shard, and what an executor reports of them, as values. Pure."""

from datetime import datetime
from enum import StrEnum

import msgspec

from hpc.run.model.arrays import FIRST_REQUEST, ResourceRequest
from pipeline.errors import Cause
from pipeline.run_files.last_words import LastWords


class Phase(StrEnum):
    """How far one attempt has come, as its executor reports it."""

    HELD = "held"
    ACTIVE = "active"
    WAITING = "waiting"
    ENDED = "ended"
    UNKNOWN = "unknown"


class TaskRecord(msgspec.Struct, frozen=True, kw_only=True):
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


class EarlyEnd(msgspec.Struct, frozen=True):
    """What it means that a task ended before its first line."""

    cause: Cause
    """`node` or `environment`."""
    message: str
    """The same in words, with the end of a log."""
    newest: datetime | None
    """When the last such task of the array ended (UTC), or later while others of the array may
    still show which cause it is; None once one got further."""


class LogExcerpt(msgspec.Struct, frozen=True):
    """A part of a shard's one log, in bytes."""

    offset: int
    length: int


class LogExcerpts(msgspec.Struct, frozen=True, kw_only=True):
    """Where an attempt's logs are in the log of its shard; None where it left none."""

    log: LogExcerpt | None = None
    """What the task printed."""
    server_log: LogExcerpt | None = None
    """The log of the server that it started."""
    traceback: LogExcerpt | None = None
    """The traceback of its last words."""


class UnreadableFile(msgspec.Struct, frozen=True):
    """A file that is there and cannot be read now. Nothing is known about its content."""

    problem: str
    """Which file, and why."""
    needs_person: bool
    """Whether only a person can make it readable."""


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
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
    request: ResourceRequest = FIRST_REQUEST
    """What the task requested."""
    starts_at: datetime | None = None
    """When it may start at the earliest (UTC), if it was submitted for later; None if at once."""
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
