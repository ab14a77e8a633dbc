"""Describe a shard attempt by attempt: Slurm's record, the task's last words, its log."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from hpc.display.blocks import Block, Line, Tone
from hpc.display.run.status_table import TONES
from hpc.efficiency.sampled_memory import LEAST_SAMPLED_S, SOURCE, is_short, sampled_peak_mb
from hpc.executors.base import Executor
from hpc.run.array_indices import format_indices
from hpc.run.causes import attempt_title, cause_of, describe_exit
from hpc.run.model.attempts import Attempt, Phase
from hpc.run.model.shards import Judgement, ShardFacts, State
from hpc.run.run_state import RunStatus
from hpc.traces.task_log import TaskLog, log_of, server_log_of, traceback_of
from pipeline.errors import Cause
from pipeline.terminal import last_lines, one_line, printable
from pipeline.text import format_duration, format_memory

_MIB_PER_GIB = 1024
_SHORTEST = format_duration(LEAST_SAMPLED_S)
NEEDS_ATTENTION = (State.FAILED, State.BLOCKED)


def _has_failed(judgement: Judgement) -> bool:
    """Tell whether a shard needs attention, or will soon: how its last attempt ended is known."""
    is_failure = judgement.state is State.ENDING and judgement.cause is not None
    return judgement.state in NEEDS_ATTENTION or is_failure


def unfinished_shards(status: RunStatus) -> list[tuple[int, ...]]:
    """Return the indices of shards whose last attempt failed, grouped by identical failures."""
    groups: dict[tuple[object, ...], list[int]] = {}
    for judgement, facts in zip(status.judgements, status.observation.shards, strict=True):
        if _has_failed(judgement):
            groups.setdefault(_failure(judgement, facts), []).append(judgement.index)
    return [tuple(group) for group in groups.values()]


def _failure(judgement: Judgement, facts: ShardFacts) -> tuple[object, ...]:
    """Return what is the same for identical failures.

    The judgement's message is not: it names the task and the node.
    """
    last = facts.attempts[-1] if facts.attempts else None
    if last and last.words:
        return judgement.state, judgement.cause, last.words.message
    record = last.record if last else None
    if record is None:
        return judgement.state, judgement.cause, facts.output.problem
    ending = (record.slurm_state, record.exit_code, record.reason, record.node is None)
    return judgement.state, judgement.cause, *ending, facts.output.problem


@dataclass(frozen=True, kw_only=True, slots=True)
class AttemptLog:
    """How one attempt of a shard ended, and the end of its log."""

    attempt: int
    """The number of the submission that started it."""
    task: str | None
    """The id of its Slurm task; None on this machine, or before it is known."""
    slurm_state: str | None
    """Its state, as Slurm records it; None without a record."""
    exit_code: str | None
    """Its exit code, as Slurm records it."""
    node: str | None
    """Where it ran."""
    mem_gb: float | None
    """The memory that it requested, in GiB; None where only the partition knows it."""
    max_rss_mb: float | None
    """The peak of its memory in MiB, as Slurm sampled it; None where it was not measured."""
    cause: Cause | None
    """Why it failed, in its last words; None if it left none."""
    message: str
    """What its last words say; empty if it left none."""
    traceback: str
    """Where its error came from; empty if that is not known."""
    log: Path | None
    """The file of its log."""
    server_log: Path | None
    """The file of the log of the server that it started."""
    tail: tuple[str, ...] | None
    """The last lines of its log; None if it cannot be read."""

    def to_json(self) -> dict[str, Any]:
        """Return what --json prints about it."""
        words = None
        if self.cause:
            words = {"cause": str(self.cause), "message": self.message}
        return {
            "attempt": self.attempt,
            "task": self.task,
            "slurm_state": self.slurm_state,
            "exit_code": self.exit_code,
            "node": self.node,
            "mem_gb": self.mem_gb,
            "max_rss_mb": self.max_rss_mb,
            "words": words,
            "traceback": self.traceback if self.cause else None,
            "log": str(self.log) if self.log else None,
            "server_log": str(self.server_log) if self.server_log else None,
            "tail": None if self.tail is None else list(self.tail),
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class AttemptReport:
    """The attempts of a run's shards, for people and for programs."""

    status: RunStatus
    executor: Executor
    """Knows where the logs are."""
    most_lines: int
    """Of a log or a traceback."""
    last_only: bool = False
    """Whether to leave out all attempts but the last."""

    def describe(self, group: Sequence[int]) -> Iterator[Block]:
        """Yield the report on the first shard of a group, and which others are the same."""
        index = group[0]
        judgement = self.status.judgements[index]
        cause = f" ({judgement.cause})" if judgement.cause else ""
        message = f": {one_line(judgement.message)}" if judgement.message else ""
        yield Line(f"shard {index}: {judgement.state}{cause}{message}", TONES[judgement.state])
        for place, attempt in self._attempts(index):
            yield Line("")
            for line in self._describe_attempt(index, place, attempt):
                yield Line(line, Tone.FAINT if line.startswith("  |") else Tone.PLAIN)
        if others := group[1:]:
            noun = "shard" if len(others) == 1 else "shards"
            yield Line("")
            yield Line(f"{noun} {format_indices(others)}: the same")

    def attempts(self, index: int) -> tuple[AttemptLog, ...]:
        """Read how the attempts of a shard ended, and the end of their logs."""
        return tuple(self._read_attempt(index, attempt) for _, attempt in self._attempts(index))

    def document(self, index: int) -> dict[str, Any]:
        """Return what --json prints about a shard."""
        judgement = self.status.judgements[index]
        return {
            "index": index,
            "state": str(judgement.state),
            "cause": str(judgement.cause) if judgement.cause else None,
            "attempts": [each.to_json() for each in self.attempts(index)],
        }

    def _attempts(self, index: int) -> Sequence[tuple[int, Attempt]]:
        """Return the attempts to show, each with its place among those of the shard, from 1."""
        attempts = tuple(enumerate(self.status.observation.shards[index].attempts, start=1))
        return attempts[-1:] if self.last_only else attempts

    def _read_attempt(self, index: int, attempt: Attempt) -> AttemptLog:
        record, words = attempt.record, attempt.words
        run = self.status.run
        log = self._log(index, attempt)
        server_log = server_log_of(run, index, attempt)
        tail = log.last_lines(self.most_lines) if log else None
        return AttemptLog(
            attempt=attempt.number,
            task=attempt.task,
            slurm_state=record.slurm_state if record else None,
            exit_code=record.exit_code if record else None,
            node=_node(attempt),
            mem_gb=_requested_gb(attempt),
            max_rss_mb=(sampled_peak_mb(record.max_rss_mb, record.elapsed_s) if record else None),
            cause=words.cause if words else None,
            message=printable(words.message) if words else "",
            traceback=printable(traceback_of(run, index, attempt)) if words else "",
            log=log.path if log else None,
            server_log=server_log.path if server_log else None,
            tail=None if tail is None else tuple(tail),
        )

    def _describe_attempt(self, index: int, place: int, attempt: Attempt) -> Iterator[str]:
        run, observation = self.status.run, self.status.observation
        yield _heading(place, attempt, observation.observed_at)
        yield f"  {_record(attempt, observation.trouble)}"
        if _ran_out_of_memory(attempt):
            yield f"  memory: {_memory(attempt)}"
        log = self._log(index, attempt)
        if attempt.words:
            yield f"  {attempt.words.cause}: {one_line(attempt.words.message)}"
            yield from _quote_lines(last_lines(traceback_of(run, index, attempt), self.most_lines))
            yield f"  log: {log.path if log else None}"
        else:
            if attempt.unread_words:
                yield f"  last words: {one_line(attempt.unread_words.problem)}"
            yield from self._end_of_log(attempt, log)
        # Where the task failed because of its server, the server's last lines are in its words.
        if server_log := server_log_of(run, index, attempt):
            yield f"  its server's log: {server_log.path}"

    def _log(self, index: int, attempt: Attempt) -> TaskLog | None:
        run = self.status.run
        return log_of(run, index, attempt, self.executor.log_file(run, index, attempt))

    def _end_of_log(self, attempt: Attempt, log: TaskLog | None) -> Iterator[str]:
        tail = log.last_lines(self.most_lines) if log else None
        if tail is None and attempt.never_started:
            yield "  no log: the task never started"
        elif tail is None and attempt.phase is Phase.WAITING:
            yield "  no log yet: the task has not started"
        elif tail is None:
            yield f"  no log to read: {log.path if log else 'the job of this attempt is not known'}"
        elif not tail:
            yield f"  its log is empty: {log.path if log else ''}"
        else:
            yield f"  the end of {log.path if log else ''}:"
            yield from _quote_lines(tail)


def _heading(place: int, attempt: Attempt, now: datetime) -> str:
    record, task, node = attempt.record, attempt.task, _node(attempt)
    who = f"task {task}" if task else "local process"
    parts = [f"{attempt_title(place, attempt)}: {who}{f' on {node}' if node else ''}"]
    parts.append(f"submitted {attempt.submitted_at:%Y-%m-%d %H:%M:%S} UTC")
    if record and record.phase is Phase.ACTIVE and record.started_at:
        parts.append(f"running for {format_duration((now - record.started_at).total_seconds())}")
    elif record and record.elapsed_s is not None and not attempt.never_started:
        parts.append(f"ran {format_duration(record.elapsed_s)}")
    return ", ".join(parts)


def _record(attempt: Attempt, trouble: str | None) -> str:
    record = attempt.record
    who = "Slurm" if attempt.task else "process"
    if record is None:
        return f"{who}: does not answer: {trouble}" if trouble else f"{who}: no record"
    parts = [record.slurm_state]
    parts += [describe_exit(record.exit_code)] if record.exit_code else []
    if _ran_out_of_memory(attempt):
        pass  # a line of its own has both what it requested and what it used
    elif peak := sampled_peak_mb(record.max_rss_mb, record.elapsed_s):
        parts.append(f"MaxRSS {format_memory(peak)}")
    elif record.max_rss_mb:
        parts.append("too short to measure its memory")
    parts += [f"reason {record.reason}"] if record.reason else []
    return f"{who}: {', '.join(parts)}"


def _ran_out_of_memory(attempt: Attempt) -> bool:
    has_ended = attempt.phase is Phase.ENDED and attempt.record is not None
    return has_ended and cause_of(attempt) is Cause.OUT_OF_MEMORY


def _memory(attempt: Attempt) -> str:
    """Return what a task that ran out of memory had requested, and what was measured."""
    requested = _requested_gb(attempt)
    parts = [f"{format_memory(requested * _MIB_PER_GIB)} requested"] if requested else []
    record = attempt.record
    peak = sampled_peak_mb(record.max_rss_mb, record.elapsed_s) if record else None
    if peak:
        parts.append(f"{format_memory(peak)} measured by {SOURCE} (MaxRSS)")
    elif record and is_short(record.elapsed_s):
        parts.append(f"what it used was not measured, because it ran for less than {_SHORTEST}")
    else:
        parts.append("what it used was not measured")
    if peak and requested and peak < requested * _MIB_PER_GIB:
        parts.append("which samples it and may miss the peak")
    return ", ".join(parts)


def _requested_gb(attempt: Attempt) -> float | None:
    """Return the memory that a task requested, in GiB; None where only the partition knows it."""
    return attempt.request.mem_gb or (attempt.record.req_mem_gb if attempt.record else None)


def _node(attempt: Attempt) -> str | None:
    if attempt.record and attempt.record.node:
        return attempt.record.node
    return attempt.words.node if attempt.words else None


def _quote_lines(lines: Sequence[str]) -> Iterator[str]:
    yield from (f"  | {line}".rstrip() for line in lines)
