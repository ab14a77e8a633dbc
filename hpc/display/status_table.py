"""Describe a run for people, and as the JSON document for programs. Pure."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from hpc.display.amendments import amendments_document, describe_amendments
from hpc.display.blocks import Bar, Block, Line, Table, Tone
from hpc.display.label_counts import describe_labeled, describe_reasons
from hpc.display.pending import describe_pending
from hpc.display.usage import Usage, describe_usage, usage_of
from hpc.run.array_indices import format_indices
from hpc.run.model import Judgement, Observation, Run, ShardFacts, State
from hpc.run.run_state import LabelCounts, RunState, RunStatus, posts_done
from pipeline.text import counted, estimated_duration
from pipeline.usage import cost_options

TONES = {
    State.DONE: Tone.GOOD,
    State.PLANNED: Tone.PLAIN,
    State.BLOCKED: Tone.BAD,
    State.RUNNING: Tone.ACTIVE,
    State.QUEUED: Tone.PENDING,
    State.UNKNOWN: Tone.PENDING,
    State.ENDING: Tone.PENDING,
    State.FAILED: Tone.BAD,
}
RUN_TONES = {
    RunState.COMPLETE: Tone.GOOD,
    RunState.RUNNING: Tone.ACTIVE,
    RunState.UNKNOWN: Tone.PENDING,
    RunState.ENDING: Tone.PENDING,
    RunState.BLOCKED: Tone.BAD,
    RunState.FAILED: Tone.BAD,
    RunState.PLANNED: Tone.PLAIN,
}
MOST_INDICES_SHOWN = 60
"""Characters."""
MOST_MESSAGES = 3
MOST_TROUBLES = 2


def describe_status(status: RunStatus) -> list[Block]:
    """Return a row for each state and cause, the progress, the cost, and what is wrong."""
    state, labels = status.state, status.labels  # once: they go through all shards
    return [
        Line(
            f"run {status.run.run_id}: {state}",
            Tone.BAD if status.lacks_labels else RUN_TONES[state],
        ),
        *_original(status.run),
        *_sample(status.run),
        Line(""),
        _states(status.judgements),
        Line(""),
        Bar(status.posts_done, status.run.manifest.posts),
        Line(_progress(status, labels)),
        *(Line(line) for line in describe_reasons(labels)),
        *_cost(status, state),
        *(Line(line) for line in describe_pending(status.observation)),
        *_messages(status.judgements),
        *_troubles(status.observation, status.judgements),
        *_unreadable(status.observation),
        *describe_amendments(status.run.amendments),
    ]


def _original(run: Run) -> list[Block]:
    """Return which run this one is a copy of, as both have the same id."""
    return [Line(f"a copy of {run.original}")] if run.original else []


def _sample(run: Run) -> list[Block]:
    """Return which sample the run's posts are from, as they are not the oldest ones."""
    sample = run.manifest.sample
    return [Line(f"posts of the sample {sample}")] if sample else []


def document(status: RunStatus) -> dict[str, Any]:
    """Return what `status --json` prints. `usage` is null until an answer reports its cost."""
    usage, labels = _usage(status), status.labels
    return {
        "run_id": status.run.run_id,
        "run_dir": str(status.run.folder),
        "sample": status.run.manifest.sample,
        "state": str(status.state),
        "posts": status.run.manifest.posts,
        "posts_done": status.posts_done,
        "copied": status.copied,
        "awaits_database": status.awaits_database,
        "labeled": None if labels.unknown else labels.labeled,
        "unlabelable": dict(labels.unlabelable),
        "usage": asdict(usage) if usage else None,
        "amendments": amendments_document(status.run.amendments),
        "shards": [
            {
                "index": judgement.index,
                "state": str(judgement.state),
                "cause": str(judgement.cause) if judgement.cause else None,
                "posts": facts.posts,
                "posts_done": posts_done(facts, judgement),
                "attempts": len(facts.attempts),
                "array_job_id": facts.attempts[-1].array_job_id if facts.attempts else None,
                "array_task_index": facts.attempts[-1].array_task_index if facts.attempts else None,
                "message": judgement.message,
                "stalled": judgement.stalled,
            }
            for facts, judgement in _pairs(status)
        ],
    }


def _states(judgements: Sequence[Judgement]) -> Table:
    groups: dict[tuple[State, str], list[int]] = {}
    for judgement in judgements:
        key = (judgement.state, str(judgement.cause or ""))
        groups.setdefault(key, []).append(judgement.index)
    # In the order of the rules; causes in the order of their first shard.
    ordered = sorted(groups, key=lambda key: list(State).index(key[0]))
    return Table(
        header=("STATE", "CAUSE", "SHARDS", "INDICES"),
        rows=tuple(
            (
                str(state),
                cause,
                f"{len(groups[state, cause]):,}",
                _shorten_indices(format_indices(groups[state, cause])),
            )
            for state, cause in ordered
        ),
        right_aligned=frozenset({2}),
        tones=tuple(TONES[state] for state, _ in ordered),
    )


def _progress(status: RunStatus, labels: LabelCounts) -> str:
    """Return the posts done and labeled, and while tasks work, the rate and the time to go."""
    done, posts = status.posts_done, status.run.manifest.posts
    # Rounded down: not 100 % before the last post.
    line = f"{done:,} of {counted(posts, 'post')} done ({done * 100 // posts} %)"
    if copied := status.copied:
        line += f", {copied:,} by a copied answer"
    line += describe_labeled(labels)
    # A blocked shard goes on only after somebody has looked at it: nobody knows when that is.
    to_come = (
        posts
        - done
        - sum(
            facts.posts - posts_done(facts, judgement)
            for facts, judgement in _pairs(status)
            if judgement.state is State.BLOCKED
        )
    )
    per_second = _posts_per_second(status)
    if not per_second or not to_come:
        return line
    to_go = estimated_duration(to_come / per_second)
    return f"{line}, {per_second * 60:,.0f} posts/min, {to_go} to go"


def _posts_per_second(status: RunStatus) -> float:
    """Return the rate that the tasks at work report, or else the mean so far.

    0 while none is at work, and while the rate is not known: posts with too little text are done
    before the first answer, and a server may have to start before that.
    """
    shards, done = status.observation.shards, status.posts_done
    working = [facts for facts, judgement in _pairs(status) if _is_working(facts, judgement)]
    starts = [
        attempt.record.started_at
        for shard in shards
        for attempt in shard.attempts
        if attempt.record and attempt.record.started_at
    ]
    first = min(starts, default=status.observation.observed_at)
    seconds = (status.observation.observed_at - first).total_seconds()
    if not working or not done or seconds < 1:
        return 0.0
    rates = [rate for shard in working if (rate := _reported_rate(shard)) is not None]
    if any(rates):
        return sum(rates) / 60
    if any(len(shard.attempts) > 1 for shard in working):
        return 0.0  # the mean would count the time between the attempts
    has_answers = not rates or any(shard.output.verified for shard in shards)
    return done / seconds if has_answers else 0.0


def _reported_rate(shard: ShardFacts) -> float | None:
    """Return the rate that a shard's task reports; None before its first heartbeat."""
    record, beat = shard.attempts[-1].record, shard.heartbeat
    started = record.started_at if record else None
    # An earlier attempt's heartbeat is there until the new task has written its own.
    if beat is None or (started and beat.written_at < started):
        return None
    return beat.rate_per_minute


def _is_working(facts: ShardFacts, judgement: Judgement) -> bool:
    """Tell whether a task of a shard is at work, and neither suspended nor completing."""
    return judgement.state is State.RUNNING and any(
        attempt.record and attempt.record.slurm_state.upper() == "RUNNING"
        for attempt in facts.attempts
    )


def _pairs(status: RunStatus) -> Iterator[tuple[ShardFacts, Judgement]]:
    return zip(status.observation.shards, status.judgements, strict=True)


def _cost(status: RunStatus, state: RunState) -> list[Block]:
    usage = _usage(status)
    line = describe_usage(usage, complete=state is RunState.COMPLETE) if usage else ""
    return [Line(line)] if line else []


def _usage(status: RunStatus) -> Usage | None:
    manifest = status.run.manifest
    return usage_of(
        status.observation.shards,
        posts=manifest.posts,
        price=cost_options(manifest.classifier).price,
    )


def _messages(judgements: Sequence[Judgement]) -> list[Block]:
    """Return the most frequent messages of each state in which something is wrong."""
    lines: list[Block] = []
    for state in (State.FAILED, State.BLOCKED, State.UNKNOWN, State.ENDING, State.RUNNING):
        shards = [
            judgement
            for judgement in judgements
            if judgement.state is state and (state is not State.RUNNING or judgement.stalled)
        ]
        groups: dict[str, list[Judgement]] = {}
        for judgement in shards:
            without_task = re.sub(r"\btask \d+_\d+", "task", judgement.message)
            groups.setdefault(without_task, []).append(judgement)
        largest = sorted(groups.values(), key=len, reverse=True)
        lines += [
            Line(f"  shard {group[0].index}: {group[0].message}{_more_shards(len(group) - 1)}")
            for group in largest[:MOST_MESSAGES]
        ]
        if hidden := sum(map(len, largest[MOST_MESSAGES:])):
            word = "stalled" if state is State.RUNNING else state
            lines.append(Line(f"  and {counted(hidden, f'more {word} shard')}"))
    return [Line(""), *lines] if lines else []


def _troubles(observation: Observation, judgements: Sequence[Judgement]) -> list[Block]:
    """Return what running tasks wait for or complain of; messages that differ by numbers once."""
    running = {
        judgement.index
        for judgement in judgements
        if judgement.state is State.RUNNING and not judgement.stalled
    }
    groups: dict[str, list[str]] = {}
    for shard in observation.shards:
        error = shard.heartbeat.last_error if shard.heartbeat else ""
        if error and shard.index in running:
            without_numbers = re.sub(r"\d+", "#", error)
            groups.setdefault(without_numbers, []).append(f"shard {shard.index}, running: {error}")
    largest = sorted(groups.values(), key=len, reverse=True)[:MOST_TROUBLES]
    lines = [Line(f"  {group[0]}{_more_shards(len(group) - 1)}") for group in largest]
    return [Line(""), *lines] if lines else []


def _unreadable(observation: Observation) -> list[Block]:
    """Return which files of tasks cannot be read, and why."""
    shown = observation.unreadable[:MOST_TROUBLES]
    more = len(observation.unreadable) - len(shown)
    lines = [Line(f"  not readable: {problem}") for problem in shown]
    if more:
        lines.append(Line(f"  not readable: {counted(more, 'more file')}"))
    return [Line(""), *lines] if lines else []


def _more_shards(count: int) -> str:
    return f" (and {counted(count, 'more shard')})" if count else ""


def _shorten_indices(indices: str) -> str:
    if len(indices) <= MOST_INDICES_SHOWN:
        return indices
    return indices[:MOST_INDICES_SHOWN].rpartition(",")[0] + ",…"
