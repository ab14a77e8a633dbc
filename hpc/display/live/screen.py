"""Describe a run on a live screen: a bar by state, the running tasks, errors, quota, time. Pure."""

from collections import Counter
from dataclasses import dataclass
from datetime import datetime

from hpc.display.blocks import BarPart, Block, FullScreen, Line, StackedBar, Tone
from hpc.display.live.tasks import (
    RunningTask,
    describe_tasks,
    most_urgent_first,
    running_tasks,
)
from hpc.display.run.pending import describe_later, describe_pending
from hpc.display.run.status_table import (
    RUN_TONES,
    TONES,
    describe_activity,
    describe_messages,
    describe_progress_so_far,
    describe_state,
    describe_troubles,
)
from hpc.run.model.shards import State
from hpc.run.run_state import RunState, RunStatus, posts_done
from hpc.run.run_view import Sight
from pipeline.text import format_duration

# No terminal has more lines, and a row costs time at each drawing.
MOST_ROWS = 100
# Only what is done looks full.
SYMBOLS = {
    State.DONE: "█",
    State.RUNNING: "▒",
    State.QUEUED: "░",
    State.UNKNOWN: "?",
    State.ENDING: "▓",
    State.FAILED: "×",
    State.BLOCKED: "!",
    State.PLANNED: "·",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class SeenRun:
    """What stays the same on the screen until the next look."""

    head: tuple[Block, ...]
    tasks: tuple[RunningTask, ...]
    """The running tasks, in the order in which a person should see them."""
    notes: tuple[Block, ...]
    """In full, what the table cuts off at the edge of the screen."""
    is_complete: bool = False
    """Whether no task is left that Ctrl-C could reach."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Clock:
    """What changes on the screen between two looks."""

    now: datetime
    """The time, in the time zone to show."""
    seen_at: datetime
    """When the run was seen."""
    next_look_s: float | None
    """In how many seconds the next look is due; None while one is under way."""


def describe_sight(sight: Sight, local: datetime) -> SeenRun:
    """Return a sight as the screen shows it.

    Args:
        sight: the run as it was seen.
        local: the time of the look, in the time zone to show.
    """
    status = sight.status
    state, labels = status.state, status.labels  # once: they go through all shards
    return SeenRun(
        head=(
            Line(
                f"run {status.run.run_id}: {describe_state(state, status.judgements)}",
                RUN_TONES[state],
            ),
            _bar(status),
            *describe_progress_so_far(status, labels, local),
            *describe_activity(status),
            *map(Line, describe_pending(status.observation)),
            *_troubles(sight),
            *describe_messages(status.judgements),
            *map(Line, sight.blocked),
            *([Line(sight.next_step)] if sight.next_step else []),
        ),
        tasks=tuple(most_urgent_first(running_tasks(status), local)),
        notes=tuple(describe_troubles(status.observation, status.judgements)),
        is_complete=state is RunState.COMPLETE,
    )


def screen(seen: SeenRun, clock: Clock, leaving: str) -> FullScreen:
    """Return the whole screen at one moment.

    Args:
        seen: the last sight.
        clock: what time it is.
        leaving: what Ctrl-C does, as a sentence; '' once nobody looks any more.
    """
    shown = seen.tasks[:MOST_ROWS]
    return FullScreen(
        head=seen.head,
        table=describe_tasks(shown, clock.now),
        noun="running task",
        more_rows=len(seen.tasks) - len(shown),
        foot=Line(_foot(clock, "" if seen.is_complete else leaving), Tone.FAINT),
        notes=seen.notes,
    )


def _foot(clock: Clock, leaving: str) -> str:
    age = max(0.0, (clock.now - clock.seen_at).total_seconds())
    seen = f"Seen at {clock.seen_at:%H:%M:%S}, {format_duration(age)} ago"
    if not leaving:
        return f"{seen}."
    if clock.next_look_s is None:
        return f"{seen}, looking now. {leaving}"
    return f"{seen}, again in {format_duration(max(0.0, clock.next_look_s))}. {leaving}"


def _bar(status: RunStatus) -> StackedBar:
    """Return the posts by the state of their shards; answered posts of any shard are done."""
    shards = Counter(judgement.state for judgement in status.judgements)
    posts: Counter[State] = Counter()
    for facts, judgement in zip(status.observation.shards, status.judgements, strict=True):
        done = posts_done(facts, judgement)
        posts[State.DONE] += done
        posts[judgement.state] += facts.posts - done
    return StackedBar(
        tuple(
            BarPart(
                amount=posts[state],
                symbol=SYMBOLS[state],
                caption=f"{shards[state]:,} {state}" if shards[state] else "",
                tone=TONES[state],
            )
            for state in SYMBOLS
        )
    )


def _troubles(sight: Sight) -> list[Block]:
    """Return what keeps the supervisor or Slurm from going on."""
    lines = []
    if sight.later:
        lines.append(describe_later(sight.status, sight.later))
    if trouble := sight.status.observation.trouble:
        lines.append(f"Slurm does not answer: {trouble}")
    if sight.trouble:
        lines.append(sight.trouble)
    return [Line(line, Tone.PENDING) for line in lines]
