"""The state of a whole run, and a run as it was seen at one moment. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from hpc.run.model import Judgement, Observation, Phase, Run, ShardFacts, State, TaskRecord


class RunState(StrEnum):
    """The state of a whole run, derived from the states of its shards."""

    COMPLETE = "complete"
    RUNNING = "running"
    UNKNOWN = "unknown"
    BLOCKED = "blocked"
    FAILED = "failed"
    PLANNED = "planned"


EXIT_CODE: dict[RunState, int] = {
    RunState.COMPLETE: 0,
    RunState.RUNNING: 3,
    RunState.UNKNOWN: 3,
    RunState.BLOCKED: 1,
    RunState.FAILED: 1,
    RunState.PLANNED: 1,
}

# The run is in the state of the first row that any of its shards matches.
_ORDER = (
    (State.RUNNING, RunState.RUNNING),
    (State.QUEUED, RunState.RUNNING),
    (State.UNKNOWN, RunState.UNKNOWN),
    (State.FAILED, RunState.FAILED),
    (State.PLANNED, RunState.PLANNED),
    (State.BLOCKED, RunState.BLOCKED),
)


def run_state(judgements: Sequence[Judgement]) -> RunState:
    """Return the state of a run from the judgements of its shards.

    A run is under way as long as any of its shards is.
    """
    states = {judgement.state for judgement in judgements}
    return next((whole for shard, whole in _ORDER if shard in states), RunState.COMPLETE)


def posts_done(shard: ShardFacts) -> int:
    """Count the posts of a shard that have an answer, published or in a checkpoint part."""
    return shard.posts if shard.output.verified else shard.rows


def pending_records(observation: Observation) -> list[TaskRecord]:
    """Return what the executor says of the last attempts that are pending, in order of shards."""
    return [
        shard.attempts[-1].record
        for shard in observation.shards
        if not shard.output.verified
        and shard.attempts
        and shard.attempts[-1].record
        and shard.attempts[-1].phase is Phase.WAITING
    ]


@dataclass(frozen=True, kw_only=True, slots=True)
class RunStatus:
    """A run as it was at one moment: what was observed, and what follows for each shard."""

    run: Run
    observation: Observation
    judgements: tuple[Judgement, ...]
    waits_for_room: bool = False
    """Whether shards wait only for a limit of submitted jobs, so that nobody is needed."""

    @property
    def state(self) -> RunState:
        """The state of the whole run."""
        return run_state(self.judgements)

    @property
    def exit_code(self) -> int:
        """The exit code that tells a program how the run is."""
        return EXIT_CODE[RunState.RUNNING if self.waits_for_room else self.state]

    @property
    def is_under_way(self) -> bool:
        """Whether the run may still get somewhere without a command."""
        return self.state in (RunState.RUNNING, RunState.UNKNOWN)

    @property
    def posts_done(self) -> int:
        """How many posts have an answer, published or in a checkpoint part."""
        return sum(map(posts_done, self.observation.shards))
