"""A run as a table for people and as JSON for programs. Pure."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from hpc.report.usage import Usage, usage_line, usage_of
from hpc.run.array_indices import format_indices
from hpc.run.model import Judgement, Observation, Run, State
from hpc.run.run_state import RunState, posts_done, run_state
from pipeline.text import counted, estimated_duration


def document(run: Run, observation: Observation, judged: Sequence[Judgement]) -> dict[str, Any]:
    """What `status --json` prints. `usage` is null while no answer has told what it cost."""
    used = _usage(run, observation)
    return {
        "run_id": run.run_id,
        "run_dir": str(run.folder),
        "state": str(run_state(judged)),
        "posts": run.manifest.posts,
        "posts_done": sum(map(posts_done, observation.shards)),
        "usage": asdict(used) if used else None,
        "shards": [
            {
                "index": one.index,
                "state": str(one.state),
                "cause": str(one.cause) if one.cause else None,
                "posts": facts.posts,
                "posts_done": posts_done(facts),
                "attempts": len(facts.attempts),
                "array_job_id": facts.attempts[-1].array_job_id if facts.attempts else None,
                "array_task_index": facts.attempts[-1].array_task_index if facts.attempts else None,
                "message": one.message,
                "stalled": one.stalled,
            }
            for one, facts in zip(judged, observation.shards, strict=True)
        ],
    }


def table(run: Run, observation: Observation, judged: Sequence[Judgement]) -> str:
    """A line for each state and cause, then what a person needs to know, then the next command."""
    whole = run_state(judged)
    groups: dict[tuple[State, str], list[Judgement]] = {}
    for one in judged:
        groups.setdefault((one.state, str(one.cause or "")), []).append(one)
    rows = [("STATE", "CAUSE", "SHARDS", "INDICES")]
    for state in State:
        for (found, cause), shards in groups.items():
            if found is state:
                indices = _shortened(format_indices(one.index for one in shards))
                rows.append((str(state), cause, f"{len(shards):,}", indices))
    widths = [max(len(row[at]) for row in rows) for at in range(3)]
    lines = [
        f"run {run.run_id}: {whole}",
        "",
        *(
            f"  {state:<{widths[0]}}  {cause:<{widths[1]}}  {count:>{widths[2]}}  {indices}"
            for state, cause, count, indices in rows
        ),
        "",
        _progress(run, observation, whole),
        *_cost(run, observation, whole),
        *_messages(judged),
        *_troubles(observation, judged),
    ]
    return "\n".join(lines)


def _progress(run: Run, observation: Observation, state: RunState) -> str:
    """With rate and time to go only while something runs: a blocked run gets nowhere by itself."""
    done, posts = sum(map(posts_done, observation.shards)), run.manifest.posts
    line = f"{done:,} of {counted(posts, 'post')} done ({_percent(done, posts)})"
    a_second = _rate(observation, done) if state is RunState.RUNNING and done != posts else 0.0
    if not a_second:
        return line
    to_go = estimated_duration((posts - done) / a_second)
    return f"{line}, {a_second * 60:,.0f} a minute, {to_go} to go"


def _rate(observation: Observation, done: int) -> float:
    """Posts a second, as the running tasks say of themselves; where they say nothing yet, the mean
    so far. 0 where nobody can tell: texts that are too short are done before the first answer, for
    which a server may have to start."""
    starts = [
        attempt.record.started_at
        for shard in observation.shards
        for attempt in shard.attempts
        if attempt.record and attempt.record.started_at
    ]
    seconds = (observation.at - min(starts)).total_seconds() if starts else 0.0
    if not done or seconds < 1:
        return 0.0
    beats = [shard.heartbeat.rate_per_minute for shard in observation.shards if shard.heartbeat]
    if any(beats):
        return sum(beats) / 60
    answered = not beats or any(shard.output.verified for shard in observation.shards)
    return done / seconds if answered else 0.0


def _cost(run: Run, observation: Observation, state: RunState) -> list[str]:
    used = _usage(run, observation)
    return [usage_line(used, complete=state is RunState.COMPLETE)] if used else []


def _usage(run: Run, observation: Observation) -> Usage | None:
    return usage_of(
        observation.shards, posts=run.manifest.posts, price=run.manifest.classifier.get("price")
    )


def _percent(part: int, whole: int) -> str:
    """Never 100 % before the last one."""
    return f"{part * 100 // whole} %"


def _messages(judged: Sequence[Judgement]) -> list[str]:
    """The most frequent message of each state that is not simply going well."""
    lines: list[str] = []
    for state in (State.FAILED, State.BLOCKED, State.UNKNOWN, State.RUNNING):
        shards = [one for one in judged if one.state is state]
        if state is State.RUNNING:
            shards = [one for one in shards if one.stalled]
        for text, count in Counter(one.message for one in shards).most_common(3):
            first = next(one for one in shards if one.message == text)
            more = f" (and {count - 1} more alike)" if count > 1 else ""
            lines.append(f"  shard {first.index}: {text}{more}")
    return ["", *lines] if lines else []


def _troubles(observation: Observation, judged: Sequence[Judgement]) -> list[str]:
    """What running tasks wait for, or their service complains of; alike but for numbers, once."""
    at_work = {one.index for one in judged if one.state is State.RUNNING and not one.stalled}
    found: dict[str, list[str]] = {}
    for shard in observation.shards:
        said = shard.heartbeat.last_error if shard.heartbeat else ""
        if said and shard.index in at_work:
            alike = found.setdefault(re.sub(r"\d+", "#", said), [])
            alike.append(f"  shard {shard.index}, at work: {said}")
    most = sorted(found.values(), key=len, reverse=True)[:2]
    lines = [one[0] + (f" (and {len(one) - 1} more alike)" if one[1:] else "") for one in most]
    return ["", *lines] if lines else []


def _shortened(indices: str, longest: int = 60) -> str:
    if len(indices) <= longest:
        return indices
    return indices[:longest].rpartition(",")[0] + ",…"
