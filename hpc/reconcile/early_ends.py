"""Find the tasks that ended before their first line, and what that says of node and environment.

Such a task left nothing of its own: no last words, no heartbeat, no checkpoint part. Its worker
never began, so the shard is not to blame. A node that lacks a mount ends every task at once, is
idle again at once, and gets the next one. A Python that is not there ends every task everywhere.
Only the function that reads the end of a log does I/O.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta

import msgspec
from msgspec.structs import replace

from hpc.run.causes import describe_exit, task_name
from hpc.run.model.attempts import Attempt, EarlyEnd, Phase
from hpc.run.model.shards import ShardFacts
from pipeline.errors import Cause

# Of one look, because each costs a file that is opened. More would not tell a person more.
MOST_LOGS = 8

# How long the other tasks of an array may take to be scheduled and to get to their first line. In a
# full queue it is longer, and then a retry elsewhere is the better guess.
PATIENCE = timedelta(minutes=2)
# SIGKILL and SIGTERM, as codes of Slurm, of a shell and of this machine.
_OUTSIDE_SIGNALS = frozenset({"9", "15"})
_OUTSIDE_CODES = frozenset({"137", "143", "-9", "-15"})
_MAY_GET_FURTHER = frozenset({Phase.WAITING, Phase.ACTIVE})

# Returns the last line of the log of a shard's attempt; '' where there is none.
ReadLogEnd = Callable[[int, Attempt], str]


class _Task(msgspec.Struct, frozen=True):
    """One attempt of one shard, and the attempt before it."""

    shard: int
    attempt: Attempt
    before: "_Task | None"
    is_last: bool
    is_early: bool

    @property
    def was_killed(self) -> bool:
        """Whether somebody else ended the task, such as a node that lost power.

        A broken environment ends a task by an exit code of its own, or by another signal.
        """
        record = self.attempt.record
        code, _, signal = ((record.exit_code if record else None) or "").partition(":")
        return signal in _OUTSIDE_SIGNALS or code in _OUTSIDE_CODES


def mark_early_ends(
    shards: Sequence[ShardFacts], *, now: datetime, grace: timedelta, read_log_end: ReadLogEnd
) -> tuple[ShardFacts, ...]:
    """Return the shards, with `early_end` of every attempt that ended before its first line.

    The environment is to blame only if every task of an array ended that way, and no other task of
    the run got further meanwhile. One node is no proof, because it may be the only bad one: then
    the array after it, elsewhere, decides. A task that somebody else killed proves nothing.

    Args:
        shards: the shards of a run.
        now: when the executor was asked (UTC).
        grace: how long files of a task that has ended may take to show up.
        read_log_end: reads the end of a log.
    """
    if not has_early_ends(shards, now=now, grace=grace):
        return tuple(shards)
    arrays = _tasks_by_array(shards, now - grace)
    logs = _Logs(read_log_end)
    progress = {number: _progress_of(tasks) for number, tasks in arrays.items()}
    # Of each array, whether some task got further.
    got_further: dict[int, bool] = {}
    marked: dict[tuple[int, int], EarlyEnd] = {}
    for number, tasks in sorted(arrays.items()):
        got_further[number] = _has_got_further(tasks, _until_forced(progress, number))
        early = [task for task in tasks if task.is_early]
        is_proven = len(early) == len(tasks) and _is_proof(early, got_further)
        newest = None if got_further[number] else _open_since(early, tasks, now)
        if is_proven and newest is not None and newest + grace <= now:
            ends = dict.fromkeys((task.shard for task in early), _environment(early, logs, newest))
        else:
            ends = {task.shard: _node(task, logs, newest) for task in early}
        marked |= {(shard, number): end for shard, end in ends.items()}
    return tuple(_mark(shard, marked) for shard in shards)


def has_early_ends(shards: Sequence[ShardFacts], *, now: datetime, grace: timedelta) -> bool:
    """Tell whether any attempt ended before its first line. The arguments are those above."""
    return any(_is_early(attempt, now - grace) for shard in shards for attempt in shard.attempts)


def _tasks_by_array(
    shards: Sequence[ShardFacts], files_are_there: datetime
) -> dict[int, list[_Task]]:
    arrays: dict[int, list[_Task]] = {}
    for shard in shards:
        before = None
        for attempt in shard.attempts:
            is_last = attempt is shard.attempts[-1]
            task = _Task(shard.index, attempt, before, is_last, _is_early(attempt, files_are_there))
            arrays.setdefault(attempt.number, []).append(task)
            before = task
    return arrays


def _is_early(attempt: Attempt, files_are_there: datetime) -> bool:
    """Tell whether an attempt ended before its first line, and nothing else explains its end.

    Slurm itself reports a task that was preempted or canceled, or ran out of time or memory. One
    that COMPLETED before its first line, as after `exec` in a line of setup, looks like one whose
    output is late, so it counts only if the files of its time are there by now.
    """
    record = attempt.record
    if record is None or record.phase is not Phase.ENDED or attempt.words or attempt.began:
        return False
    is_settled = attempt.last_change <= files_are_there
    return record.cause is Cause.CRASHED or (record.cause is Cause.NO_OUTPUT and is_settled)


class _ArrayProgress(msgspec.Struct, frozen=True):
    """Which tasks of one array got to their first line, and when."""

    is_active: bool
    """Whether one of them is running."""
    last_start: datetime | None
    """When the last of them started, as far as is known."""
    forced: bool
    """Whether a person submitted any task of the array by force."""


def _progress_of(tasks: Sequence[_Task]) -> _ArrayProgress:
    began = [task.attempt for task in tasks if task.attempt.began]
    starts = (_started_at(attempt) for attempt in began)
    return _ArrayProgress(
        is_active=any(attempt.phase is Phase.ACTIVE for attempt in began),
        last_start=max((start for start in starts if start), default=None),
        forced=any(task.attempt.forced for task in tasks),
    )


def _until_forced(progress: Mapping[int, _ArrayProgress], number: int) -> list[_ArrayProgress]:
    """Return the arrays before a person next resumed the run by force.

    What a person has repaired says nothing about how it was before.
    """
    forced = [later for later, array in progress.items() if later > number and array.forced]
    until = min(forced, default=None)
    return [array for other, array in progress.items() if until is None or other < until]


def _has_got_further(tasks: Sequence[_Task], others: Sequence[_ArrayProgress]) -> bool:
    """Tell whether a task got further, of this array or of another one at the same time."""
    if any(task.attempt.began for task in tasks):
        return True
    starts = (_started_at(task.attempt) for task in tasks)
    first = min((start for start in starts if start), default=None)
    return any(array.is_active or _is_after(array.last_start, first) for array in others)


def _is_after(start: datetime | None, first: datetime | None) -> bool:
    return start is not None and first is not None and start >= first


def _started_at(attempt: Attempt) -> datetime | None:
    return attempt.record.started_at if attempt.record else None


def _is_proof(early: Sequence[_Task], got_further: Mapping[int, bool]) -> bool:
    """Tell whether the ends of a whole array show more than one bad node."""
    proving = [task for task in early if not task.was_killed]
    if not proving or got_further[early[0].attempt.number]:
        return False
    if len({task.attempt.record.node for task in proving if task.attempt.record}) > 1:
        return True
    # A person who resumes a run by force has changed something, so nothing before that counts.
    return all(
        task.before is not None
        and task.before.is_early
        and not task.before.was_killed
        and not got_further[task.before.attempt.number]
        and not task.attempt.forced
        for task in proving
    )


def _open_since(early: Sequence[_Task], tasks: Sequence[_Task], now: datetime) -> datetime | None:
    """Return the newest of these ends: whatever follows from it is open for the grace time.

    It counts as later while other tasks of the array may start or get further in a moment. Without
    that, a broken environment would cost a second array for those tasks that ended first.
    """
    newest = max((task.attempt.last_change for task in early), default=None)
    if newest and any(task.attempt.phase in _MAY_GET_FURTHER for task in tasks):
        return max(newest, min(now, newest + PATIENCE))
    return newest


class _Logs:
    """Reads the ends of a few logs."""

    def __init__(self, read_log_end: ReadLogEnd) -> None:
        self._read = read_log_end
        self._count = 0

    def quote(self, task: _Task) -> str:
        """Return what a log says, to follow a message; '' for an old attempt's."""
        if not task.is_last or self._count == MOST_LOGS:
            return ""
        self._count += 1
        line = self._read(task.shard, task.attempt)
        return f"; its log ends with: {line}" if line else "; its log is empty"


def _environment(early: Sequence[_Task], logs: _Logs, newest: datetime) -> EarlyEnd:
    # The same words for all of them: a list of thousands says nothing else.
    example = next((task for task in early if task.is_last), early[0])
    message = f"every task ended before its first line, such as {_describe(example.attempt)}"
    message = f"{message}{logs.quote(example)}{_ask(example)}"
    return EarlyEnd(Cause.ENVIRONMENT, message, newest)


def _node(task: _Task, logs: _Logs, newest: datetime | None) -> EarlyEnd:
    message = f"{_describe(task.attempt)} ended before its first line"
    return EarlyEnd(Cause.NODE, f"{message}{logs.quote(task)}{_ask(task)}", newest)


def _ask(task: _Task) -> str:
    """Return what may have ended a task that COMPLETED, which its log does not say.

    A line such as `exec …`: the batch script reports the other ones as a failure.
    """
    record = task.attempt.record
    if record is None or record.cause is not Cause.NO_OUTPUT:
        return ""
    return "; did a line of cluster.setup end the script?"


def _describe(attempt: Attempt) -> str:
    record = attempt.record
    assert record
    details = [record.slurm_state]
    details += [describe_exit(record.exit_code)] if record.exit_code else []
    details += [f"on {record.node}"] if record.node else []
    return f"{task_name(attempt)} ({', '.join(details)})"


def _mark(shard: ShardFacts, marked: Mapping[tuple[int, int], EarlyEnd]) -> ShardFacts:
    if not any((shard.index, attempt.number) in marked for attempt in shard.attempts):
        return shard
    attempts = tuple(
        replace(attempt, early_end=marked.get((shard.index, attempt.number)))
        for attempt in shard.attempts
    )
    return replace(shard, attempts=attempts)
