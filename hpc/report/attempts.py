"""What became of a shard, attempt by attempt: Slurm's line, the task's last words, its log."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from hpc.executors.base import Executor
from hpc.run.array_indices import format_indices
from hpc.run.model import Attempt, Judgement, Phase, Run, ShardFacts, State
from hpc.run.run_state import RunStatus
from pipeline import terminal
from pipeline.run_files.manifest import server_log_path
from pipeline.terminal import one_line, printable
from pipeline.text import format_duration

NEEDS_SOMEBODY = (State.FAILED, State.BLOCKED)


def unfinished_shards(now: RunStatus) -> list[tuple[int, ...]]:
    """The shards that are failed or blocked, in groups that say the same."""
    groups: dict[tuple[object, ...], list[int]] = {}
    for one, facts in zip(now.judgements, now.observation.shards, strict=True):
        if one.state in NEEDS_SOMEBODY:
            groups.setdefault(_what_happened(one, facts), []).append(one.index)
    return [tuple(group) for group in groups.values()]


def _what_happened(one: Judgement, facts: ShardFacts) -> tuple[object, ...]:
    """The judgement's own message names task and node, which differ where all else is alike."""
    last = facts.attempts[-1] if facts.attempts else None
    if last and last.words:
        return one.state, one.cause, last.words.message
    record = last.record if last else None
    if record is None:
        return one.state, one.cause, facts.output.problem
    told = (record.slurm_state, record.exit_code, record.reason, record.node is None)
    return one.state, one.cause, *told, facts.output.problem


def lines(
    now: RunStatus, executor: Executor, index: int, count: int, *, last_only: bool = False
) -> list[str]:
    """For a person. `count` lines at most of a traceback or a log; `last_only`: one attempt."""
    judged, facts = now.judgements[index], now.observation.shards[index]
    cause = f" ({judged.cause})" if judged.cause else ""
    message = f": {one_line(judged.message)}" if judged.message else ""
    told = [f"shard {index}: {judged.state}{cause}{message}"]
    for attempt in facts.attempts[-1:] if last_only else facts.attempts:
        told += ["", *_of_attempt(now, executor, index, attempt, count)]
    return told


def group_identical(group: Sequence[int]) -> str:
    """Of the shards after the first."""
    rest = group[1:]
    return f"shard{'' if len(rest) == 1 else 's'} {format_indices(rest)}: the same"


def document(
    now: RunStatus, executor: Executor, index: int, count: int, *, last_only: bool = False
) -> dict[str, Any]:
    """For a program."""
    judged, facts = now.judgements[index], now.observation.shards[index]
    chosen = facts.attempts[-1:] if last_only else facts.attempts
    return {
        "index": index,
        "state": str(judged.state),
        "cause": str(judged.cause) if judged.cause else None,
        "attempts": [_document(now.run, executor, index, attempt, count) for attempt in chosen],
    }


def _document(
    run: Run, executor: Executor, index: int, attempt: Attempt, count: int
) -> dict[str, Any]:
    record, words, log = attempt.record, attempt.words, executor.log_file(run, index, attempt)
    return {
        "attempt": attempt.number,
        "task": attempt.task,
        "slurm_state": record.slurm_state if record else None,
        "exit_code": record.exit_code if record else None,
        "node": _node(attempt),
        "words": {"cause": str(words.cause), "message": printable(words.message)}
        if words
        else None,
        "traceback": printable(words.traceback) if words else None,
        "log": str(log) if log else None,
        "server_log": str(server) if (server := server_log_of(run, index, attempt)) else None,
        "tail": terminal.last_lines_of_file(log, count) if log else None,
    }


def _of_attempt(
    now: RunStatus, executor: Executor, index: int, attempt: Attempt, count: int
) -> Iterator[str]:
    yield _heading(attempt, now.observation.observed_at)
    yield f"  {_record(now, attempt)}"
    log = executor.log_file(now.run, index, attempt)
    if attempt.words:
        yield f"  {attempt.words.cause}: {one_line(attempt.words.message)}"
        yield from _quoted(terminal.last_lines(attempt.words.traceback, count))
        yield f"  log: {log}"
        yield from _server(now.run, index, attempt)
        return
    found = terminal.last_lines_of_file(log, count) if log else None
    if found is None:
        yield f"  no log to read: {log or 'its job is not known'}"
    elif not found:
        yield f"  nothing in its log: {log}"
    else:
        yield f"  the end of {log}:"
        yield from _quoted(found)
    yield from _server(now.run, index, attempt)


def _server(run: Run, index: int, attempt: Attempt) -> Iterator[str]:
    """Its last lines are among the task's own words, where the task failed because of it."""
    if log := server_log_of(run, index, attempt):
        yield f"  its server's log: {log}"


def _heading(attempt: Attempt, now: datetime) -> str:
    record, task, node = attempt.record, attempt.task, _node(attempt)
    parts = [f"attempt {attempt.number}: {f'task {task}' if task else 'local process'}"]
    if node:
        parts[0] += f" on {node}"
    parts.append(f"submitted {attempt.submitted_at:%Y-%m-%d %H:%M:%S} UTC")
    if record and record.phase is Phase.ACTIVE and record.started_at:
        parts.append(f"running for {format_duration((now - record.started_at).total_seconds())}")
    elif record and record.elapsed_s is not None and record.started_at:
        parts.append(f"ran {format_duration(record.elapsed_s)}")
    return ", ".join(parts)


def _record(now: RunStatus, attempt: Attempt) -> str:
    record = attempt.record
    who = "Slurm" if attempt.task else "process"
    if record is None:
        trouble = now.observation.trouble
        return f"{who}: does not answer: {trouble}" if trouble else f"{who}: no record of it"
    parts = [record.slurm_state]
    parts += [f"exit code {record.exit_code}"] if record.exit_code else []
    # 0: it ended before Slurm took a sample.
    parts += [f"MaxRSS {record.max_rss_mb:,.0f} MB"] if record.max_rss_mb else []
    parts += [f"reason {record.reason}"] if record.reason else []
    return f"{who}: {', '.join(parts)}"


def server_log_of(run: Run, index: int, attempt: Attempt) -> Path | None:
    """Of the server that the task started for itself, if it did."""
    path = server_log_path(run.folder, attempt.number, index)
    return path if path.exists() else None


def _node(attempt: Attempt) -> str | None:
    if attempt.record and attempt.record.node:
        return attempt.record.node
    return attempt.words.node if attempt.words else None


def _quoted(found: Sequence[str]) -> Iterator[str]:
    yield from (f"  | {line}".rstrip() for line in found)
