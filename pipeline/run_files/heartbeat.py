"""Write and read a running task's heartbeat: one small file, replaced every few seconds.

It distinguishes a task that works from one that hangs, and says what the task's service complains
of and what its answers have cost so far.
"""

import contextlib
import json
import time
from collections import deque
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta, field

from pipeline import files, usage
from pipeline.config.keys import Section
from pipeline.run_files.json_record import find_record
from pipeline.system.spare_descriptors import SpareDescriptors
from pipeline.terminal import without_middle

HEARTBEAT_SECONDS = 15.0
# Somebody who has just submitted looks whether anything happens: the first beats come sooner.
_FIRST_PAUSE = 1.0
LONGEST_ERROR = 200
_RATE_BEATS = 20  # the rate is that of the last five minutes
_ENDING = ".heartbeat.json"

UtcTime = Annotated[datetime, Meta(tz=True)]


class Heartbeat(Section, frozen=True, kw_only=True, forbid_unknown_fields=False):
    """What a task says about its progress. Times are UTC.

    A task may be of a later version than who reads this, so unknown keys are ignored.
    """

    written_at: UtcTime
    progress_at: UtcTime
    """When `rows` last grew, or when the task's process started."""
    rows: int
    """Posts with an answer, their own or a copy, those of earlier attempts included."""
    posts: int
    rate_per_minute: float
    """Rows per minute, lately."""
    last_error: str
    """What the service complains of at the moment; '' for nothing."""
    node: str
    counts: Mapping[str, int] = field(default_factory=dict)
    """What the rows cost, by cost column. Empty in a file of an older version."""
    counts_per_minute: Mapping[str, float] = field(default_factory=dict)
    """How fast the costs grew lately. Empty in a file of an older version."""
    unlabelable: Mapping[str, int] | None = None
    """The rows with a reason instead of labels, by reason; None in a file of an older version."""
    waits_for_disk: bool = False
    """Whether the task asks nothing because it cannot write its answers; it is no stall."""
    memory_mb: float | None = None
    """Resident memory of the task's processes in MiB; None in a file of an older version."""
    requests_last_minute: int | None = None
    """Requests to the service within the last minute; None where there is no service."""
    faults: Mapping[str, int] = field(default_factory=dict)
    """Requests without an answer since the task's process began, by kind: the values of
    `RequestFault`, and perhaps those that a later version added."""
    quota_tasks: int | None = None
    """How many tasks share the quota, those of other runs included; None if that is not known."""
    throttled: bool = False
    """Whether a quota or the service lets nothing through at the moment."""
    began_at: UtcTime | None = None
    """When the task's process began to ask; None in a file of an older version."""

    @property
    def is_first(self) -> bool:
        """Whether the task's process has only just begun, so that its rate says little.

        A quota lets the first requests through at once, and holds the next ones back.
        """
        began = self.began_at
        return began is not None and (self.written_at - began).total_seconds() < HEARTBEAT_SECONDS


class TaskActivity(msgspec.Struct, frozen=True, kw_only=True):
    """What a task is doing at the moment."""

    trouble: str = ""
    """What is going wrong, without any key; '' for nothing."""
    memory_mb: float | None = None
    """Resident memory of its processes in MiB."""
    requests_last_minute: int | None = None
    """Requests to the service within the last minute; None where there is no service."""
    faults: Mapping[str, int] = {}
    """Requests without an answer so far, by kind."""
    quota_tasks: int | None = None
    """How many tasks share the quota; None if that is not known."""
    throttled: bool = False
    """Whether a quota or the service lets nothing through at the moment."""


class AnswerSums(msgspec.Struct, frozen=True, kw_only=True):
    """What a task knows about all answers to its shard so far, those of earlier attempts too."""

    costs: Mapping[str, int] = {}
    """What they cost, by cost column."""
    unlabelable: Mapping[str, int] = {}
    """For how many posts they are a reason instead of labels, by reason."""


def path_of(folder: Path, attempt: int) -> Path:
    """Return the heartbeat file of an attempt in a shard's work folder."""
    return folder / f"{attempt:04d}{_ENDING}"


def attempt_of(name: str) -> int | None:
    """Return the attempt whose heartbeat a file of this name is; None for other files."""
    if not name.endswith(_ENDING):
        return None
    attempt = name.removesuffix(_ENDING)
    return int(attempt) if attempt.isdecimal() else None


def read(folder: Path, attempt: int) -> Heartbeat | None:
    """Return the last sign of life of an attempt at a shard; None where there is none.

    Args:
        folder: the shard's work folder.
        attempt: the attempt's number.

    Raises:
        InputError: another version wrote the file, or it is damaged.
        UnreadableError: the file cannot be read now.
    """
    return find_record(path_of(folder, attempt), Heartbeat)


def clear(folder: Path) -> None:
    """Delete the heartbeats of a published shard; a task that still runs writes its own again."""
    for path in (*folder.glob(f"[0-9]*{_ENDING}"), *folder.glob(f".tmp-*{_ENDING}")):
        files.delete(path)


class HeartbeatWriter:
    """Writes the heartbeat of one task: after 1, 2, 4, … s, then every HEARTBEAT_SECONDS."""

    def __init__(
        self,
        path: Path,
        *,
        posts: int,
        rows: int,
        node: str,
        activity: Callable[[], TaskActivity] = TaskActivity,
        sums: Callable[[], AnswerSums] = AnswerSums,
    ) -> None:
        """Write the first heartbeat.

        Args:
            path: the attempt's file, `path_of`.
            posts: how many posts the shard has.
            rows: how many were answered before this process began.
            node: the node's name.
            activity: returns what the task is doing at the moment; called at every beat.
            sums: returns what all answers so far cost, and how many are reasons; called at every
                beat.
        """
        self._path = path
        self._posts = posts
        self._rows = rows
        self._node = node
        self._activity = activity
        self._sums = sums
        self.waits_for_disk = False
        """Set while the task waits until it can write its answers."""
        self._spare = SpareDescriptors()
        now = time.monotonic()
        self._began = self._progress = now
        self._pause = min(_FIRST_PAUSE, HEARTBEAT_SECONDS)
        self._beats = deque([(now, rows, sums().costs)], maxlen=_RATE_BEATS)
        self.beat(now)

    def tick(self, now: float, rows: int) -> None:
        """Beat if it is time to; called for every answer, so it costs next to nothing.

        Args:
            now: seconds on the monotonic clock.
            rows: how many posts are answered.
        """
        if rows != self._rows:
            self._rows = rows
            self._progress = now
        if now >= self._due:
            self.beat(now)

    def beat(self, now: float) -> None:
        """Write the heartbeat; `now` is in seconds on the monotonic clock."""
        self._due = now + self._pause
        self._pause = min(2 * self._pause, HEARTBEAT_SECONDS)
        since, rows_before, costs_before = self._beats[0]
        sums, activity = self._sums(), self._activity()
        self._beats.append((now, self._rows, sums.costs))
        elapsed = now - since
        written_at = datetime.now(UTC)
        beat = Heartbeat(
            written_at=written_at,
            progress_at=written_at - timedelta(seconds=now - self._progress),
            rows=self._rows,
            posts=self._posts,
            rate_per_minute=round(60 * (self._rows - rows_before) / elapsed, 1)
            if elapsed > 0
            else 0.0,
            last_error=without_middle(activity.trouble, LONGEST_ERROR),
            node=self._node,
            counts=sums.costs,
            counts_per_minute=usage.rates_per_minute(sums.costs, costs_before, elapsed),
            unlabelable=sums.unlabelable,
            waits_for_disk=self.waits_for_disk,
            memory_mb=activity.memory_mb,
            requests_last_minute=activity.requests_last_minute,
            faults=activity.faults,
            quota_tasks=activity.quota_tasks,
            throttled=activity.throttled,
            began_at=written_at - timedelta(seconds=now - self._began),
        )
        content = json.dumps(beat.to_json()).encode()
        # A heartbeat is only a sign of life: a full disk or a deleted folder must not end a task
        # that can still work.
        with contextlib.suppress(OSError), self._spare.released():
            self._write(content)

    def _write(self, content: bytes) -> None:
        files.make_folder_of_run(self._path.parent)
        try:
            with files.appearing_whole(self._path, sync=False) as temporary:
                temporary.write_bytes(content)
        except OSError:
            # On a full disk there is still the room of the last heartbeat.
            files.overwrite(self._path, content)
