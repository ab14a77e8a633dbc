"""Derive the state of a whole run, and hold a run as it was seen at one moment. Pure."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import msgspec

from hpc.run.exit_codes import FAILED, UNDER_WAY
from hpc.run.model.attempts import Phase, TaskRecord
from hpc.run.model.run import Run
from hpc.run.model.shards import Judgement, Observation, ShardFacts, State
from pipeline.run_files.heartbeat import Heartbeat


class RunState(StrEnum):
    """The state of a whole run, derived from the states of its shards."""

    COMPLETE = "complete"
    RUNNING = "running"
    UNKNOWN = "unknown"
    ENDING = "ending"
    BLOCKED = "blocked"
    FAILED = "failed"
    PLANNED = "planned"


EXIT_CODE: dict[RunState, int] = {
    RunState.COMPLETE: 0,
    RunState.RUNNING: UNDER_WAY,
    RunState.UNKNOWN: UNDER_WAY,
    RunState.ENDING: UNDER_WAY,
    RunState.BLOCKED: FAILED,
    RunState.FAILED: FAILED,
    RunState.PLANNED: FAILED,
}

# The run is in the state of the first row that any of its shards matches.
_ORDER = (
    (State.RUNNING, RunState.RUNNING),
    (State.QUEUED, RunState.RUNNING),
    (State.UNKNOWN, RunState.UNKNOWN),
    (State.ENDING, RunState.ENDING),
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


# A task may be at work on these, and its heartbeat counts.
_AT_WORK = frozenset({State.RUNNING, State.UNKNOWN})


def posts_kept(shard: ShardFacts) -> int:
    """Count the posts of a shard whose answer is on the disk, published or in its work folder."""
    return shard.posts if shard.output.verified else shard.rows


def posts_done(shard: ShardFacts, judgement: Judgement) -> int:
    """Count the posts of a shard that have an answer, their own or that to the same text.

    Nobody opens the journal of a running task, but its heartbeat knows better. Both count the
    answers of earlier attempts. Once the task is gone, what it kept is done, with the copies of
    these answers. Only the last heartbeat knows how many those are.
    """
    if shard.output.verified:
        return shard.posts
    kept, beat, most = shard.rows, _last_heartbeat(shard), shard.posts
    if beat is None:
        return kept
    if judgement.state not in _AT_WORK:
        most = kept + (shard.copies if kept else 0)
    return min(max(kept, beat.rows), most)


def _last_heartbeat(shard: ShardFacts) -> Heartbeat | None:
    return shard.heartbeat or shard.left_behind


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


class LabelCounts(msgspec.Struct, frozen=True, kw_only=True):
    """How many answers of a run are labels, and how many are reasons."""

    labeled: int
    """Posts that are known to have a label."""
    unlabelable: Mapping[str, int]
    """Posts that are known to have a reason instead, by reason, the most frequent first."""
    unknown: int
    """Posts that have an answer, of which nothing more is known."""

    @property
    def has_no_label(self) -> bool:
        """Whether posts have an answer, and none of these is a label."""
        return not self.labeled and not self.unknown and bool(self.unlabelable)


def count_labels(shards: Sequence[ShardFacts], judgements: Sequence[Judgement]) -> LabelCounts:
    """Count the labels of shards, by their outputs' footers and their tasks' heartbeats."""
    labeled = unknown = 0
    unlabelable: Counter[str] = Counter()
    for shard, judgement in zip(shards, judgements, strict=True):
        done = posts_done(shard, judgement)
        rows, reasons = _known_answers(shard)
        if reasons is None:
            unknown += done
            continue
        without = 0
        if reasons:  # most shards have none, and an update takes as long as the rest
            without = sum(reasons.values())
            unlabelable.update(reasons)
        labeled += max(min(rows, done) - without, 0)
        unknown += max(done - rows, 0)
    return LabelCounts(
        labeled=labeled, unlabelable=dict(unlabelable.most_common()), unknown=unknown
    )


def _known_answers(shard: ShardFacts) -> tuple[int, Mapping[str, int] | None]:
    """Return how many answers of a shard were counted, and how many of them are reasons."""
    if shard.output.verified:
        return shard.posts, shard.output.unlabelable
    beat = _last_heartbeat(shard)
    return (beat.rows, beat.unlabelable) if beat else (0, {})


@dataclass(frozen=True, kw_only=True, slots=True)
class RunStatus:
    """A run as it was at one moment: what was observed, and what follows for each shard."""

    run: Run
    observation: Observation
    judgements: tuple[Judgement, ...]
    waits_for_room: bool = False
    """Whether shards wait only for a limit of submitted jobs, so that nobody is needed."""
    awaits_database: bool = False
    """Whether labels wait to be gathered, because another process has the database open."""
    adds_nothing: bool = False
    """Whether its supervisor had nothing to wait for, and no row to add to the database."""

    @property
    def state(self) -> RunState:
        """The state of the whole run."""
        return run_state(self.judgements)

    @property
    def exit_code(self) -> int:
        """The exit code that tells a program how the run is."""
        if self.lacks_file or self.lacks_labels:
            return FAILED
        code = EXIT_CODE[RunState.RUNNING if self.waits_for_room else self.state]
        return code or (UNDER_WAY if self.awaits_database else 0)

    @property
    def lacks_file(self) -> bool:
        """Whether an output, or a file that decides a shard's state, cannot be read now."""
        return any(shard.output.unreadable for shard in self.observation.shards) or any(
            judgement.awaits_file for judgement in self.judgements
        )

    @property
    def labels(self) -> LabelCounts:
        """How many posts have a label, and why others have none."""
        return count_labels(self.observation.shards, self.judgements)

    @property
    def lacks_labels(self) -> bool:
        """Whether the run is complete, and none of its posts got a label."""
        return self.state is RunState.COMPLETE and self.labels.has_no_label

    @property
    def was_complete_before(self) -> bool:
        """Whether the run is complete, and was so when somebody supervised it before."""
        return self.adds_nothing and self.state is RunState.COMPLETE and not self.lacks_labels

    @property
    def is_under_way(self) -> bool:
        """Whether the run may still get somewhere without a command."""
        return EXIT_CODE[self.state] == UNDER_WAY

    @property
    def only_awaits_files(self) -> bool:
        """Whether the run is under way only because files cannot be read now."""
        return self.is_under_way and all(
            judgement.awaits_file
            for judgement in self.judgements
            if EXIT_CODE[run_state([judgement])] == UNDER_WAY
        )

    @property
    def posts_done(self) -> int:
        """How many posts have an answer."""
        return sum(map(posts_done, self.observation.shards, self.judgements))

    @property
    def copied(self) -> int:
        """How many posts of published outputs have the answer to another post."""
        return sum(shard.output.copied for shard in self.observation.shards)

    @property
    def posts_kept(self) -> int:
        """How many posts have an answer on the disk, published or in a work folder."""
        return sum(map(posts_kept, self.observation.shards))
