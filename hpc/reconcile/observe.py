"""All that can be known of a run at one moment: its folder first and last, its executor in between.

The executor is asked before the outputs are looked at for good: a task that is seen to have ended
has published by then, or never will.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hpc.executors.base import Executor, TaskQuery
from hpc.reconcile.early_ends import mark_early_ends
from hpc.reconcile.log_end import read_log_end
from hpc.run.model import (
    Attempt,
    Observation,
    Phase,
    Run,
    ShardFacts,
    Submission,
    TaskRecord,
    UnreadableFile,
)
from hpc.run.outputs import OutputFolder
from hpc.run.remedies import needs_limits
from hpc.run.submissions import describe_lost_records, has_returned, read_submissions
from hpc.traces.packed_tasks import without_packed
from hpc.traces.task_files import TaskFiles
from hpc.traces.task_log import log_of
from hpc.traces.work_folder import WorkFolder
from pipeline.errors import Cause, InputError
from pipeline.model import Shard
from pipeline.run_files.heartbeat import Heartbeat
from pipeline.run_files.last_words import LastWords
from pipeline.run_files.output import Verdict

# A task of which the executor has no record may be running all the same.
_MAY_RUN = (Phase.ACTIVE, Phase.UNKNOWN)
_NO_WORK = WorkFolder()


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
    task_files = TaskFiles(run)
    asked = [
        submission
        for submission in without_packed(released, task_files.packed)
        if include_done or not all(verdicts[shard].verified for shard in submission.plan.shards)
    ]
    now = datetime.now(UTC)
    query = executor.query(run, asked, lock_is_ours=lock_is_ours)
    if asked:
        verdicts = outputs.verify()
    outputs.remember()
    looked_at = {submission.number for submission in asked}
    task_files.list_folders(submission.number for submission in released)
    attempts = _attempts(task_files, released, query, verdicts, include_done)
    _add_returned(run, task_files, executor, released, attempts)
    shards = tuple(
        _shard_facts(task_files, shard, verdict, attempts.get(shard.index, []), looked_at)
        for shard, verdict in zip(run.manifest.shards, verdicts, strict=True)
    )
    task_files.remember()
    return Observation(
        observed_at=now,
        shards=mark_early_ends(
            shards,
            now=now,
            grace=timedelta(seconds=run.cluster.grace_seconds),
            read_log_end=lambda shard, attempt: read_log_end(
                log_of(run, shard, attempt, executor.log_file(run, shard, attempt))
            ),
        ),
        answered=query.trouble is None,
        last_answer=query.last_answer,
        trouble=query.trouble,
        submissions=submissions,
        is_labeled_elsewhere=run.manifest.is_labeled_elsewhere,
        unreadable=(*describe_lost_records(run), *task_files.unreadable),
        asked=frozenset(looked_at),
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


def _attempts(
    task_files: TaskFiles,
    released: Sequence[Submission],
    query: TaskQuery,
    verdicts: Sequence[Verdict],
    include_done: bool,
) -> dict[int, list[Attempt]]:
    """Return the attempts of each shard, oldest first, by the shard's index."""
    attempts: dict[int, list[Attempt]] = {}
    early = _judged_early(released)
    for submission in released:
        assert submission.released_at
        number = submission.number
        logs = task_files.logs(number)
        restarted = frozenset(submission.restarted)
        for index in submission.plan.indices:
            shard = submission.plan.offset + index
            is_done = verdicts[shard].verified
            # What a shard that is done left behind decides nothing any more.
            work = _NO_WORK if is_done else task_files.work(shard)
            packed = task_files.packed.get((number, shard))
            words: LastWords | UnreadableFile | None
            record = packed.record if packed else query.records.get((number, index))
            if packed:
                words, began = packed.words, packed.began
            else:
                is_wanted = include_done or not is_done
                words = task_files.last_words(number, shard) if is_wanted else None
                began = shard in logs.last_words or shard in logs.with_server
            attempts.setdefault(shard, []).append(
                Attempt(
                    number=number,
                    array_job_id=submission.array_job_id,
                    array_task_index=index,
                    submitted_at=submission.released_at,
                    record=record,
                    words=None if isinstance(words, UnreadableFile) else words,
                    unread_words=words if isinstance(words, UnreadableFile) else None,
                    request=submission.plan.request,
                    upstream=submission.plan.upstream,
                    rows=0 if is_done else _kept_rows(task_files, number, shard, record),
                    solo_attempts=work.solo_attempts.get(number, 0),
                    began=began
                    or number in work.began
                    or (is_done and (shard, number) not in early),
                    restarted=index in restarted,
                    forced=submission.forced,
                    hidden="" if record else query.hidden.get(number, ""),
                    packed=packed.logs if packed else None,
                )
            )
    return attempts


def _add_returned(
    run: Run,
    task_files: TaskFiles,
    executor: Executor,
    released: Sequence[Submission],
    attempts: Mapping[int, list[Attempt]],
) -> None:
    """Mark as begun the attempts that COMPLETED without an output, but whose workers returned."""
    submissions = {submission.number: submission for submission in released}
    for shard, each in attempts.items():
        for place, attempt in enumerate(each):
            record = attempt.record
            is_known = attempt.began or attempt.packed is not None
            if is_known or record is None or record.cause is not Cause.NO_OUTPUT:
                continue
            names = task_files.logs(attempt.number).names
            log = executor.log_file(run, shard, attempt)
            submission = submissions[attempt.number]
            if has_returned(submission, attempt.array_task_index, names, log):
                each[place] = replace(attempt, began=True)


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


def _shard_facts(
    task_files: TaskFiles,
    shard: Shard,
    verdict: Verdict,
    attempts: Sequence[Attempt],
    looked_at: Collection[int],
) -> ShardFacts:
    work = _NO_WORK if verdict.verified else task_files.work(shard.index)
    beat: Heartbeat | UnreadableFile | None = None
    left_behind = None
    known = {attempt.number: attempt.rows for attempt in attempts}
    last = attempts[-1] if attempts else None
    # Only of a task that may be running: no more files are opened than that.
    is_running = last is not None and last.phase in _MAY_RUN and last.number in looked_at
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
        output=verdict,
        attempts=tuple(attempts),
        rows=min(sum(kept.values()), shard.posts),
        heartbeat=beat if isinstance(beat, Heartbeat) else None,
        unread_heartbeat=beat if isinstance(beat, UnreadableFile) else None,
        left_behind=left_behind,
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
