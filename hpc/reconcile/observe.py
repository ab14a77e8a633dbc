"""Observe a run at one moment: its folder first and last, its executor in between.

The executor is asked before the outputs are looked at for good: a task that is seen to have ended
has published by then, or never will.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta

import msgspec
from msgspec.structs import replace

from hpc.executors.base import Executor, TaskQuery
from hpc.reconcile.early_ends import has_early_ends, mark_early_ends
from hpc.reconcile.log_end import read_log_end
from hpc.run.model.arrays import Submission
from hpc.run.model.attempts import Attempt, Phase, TaskRecord, UnreadableFile
from hpc.run.model.run import Run
from hpc.run.model.shards import Observation, ShardFacts
from hpc.run.outputs import OutputFolder
from hpc.run.remedies import needs_limits
from hpc.run.submissions import describe_lost_records, has_returned, read_submissions
from hpc.traces.packed_tasks import PackedShards, packed_shards, without_packed
from hpc.traces.task_files import TaskFiles
from hpc.traces.task_log import log_of
from hpc.traces.work_folder import WorkFolder
from pipeline.errors import Cause, InputError
from pipeline.model import Shard
from pipeline.run_files.heartbeat import Heartbeat
from pipeline.run_files.last_words import LastWords
from pipeline.run_files.output import OutputCheck

# A task of which the executor has no record may be running all the same.
_MAY_RUN = (Phase.ACTIVE, Phase.UNKNOWN)
_NO_WORK = WorkFolder()


def observe(
    run: Run,
    executor: Executor,
    *,
    include_done: bool = False,
    open_only: bool = False,
    verified: Collection[int] = (),
    lock_is_ours: bool = False,
) -> Observation:
    """Return what the run's folder and its executor show at this moment.

    Args:
        run: the run to look at.
        executor: what runs its tasks.
        include_done: whether to ask for the attempts of shards that are done, for the history.
        open_only: whether nobody needs the attempts of shards that are done, unless another
            shard's state depends on them. Those that are packed may then be missing.
        verified: shards whose outputs the caller has verified, by all of their bytes.
        lock_is_ours: whether the caller holds the run's lock.

    Raises:
        InputError: the folder is gone. Without its records, every shard would seem planned.
    """
    if not run.folder.is_dir():
        raise InputError(f"{run.folder} is gone. If it was moved, run the command at its new place")
    submissions = read_submissions(run)
    released = [submission for submission in submissions if submission.released_at]
    outputs = OutputFolder(run, without=verified)
    checks = outputs.verify()
    done = _verified_shards(checks)
    settled = done if open_only else frozenset()
    task_files = TaskFiles(run, without=settled)
    asked = [
        submission
        for submission in without_packed(
            released, task_files.left_out or packed_shards(task_files.packed)
        )
        if include_done or not done.issuperset(submission.plan.shards)
    ]
    now = datetime.now(UTC)
    grace = timedelta(seconds=run.cluster.grace_seconds)
    query = executor.query(run, asked, lock_is_ours=lock_is_ours)
    if asked:
        checks = outputs.verify()
    outputs.remember()
    task_files.list_folders(submission.number for submission in released)
    traces = _Traces(
        run=run,
        executor=executor,
        task_files=task_files,
        released=released,
        asked=frozenset(submission.number for submission in asked),
        query=query,
        checks=checks,
        include_done=include_done,
    )
    shards = _all_facts(traces)
    if task_files.left_out and (
        not settled <= _verified_shards(checks) or has_early_ends(shards, now=now, grace=grace)
    ):
        task_files.read_left_out()
        shards = _all_facts(traces)
    task_files.remember()
    return Observation(
        observed_at=now,
        shards=mark_early_ends(
            shards,
            now=now,
            grace=grace,
            read_log_end=lambda shard, attempt: read_log_end(
                log_of(run, shard, attempt, executor.log_file(run, shard, attempt))
            ),
        ),
        answered=query.trouble is None,
        last_answer=query.last_answer,
        trouble=query.trouble,
        caretaker=query.caretaker,
        submissions=submissions,
        is_labeled_elsewhere=run.manifest.is_labeled_elsewhere,
        unreadable=(*describe_lost_records(run), *task_files.unreadable),
        asked=traces.asked,
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


class _Traces(msgspec.Struct, frozen=True, kw_only=True):
    """What the folder and the executor have of the attempts."""

    run: Run
    executor: Executor
    task_files: TaskFiles
    released: Sequence[Submission]
    asked: frozenset[int]
    """The numbers of the submissions whose tasks the executor was asked about."""
    query: TaskQuery
    checks: Sequence[OutputCheck]
    include_done: bool


def _verified_shards(checks: Sequence[OutputCheck]) -> frozenset[int]:
    return frozenset(shard for shard, check in enumerate(checks) if check.verified)


def _all_facts(traces: _Traces) -> tuple[ShardFacts, ...]:
    """Return what was observed of each shard, in the order of the shards."""
    attempts = _attempts(traces)
    _add_returned(traces, attempts)
    return tuple(
        _shard_facts(traces, shard, check, attempts.get(shard.index, ()))
        for shard, check in zip(traces.run.manifest.shards, traces.checks, strict=True)
    )


def _attempts(traces: _Traces) -> dict[int, list[Attempt]]:
    """Return the attempts of each shard, oldest first, by the shard's index."""
    attempts: dict[int, list[Attempt]] = {}
    left_out = traces.task_files.left_out
    early = _judged_early(traces.released, left_out)
    for submission in traces.released:
        number, offset = submission.number, submission.plan.offset
        restarted = frozenset(submission.restarted)
        gone = left_out.get(number, ())
        for index in submission.plan.indices:
            shard = offset + index
            if shard in gone:
                continue
            attempt = _attempt(traces, submission, index, early)
            if index in restarted:
                attempt = replace(attempt, restarted=True)
            attempts.setdefault(shard, []).append(attempt)
    return attempts


def _attempt(
    traces: _Traces, submission: Submission, index: int, early: Collection[tuple[int, int]]
) -> Attempt:
    """Return the attempt that a submission made at the shard of an array index.

    Args:
        traces: what there is of all attempts.
        submission: the submission, which was released.
        index: the array index.
        early: what `_judged_early` returns.
    """
    assert submission.released_at
    task_files, query = traces.task_files, traces.query
    number, shard = submission.number, submission.plan.offset + index
    is_done = traces.checks[shard].verified
    # What a shard that is done left behind decides nothing any more.
    work = _NO_WORK if is_done else task_files.work(shard)
    packed = task_files.packed.get((number, shard))
    words: LastWords | UnreadableFile | None
    if packed:
        record, words, began = packed.record, packed.words, packed.began
    else:
        logs = task_files.logs(number)
        record = query.records.get((number, index))
        is_wanted = traces.include_done or not is_done
        words = task_files.last_words(number, shard) if is_wanted else None
        began = shard in logs.last_words or shard in logs.with_server
    return Attempt(
        number=number,
        array_job_id=submission.array_job_id,
        array_task_index=index,
        submitted_at=submission.released_at,
        record=record,
        words=None if isinstance(words, UnreadableFile) else words,
        unread_words=words if isinstance(words, UnreadableFile) else None,
        request=submission.plan.request,
        starts_at=submission.begin_of(index),
        upstream=submission.plan.upstream,
        rows=0 if is_done else _kept_rows(task_files, number, shard, record),
        solo_attempts=work.solo_attempts.get(number, 0),
        began=began or number in work.began or (is_done and (shard, number) not in early),
        forced=submission.forced,
        hidden="" if record else query.hidden.get(number, ""),
        packed=packed.logs if packed else None,
    )


def _add_returned(traces: _Traces, attempts: Mapping[int, list[Attempt]]) -> None:
    """Mark as begun the attempts that COMPLETED without an output, but whose workers returned."""
    submissions = {submission.number: submission for submission in traces.released}
    for shard, each in attempts.items():
        for place, attempt in enumerate(each):
            record = attempt.record
            is_known = attempt.began or attempt.packed is not None
            if is_known or record is None or record.cause is not Cause.NO_OUTPUT:
                continue
            names = traces.task_files.logs(attempt.number).names
            log = traces.executor.log_file(traces.run, shard, attempt)
            submission = submissions[attempt.number]
            if has_returned(submission, attempt.array_task_index, names, log):
                each[place] = replace(attempt, began=True)


def _judged_early(released: Sequence[Submission], left_out: PackedShards) -> set[tuple[int, int]]:
    """Return (shard, attempt) of the attempts that a later submission did not count as crashes.

    A shard that is done has no files in its work folder any more, so this alone shows which of its
    former attempts had begun.

    Args:
        released: the submissions.
        left_out: the attempts that do not matter, with their shards.
    """
    attempts: dict[int, list[int]] = {}
    early: set[tuple[int, int]] = set()
    for submission in released:
        number, offset = submission.number, submission.plan.offset
        gone = left_out.get(number, ())
        for index in submission.plan.indices:
            shard = offset + index
            before = attempts.setdefault(shard, [])
            if before:
                crashed = submission.crashed.get(index, ())
                early.update((shard, each) for each in before if each not in crashed)
            if shard not in gone:
                before.append(number)
    return early


def _shard_facts(
    traces: _Traces, shard: Shard, check: OutputCheck, attempts: Sequence[Attempt]
) -> ShardFacts:
    task_files = traces.task_files
    last = attempts[-1] if attempts else None
    # Only of a task that may be running: no more files are opened than that.
    is_running = last is not None and last.phase in _MAY_RUN and last.number in traces.asked
    if check.verified and not is_running:
        return ShardFacts(
            index=shard.index, posts=shard.posts, output=check, attempts=tuple(attempts)
        )
    work = _NO_WORK if check.verified else task_files.work(shard.index)
    beat: Heartbeat | UnreadableFile | None = None
    left_behind = None
    known = {attempt.number: attempt.rows for attempt in attempts}
    if last and is_running:
        beat = task_files.heartbeat(last.number, shard.index)
    kept = {
        number: known[number] if number in known else task_files.kept_rows(number, shard.index)
        for number in work.rows.keys() | work.journals.keys()
    }
    if not isinstance(beat, Heartbeat):
        others = (number for number in kept if not (last and is_running and number == last.number))
        left_behind = _newest_heartbeat(task_files, others, shard.index)
    return ShardFacts(
        index=shard.index,
        posts=shard.posts,
        output=check,
        attempts=tuple(attempts),
        rows=min(sum(kept.values()), shard.posts),
        heartbeat=beat if isinstance(beat, Heartbeat) else None,
        unread_heartbeat=beat if isinstance(beat, UnreadableFile) else None,
        left_behind=left_behind,
        copies=shard.copies,
    )


def _kept_rows(task_files: TaskFiles, attempt: int, shard: int, record: TaskRecord | None) -> int:
    """Return how many answers an attempt has kept; of a running task, those in parts."""
    if record is not None and record.phase is Phase.ACTIVE:
        return task_files.work(shard).rows.get(attempt, 0)
    return task_files.kept_rows(attempt, shard)


def _newest_heartbeat(
    task_files: TaskFiles, attempts: Iterable[int], shard: int
) -> Heartbeat | None:
    """Return the heartbeat of the newest of these attempts that left one.

    It has what the kept rows cost, which counts while the shard waits for its next attempt.
    """
    newest_first = sorted(attempts, reverse=True)
    beats = (task_files.heartbeat(number, shard) for number in newest_first)
    return next((beat for beat in beats if isinstance(beat, Heartbeat)), None)
