"""Define what is observed of a run's shards, and how they are judged, as values. Pure.

The rules are in `hpc.run.judge`.
"""

from datetime import datetime
from enum import StrEnum

import msgspec

from hpc.run.model.arrays import Limits, Submission, SubmitLimit
from hpc.run.model.attempts import Attempt, UnreadableFile
from pipeline.errors import Cause
from pipeline.run_files.heartbeat import Heartbeat
from pipeline.run_files.output import OutputCheck


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


class ShardFacts(msgspec.Struct, frozen=True, kw_only=True):
    """All that was observed of one shard."""

    index: int
    """The shard's index."""
    posts: int
    """How many posts it has."""
    output: OutputCheck
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

    def has_published(self, attempt: Attempt) -> bool:
        """Return whether the shard's output is that of an attempt, however its task ended.

        Slurm may cancel a task, or run out of time for it, when it has just published. An output
        that does not name its attempt counts as that of the last one.
        """
        number = self.output.attempt or self.attempts[-1].number
        return self.output.verified and attempt.number == number


class CaretakerJob(msgspec.Struct, frozen=True, kw_only=True):
    """A job that supervises the run."""

    job: int
    """Its job id."""
    is_running: bool
    """Whether it has started; until then it waits for the arrays to end."""


class Observation(msgspec.Struct, frozen=True, kw_only=True):
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
    caretaker: CaretakerJob | None = None
    """The job that supervises the run; None if there is none, or nobody has asked."""
    is_labeled_elsewhere: bool = False
    """Whether another engine labels the posts, so that nothing is ever submitted."""

    @property
    def released(self) -> tuple[Submission, ...]:
        """Return the submissions that may have run."""
        return tuple(submission for submission in self.submissions if submission.released_at)


class Judgement(msgspec.Struct, frozen=True, kw_only=True):
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
