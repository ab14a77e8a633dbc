"""Describe a run for people, and as the JSON document for programs. Pure."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from hpc.display.blocks import Bar, Block, Line, Table, Tone
from hpc.display.live.errors import count_errors, describe_errors, errors_document
from hpc.display.live.quota import describe_quota, quota_document, quota_use
from hpc.display.live.remaining import describe_to_go, posts_per_second, seconds_to_go
from hpc.display.live.tasks import running_tasks, task_document
from hpc.display.run.amendments import amendments_document, describe_amendments
from hpc.display.run.label_counts import describe_labeled, describe_reasons
from hpc.display.run.pending import describe_pending
from hpc.display.run.usage import Usage, describe_usage, usage_of
from hpc.display.similar_lines import describe_similar
from hpc.run.array_indices import format_indices
from hpc.run.model.run import Run
from hpc.run.model.shards import Judgement, Observation, ShardFacts, State
from hpc.run.run_state import LabelCounts, RunState, RunStatus, posts_done
from pipeline.errors import Cause
from pipeline.text import counted, without_numbers
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
            f"run {status.run.run_id}: {describe_state(state, status.judgements)}",
            Tone.BAD if status.lacks_labels else RUN_TONES[state],
        ),
        *_original(status.run),
        *_sample(status.run),
        *_engine(status),
        Line(""),
        _states(status.judgements),
        Line(""),
        Bar(status.posts_done, status.run.manifest.posts),
        *describe_progress_so_far(status, labels, local_time(status)),
        *describe_activity(status),
        *(Line(line) for line in describe_pending(status.observation)),
        *describe_messages(status.judgements),
        *describe_troubles(status.observation, status.judgements),
        *_unreadable(status.observation),
        *describe_amendments(status.run.amendments),
    ]


def describe_state(state: RunState, judgements: Sequence[Judgement]) -> str:
    """Return a run's state in words: canceled, if nothing else is the matter with its tasks.

    Args:
        state: the run's, which follows from the judgements.
        judgements: how its shards are.
    """
    left = [each for each in judgements if each.state not in (State.DONE, State.PLANNED)]
    is_canceled = left and all(
        each.state is State.BLOCKED and each.cause is Cause.CANCELLED for each in left
    )
    return "canceled" if is_canceled else state


def local_time(status: RunStatus) -> datetime:
    """Return when a run was seen, in the time zone of this machine."""
    return status.observation.observed_at.astimezone()


def describe_activity(status: RunStatus) -> list[Block]:
    """Return how much of the quota the running tasks use, and the errors by kind."""
    use = quota_use(status)
    quota = describe_quota(use) if use else ""
    lines = [f"quota used by running tasks: {quota}"] if quota else []
    return [Line(line) for line in (*lines, *describe_errors(count_errors(status)))]


def _original(run: Run) -> list[Block]:
    """Return which run this one is a copy of, as both have the same id."""
    return [Line(f"a copy of {run.original}")] if run.original else []


def _sample(run: Run) -> list[Block]:
    """Return which sample the run's posts are from, as they are not the oldest ones."""
    sample = run.manifest.sample
    return [Line(f"posts of the sample {sample}")] if sample else []


def _engine(status: RunStatus) -> list[Block]:
    """Return that the run awaits another engine, as nothing else goes on."""
    if not any(judgement.awaits_engine for judgement in status.judgements):
        return []
    return [Line("another engine labels its posts; hpc adopt takes the answers")]


def document(status: RunStatus) -> dict[str, Any]:
    """Return what `status --json` prints. `usage` is null until an answer reports its cost."""
    usage, labels = _usage(status), status.labels
    seconds = seconds_to_go(status, posts_per_second(status))
    seen_at = status.observation.observed_at
    return {
        "run_id": status.run.run_id,
        "run_dir": str(status.run.folder),
        "sample": status.run.manifest.sample,
        "state": str(status.state),
        "posts": status.run.manifest.posts,
        "posts_done": status.posts_done,
        "copied": status.copied,
        "awaits_database": status.awaits_database,
        "awaits_engine": any(judgement.awaits_engine for judgement in status.judgements),
        "labeled": None if labels.unknown else labels.labeled,
        "unlabelable": dict(labels.unlabelable),
        "usage": asdict(usage) if usage else None,
        "amendments": amendments_document(status.run.amendments),
        "caretaker": _caretaker_document(status.observation),
        "observed_at": seen_at.isoformat(timespec="seconds"),
        "eta_seconds": None if seconds is None else round(seconds),
        "errors": errors_document(count_errors(status)),
        "quota": quota_document(quota_use(status)),
        "tasks": [task_document(task, seen_at) for task in running_tasks(status)],
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


def _caretaker_document(observation: Observation) -> dict[str, object] | None:
    """Return the job that supervises the run; null if none is known."""
    caretaker = observation.caretaker
    return {"job_id": caretaker.job, "running": caretaker.is_running} if caretaker else None


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


def describe_progress_so_far(
    status: RunStatus, labels: LabelCounts, local: datetime
) -> Iterator[Block]:
    """Yield lines on the posts done, the rate and the time to go, the labels and the cost.

    Args:
        status: the run.
        labels: `status.labels`, which goes through all shards.
        local: when the run was seen, in the time zone to show.
    """
    yield Line(_progress(status, labels, local))
    yield from (Line(line) for line in describe_reasons(labels))
    yield from _cost(status, status.state)


def _progress(status: RunStatus, labels: LabelCounts, local: datetime) -> str:
    """Return the posts done and labeled, and while tasks work, the rate and the time to go."""
    done, posts = status.posts_done, status.run.manifest.posts
    # Rounded down: not 100 % before the last post.
    line = f"{done:,} of {counted(posts, 'post')} done ({done * 100 // posts} %)"
    if copied := status.copied:
        line += f", {copied:,} by a copied answer"
    line += describe_labeled(labels)
    rate = posts_per_second(status)
    seconds = seconds_to_go(status, rate)
    if seconds is None:
        return line
    line += f", {rate * 60:,.0f} posts/min, {describe_to_go(seconds, local)}"
    blocked = sum(judgement.state is State.BLOCKED for judgement in status.judgements)
    return f"{line}, not counting {counted(blocked, 'blocked shard')}" if blocked else line


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


def describe_messages(judgements: Sequence[Judgement]) -> list[Block]:
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


def describe_troubles(observation: Observation, judgements: Sequence[Judgement]) -> list[Block]:
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
            group = groups.setdefault(without_numbers(error), [])
            group.append(f"shard {shard.index}, running: {error}")
    largest = sorted(groups.values(), key=len, reverse=True)[:MOST_TROUBLES]
    lines = [Line(f"  {group[0]}{_more_shards(len(group) - 1)}") for group in largest]
    return [Line(""), *lines] if lines else []


def _unreadable(observation: Observation) -> list[Block]:
    """Return which files of tasks cannot be read, and why."""
    shown = describe_similar(observation.unreadable, "file", most=2 * MOST_TROUBLES, of_a_kind=1)
    lines = [Line(f"  not readable: {problem}") for problem in shown]
    return [Line(""), *lines] if lines else []


def _more_shards(count: int) -> str:
    return f" (and {counted(count, 'more shard')})" if count else ""


def _shorten_indices(indices: str) -> str:
    if len(indices) <= MOST_INDICES_SHOWN:
        return indices
    return indices[:MOST_INDICES_SHOWN].rpartition(",")[0] + ",…"
