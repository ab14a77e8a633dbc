"""Describe the running tasks of a run: what each of them last reported. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum
from typing import TypedDict

from hpc.display.blocks import Table, Tone
from hpc.display.live.remaining import own_heartbeat
from hpc.run.model.shards import Judgement, ShardFacts, State
from hpc.run.run_state import RunStatus, posts_done
from pipeline.text import format_duration, format_memory

# A task writes its heartbeat every 15 s; a busy file system may cost some of them.
SILENT_S = 60.0
_MIB_PER_GIB = 1024


class Urgency(IntEnum):
    """Which tasks a person should see first."""

    STALLED = 0
    """It makes no progress."""
    SILENT = 1
    """It has written no heartbeat for longer than it should."""
    TROUBLED = 2
    """It complains of something."""
    WORKING = 3
    """Nothing is wrong; the one with the longest time to go comes first."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RunningTask:
    """A running task, by its last heartbeat. None where it has written none."""

    shard: int
    node: str | None
    posts: int
    posts_done: int
    rate_per_minute: float | None
    written_at: datetime | None
    """When the heartbeat was written (UTC)."""
    started_at: datetime | None
    """When the task started (UTC), if its executor says that."""
    memory_mb: float | None
    """Resident memory of its processes in MiB."""
    requested_mb: float | None
    """The memory that it requested in MiB."""
    is_stalled: bool
    """Whether it makes no progress for longer than it should."""
    trouble: str
    """What it complains of; '' for nothing."""

    def age_s(self, now: datetime) -> float | None:
        """Return how many seconds ago it wrote its heartbeat; None if it has written none."""
        return None if self.written_at is None else max(0.0, _seconds(self.written_at, now))

    def urgency(self, now: datetime) -> Urgency:
        """Return how soon a person should see it."""
        if self.is_stalled:
            return Urgency.STALLED
        last_sign = self.written_at or self.started_at
        if last_sign and _seconds(last_sign, now) > SILENT_S:
            return Urgency.SILENT
        return Urgency.TROUBLED if self.trouble else Urgency.WORKING

    @property
    def minutes_to_go(self) -> float:
        """How long it will still take; infinite if that is not known."""
        left = self.posts - self.posts_done
        return left / self.rate_per_minute if self.rate_per_minute else float("inf")


class TaskDocument(TypedDict):
    """A running task in `status --json`."""

    shard: int
    node: str | None
    posts: int
    posts_done: int
    rate: float | None
    """Posts per minute."""
    heartbeat_age_s: float | None
    rss_mb: float | None


def running_tasks(status: RunStatus) -> list[RunningTask]:
    """Return the tasks that run, or have a heartbeat while Slurm does not say whether they do."""
    return [
        _task(shard, judgement)
        for shard, judgement in zip(status.observation.shards, status.judgements, strict=True)
        if judgement.state is State.RUNNING
        or (judgement.state is State.UNKNOWN and shard.heartbeat)
    ]


def _task(shard: ShardFacts, judgement: Judgement) -> RunningTask:
    attempt = shard.attempts[-1] if shard.attempts else None
    record, beat = attempt.record if attempt else None, own_heartbeat(shard)
    requested = attempt.request.mem_gb if attempt else None
    return RunningTask(
        shard=shard.index,
        node=(record.node if record else None) or (beat.node if beat else None),
        posts=shard.posts,
        posts_done=posts_done(shard, judgement),
        rate_per_minute=None if beat is None or beat.is_first else beat.rate_per_minute,
        written_at=beat.written_at if beat else None,
        started_at=record.started_at if record else None,
        memory_mb=beat.memory_mb if beat else None,
        requested_mb=None if requested is None else requested * _MIB_PER_GIB,
        is_stalled=judgement.stalled,
        trouble=beat.last_error if beat else "",
    )


def most_urgent_first(tasks: Iterable[RunningTask], now: datetime) -> list[RunningTask]:
    """Return the tasks in the order in which a person should see them."""
    return sorted(tasks, key=lambda task: (task.urgency(now), -task.minutes_to_go, task.shard))


def task_document(task: RunningTask, now: datetime) -> TaskDocument:
    """Return a task as `status --json` has it."""
    age = task.age_s(now)
    return {
        "shard": task.shard,
        "node": task.node,
        "posts": task.posts,
        "posts_done": task.posts_done,
        "rate": task.rate_per_minute,
        "heartbeat_age_s": None if age is None else round(age, 1),
        "rss_mb": task.memory_mb,
    }


_TONES = {
    Urgency.STALLED: Tone.BAD,
    Urgency.SILENT: Tone.PENDING,
    Urgency.TROUBLED: Tone.PENDING,
    Urgency.WORKING: Tone.ACTIVE,
}


def describe_tasks(tasks: Sequence[RunningTask], now: datetime) -> Table:
    """Return a row for each task.

    Args:
        tasks: the tasks, in the order in which they are shown.
        now: the moment at which ages are shown (UTC).
    """
    return Table(
        header=("SHARD", "NODE", "POSTS", "POSTS/MIN", "AGE", "MEMORY NOW", ""),
        rows=tuple(
            (
                str(task.shard),
                task.node or "",
                f"{task.posts_done:,} of {task.posts:,}",
                "" if task.rate_per_minute is None else f"{task.rate_per_minute:,.0f}",
                "" if (age := task.age_s(now)) is None else format_duration(age),
                _memory(task),
                _note(task, now),
            )
            for task in tasks
        ),
        right_aligned=frozenset({0, 2, 3, 4, 5}),
        tones=tuple(_TONES[task.urgency(now)] for task in tasks),
        is_compact=True,
    )


def _memory(task: RunningTask) -> str:
    if task.memory_mb is None:
        return ""
    used = format_memory(task.memory_mb)
    return f"{used} of {format_memory(task.requested_mb)}" if task.requested_mb else used


def _note(task: RunningTask, now: datetime) -> str:
    urgency = task.urgency(now)
    if urgency is Urgency.STALLED:
        return f"stalled: {task.trouble}" if task.trouble else "stalled"
    if task.written_at is None:
        if task.started_at is None:
            return "no heartbeat yet"
        since_start = format_duration(max(0.0, _seconds(task.started_at, now)))
        if urgency is Urgency.SILENT:
            return f"no heartbeat since its start {since_start} ago"
        return f"started {since_start} ago"
    if urgency is Urgency.SILENT:
        return f"silent: {task.trouble}" if task.trouble else "silent"
    return task.trouble


def _seconds(since: datetime, now: datetime) -> float:
    return (now - since).total_seconds()
