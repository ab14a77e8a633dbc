"""All that can be known of a run at one moment: its folder first and last, its executor in between.

The executor is asked before the outputs are looked at for good: a task that is seen to have ended
has published by then, or never will.
"""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TypeVar

from hpc.executors.base import Executor
from hpc.reconcile.early_ends import mark_early_ends
from hpc.reconcile.log_end import read_log_end
from hpc.run.model import Attempt, Observation, Phase, Records, Run, ShardFacts, Submission
from hpc.run.outputs import OutputFolder
from hpc.run.remedies import needs_limits
from hpc.run.submissions import read_submissions, returned
from pipeline.errors import Cause, InputError
from pipeline.model import Shard
from pipeline.run_files import heartbeat, last_words
from pipeline.run_files.checkpoint import rows_by_attempt
from pipeline.run_files.heartbeat import Heartbeat
from pipeline.run_files.last_words import LastWords
from pipeline.run_files.manifest import log_path, server_log_path, work_path
from pipeline.run_files.output import Verdict
from pipeline.worker.crash_journal import solo_attempts_by_attempt

T = TypeVar("T")


def observe(
    run: Run, executor: Executor, *, include_done: bool = False, lock_is_ours: bool = False
) -> Observation:
    """Return what the run's folder and its executor show at this moment.

    Args:
        run: the run to look at.
        executor: what runs its tasks.
        include_done: whether to ask for the attempts of shards that are done, for the history.
        lock_is_ours: whether the caller holds the run's lock.

    Raises:
        InputError: the folder is gone. Without its records, every shard would seem planned.
    """
    if not run.folder.is_dir():
        raise InputError(f"{run.folder} is gone. If it was moved, run the command at its new place")
    submissions = read_submissions(run)
    released = [submission for submission in submissions if submission.released_at]
    outputs = OutputFolder(run)
    verdicts = outputs.verify()
    asked = [
        submission
        for submission in released
        if include_done or not all(verdicts[shard].verified for shard in submission.plan.shards)
    ]
    now = datetime.now(UTC)
    query = executor.query(run, asked, lock_is_ours=lock_is_ours)
    if asked:
        verdicts = outputs.verify()
    outputs.remember()
    traces = _read_traces(run, verdicts)
    task_files = _TaskFiles(run)
    attempts = _attempts(task_files, released, query.records, traces, verdicts, include_done)
    shards = tuple(
        _shard_facts(task_files, shard, verdict, attempts.get(shard.index, []), traces)
        for shard, verdict in zip(run.manifest.shards, verdicts, strict=True)
    )
    return Observation(
        observed_at=now,
        shards=mark_early_ends(
            shards,
            now=now,
            grace=timedelta(seconds=run.cluster.grace_seconds),
            read_log_end=lambda shard, attempt: read_log_end(
                executor.log_file(run, shard, attempt)
            ),
        ),
        answered=query.trouble is None,
        last_answer=query.last_answer,
        trouble=query.trouble,
        submissions=submissions,
        unreadable=tuple(task_files.unreadable),
    )


def with_limits(
    observation: Observation, run: Run, executor: Executor, shards: Sequence[int]
) -> Observation:
    """Return the observation with the limits that a submission of these shards has to keep.

    Raises:
        ExecutorError: a remedy needs to know how far resources can grow, and the executor does not
            answer.
    """
    if observation.submit_limits is None:
        submit_limits = executor.submit_limits(run.cluster)
        observation = replace(observation, submit_limits=submit_limits)
    chosen = [observation.shards[shard] for shard in shards]
    if observation.limits or not needs_limits(chosen, observation.shards):
        return observation
    return replace(observation, limits=executor.limits(run))


@dataclass(frozen=True, slots=True)
class _TaskFiles:
    """Reads what tasks wrote, and collects what is wrong with it."""

    run: Run
    unreadable: list[str] = field(default_factory=list)

    def last_words(self, attempt: int, shard: int) -> LastWords | None:
        """Return a task's last words; None without any, or where they cannot be read."""
        return self._read(partial(last_words.read, self.run.folder, attempt, shard))

    def heartbeat(self, attempt: int, shard: int) -> Heartbeat | None:
        """Return a task's heartbeat; None without one, or where it cannot be read."""
        return self._read(partial(heartbeat.read, work_path(self.run.folder, shard), attempt))

    def _read(self, read: Callable[[], T | None]) -> T | None:
        try:
            return read()
        except InputError as error:
            self.unreadable.append(str(error))
            return None


@dataclass(frozen=True, slots=True)
class _Trace:
    """What a shard's attempts left in its work folder, by their numbers."""

    rows: Mapping[int, int] = field(default_factory=dict)
    """Rows in checkpoint parts."""
    solo_attempts: Mapping[int, int] = field(default_factory=dict)
    """Posts at which the attempt died while it had nothing else in hand."""
    began: frozenset[int] = frozenset()
    """Attempts that left any file."""


# A task of which the executor has no record may be running all the same.
_MAY_RUN = (Phase.ACTIVE, Phase.UNKNOWN)
_NO_TRACE = _Trace()


def _read_traces(run: Run, verdicts: Sequence[Verdict]) -> dict[int, _Trace]:
    """Return the traces of shards that are not done, by the shard's index."""
    folders = _names(run.folder / "work")
    unfinished = [
        shard.index
        for shard, verdict in zip(run.manifest.shards, verdicts, strict=True)
        if not verdict.verified and f"{shard.index:05d}" in folders
    ]
    traces = {}
    for index in unfinished:
        folder = work_path(run.folder, index)
        traces[index] = _Trace(
            rows_by_attempt(folder), solo_attempts_by_attempt(folder), _attempts_in(folder)
        )
    return traces


def _attempts(
    task_files: _TaskFiles,
    released: Sequence[Submission],
    records: Records,
    traces: Mapping[int, _Trace],
    verdicts: Sequence[Verdict],
    include_done: bool,
) -> dict[int, list[Attempt]]:
    """Return the attempts of each shard, oldest first, by the shard's index."""
    attempts: dict[int, list[Attempt]] = {}
    early = _judged_early(released)
    for submission in released:
        assert submission.released_at
        number = submission.number
        files = _names(log_path(task_files.run.folder, number))
        for index in submission.plan.indices:
            shard = submission.plan.offset + index
            spoke = last_words.path_of(task_files.run.folder, number, shard).name in files
            served = server_log_path(task_files.run.folder, number, shard).name in files
            is_wanted = include_done or not verdicts[shard].verified
            trace = traces.get(shard, _NO_TRACE)
            record = records.get((number, index))
            attempts.setdefault(shard, []).append(
                Attempt(
                    number=number,
                    array_job_id=submission.array_job_id,
                    array_task_index=index,
                    submitted_at=submission.released_at,
                    record=record,
                    words=task_files.last_words(number, shard) if spoke and is_wanted else None,
                    request=submission.plan.request,
                    rows=trace.rows.get(number, 0),
                    solo_attempts=trace.solo_attempts.get(number, 0),
                    began=spoke
                    or served
                    or number in trace.began
                    or (
                        record is not None
                        and record.cause is Cause.NO_OUTPUT
                        and returned(submission, index, files)
                    )
                    or (verdicts[shard].verified and (shard, number) not in early),
                    restarted=index in submission.restarted,
                    forced=submission.forced,
                )
            )
    return attempts


def _judged_early(released: Sequence[Submission]) -> set[tuple[int, int]]:
    """Return (shard, attempt) of the attempts that a later submission did not count as crashes.

    A shard that is done has no files in its work folder any more, so this alone shows which of its
    former attempts had begun.
    """
    attempts: dict[int, list[int]] = {}
    early: set[tuple[int, int]] = set()
    for submission in released:
        for index in submission.plan.indices:
            shard = submission.plan.offset + index
            crashed = submission.crashed.get(index, ())
            before = attempts.setdefault(shard, [])
            early.update((shard, number) for number in before if number not in crashed)
            before.append(submission.number)
    return early


def _attempts_in(folder: Path) -> frozenset[int]:
    """Return the attempts that left any file in a shard's work folder; their names begin so."""
    found = (re.match(r"\d+", name) for name in _names(folder))
    return frozenset(int(match[0]) for match in found if match)


def _shard_facts(
    task_files: _TaskFiles,
    shard: Shard,
    verdict: Verdict,
    attempts: Sequence[Attempt],
    traces: Mapping[int, _Trace],
) -> ShardFacts:
    trace = traces.get(shard.index, _NO_TRACE)
    beat = left_behind = None
    # Only of a task that may be running: no more files are opened than that.
    running = attempts[-1].number if attempts and attempts[-1].phase in _MAY_RUN else None
    if running is not None:
        beat = task_files.heartbeat(running, shard.index)
    if beat is None:
        others = {number for number in trace.rows if number != running}
        left_behind = _newest_heartbeat(task_files, others, shard.index)
    return ShardFacts(
        index=shard.index,
        posts=shard.posts,
        output=verdict,
        attempts=tuple(attempts),
        rows=min(sum(trace.rows.values()), shard.posts),
        heartbeat=beat,
        left_behind=left_behind,
    )


def _newest_heartbeat(
    task_files: _TaskFiles, attempts: Collection[int], shard: int
) -> Heartbeat | None:
    """Return the heartbeat of the newest of these attempts that left one.

    It has what the kept rows cost, which counts while the shard waits for its next attempt.
    """
    newest_first = sorted(attempts, reverse=True)
    beats = (task_files.heartbeat(number, shard) for number in newest_first)
    return next((beat for beat in beats if beat), None)


def _names(folder: Path) -> frozenset[str]:
    try:
        return frozenset(path.name for path in folder.iterdir())
    except FileNotFoundError:
        return frozenset()
