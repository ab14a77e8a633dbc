"""Judge a canary: a small run that shows what all other posts will take. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from hpc.planning.measured.pace import RunPace
from hpc.run.model.run import Run
from hpc.run.run_state import RunState
from pipeline.model import UNSENT

# If fewer of the posts that were sent got a label, a person should look before more is spent.
LEAST_LABELED_SHARE = 0.5


class CanaryOutcome(StrEnum):
    """Whether a canary went well enough for the other posts to follow."""

    WELL = "well"
    """It is complete, and at least half of the posts that were sent got a label."""
    INCOMPLETE = "incomplete"
    """It needs a person."""
    NOTHING_SENT = "nothing_sent"
    """None of its posts has a text that can be sent, so nothing was measured."""
    FEW_LABELS = "few_labels"
    """It is complete, and too few of the posts that were sent got a label."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CanaryResult:
    """What a canary showed."""

    run: Run
    """The canary's run."""
    state: RunState
    """Its state."""
    labeled: int
    """How many of its posts got a label."""
    unlabelable: Mapping[str, int]
    """How many got a reason instead, by reason."""
    pace: RunPace | None
    """How fast its tasks were; None if nothing was asked."""
    memory_mb: float | None = None
    """The most memory that a task used, in MiB; None if unknown."""
    most_attempts: int = 1
    """How many attempts the shard with the most of them took."""
    tokens: int | None = None
    """The tokens that all posts used together; None if they are not counted."""
    cost: float | None = None
    """What they cost; None if there is no price."""
    currency: str | None = None
    """The currency of the cost."""

    @property
    def posts(self) -> int:
        """How many posts it has."""
        return self.run.manifest.posts

    @property
    def sent(self) -> int:
        """How many of its posts have a text that was sent, or one that was copied."""
        return self.posts - sum(self.unlabelable.get(reason, 0) for reason in UNSENT)

    @property
    def outcome(self) -> CanaryOutcome:
        """Whether it went well."""
        return judge_canary(self.state, sent=self.sent, labeled=self.labeled)


def judge_canary(state: RunState, *, sent: int, labeled: int) -> CanaryOutcome:
    """Return whether a canary went well.

    Args:
        state: the state of its run.
        sent: how many of its posts have a text that can be sent.
        labeled: how many of its posts got a label.
    """
    if state is not RunState.COMPLETE:
        return CanaryOutcome.INCOMPLETE
    if not sent:
        return CanaryOutcome.NOTHING_SENT
    if labeled < LEAST_LABELED_SHARE * sent:
        return CanaryOutcome.FEW_LABELS
    return CanaryOutcome.WELL
