"""Submit shards of a run, and finish submissions that were interrupted."""

import errno
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from hpc.executors.base import Executor, ExecutorError, UnansweredError
from hpc.reconcile.observe import with_limits
from hpc.report.submissions import describe_retries, describe_submission
from hpc.run.causes import why_ended
from hpc.run.model import ArrayPlan, Observation, Run, Say, Submission
from hpc.run.plan import ShardSelection, plan
from hpc.run.run_state import RunStatus
from hpc.run.submissions import (
    plan_intents,
    withdraw_submission,
    write_submission,
)
from pipeline.errors import Cause
from pipeline.run_files.manifest import work_path


def resume_submissions(
    run: Run, executor: Executor, recorded: Sequence[Submission], say: Say
) -> tuple[Submission, ...]:
    """Finish the submissions that an interrupted process had begun, and report them.

    The caller holds the run's lock.

    Args:
        run: the run of the submissions.
        executor: what runs its tasks.
        recorded: every submission of the run.
        say: shows a message.

    Raises:
        ExecutorError: as `Executor.resume` does.
    """
    if all(submission.released_at for submission in recorded):
        return ()
    resumed = executor.resume(run, recorded)
    for submission in resumed:
        say(f"resumed: {describe_submission(submission)}")
    return resumed


def cancel_strays(run: Run, executor: Executor, recorded: Sequence[Submission], say: Say) -> None:
    """Cancel and report arrays that the executor accepted late and that no record names.

    The caller holds the run's lock. If the executor does not answer, they are left to the next
    command.
    """
    try:
        strays = executor.cancel_strays(run, recorded)
    except ExecutorError:
        return
    if strays:
        say(
            f"canceled {', '.join(map(str, strays))}: accepted after their submission had been "
            "given up, and nothing of them has started"
        )


def plan_submission(
    status: RunStatus, executor: Executor, selection: ShardSelection
) -> tuple[ArrayPlan, ...]:
    """Ask for the limits that the remedies need, if any, and plan.

    Raises:
        ExecutorError: the limits are needed, and the executor does not answer.
    """
    observation = with_limits(status.observation, status.run, executor, selection.shards)
    return plan(replace(status, observation=observation), selection)


def submit_shards(
    status: RunStatus, executor: Executor, selection: ShardSelection, say: Say
) -> tuple[Submission, ...]:
    """Submit shards, and report what was submitted. The caller holds the run's lock.

    One remedy may ask for more than the cluster gives. If the executor refuses, the groups are
    submitted one after another, and only those that it refuses are left out.

    Raises:
        ExecutorError: the executor refused every group, or did not answer.
        PermissionError: the run, or what an earlier attempt left of a shard, is closed to this
            user.
    """
    check_writable(status.run, selection.shards)
    plans = plan_submission(status, executor, selection)
    for line in describe_retries(plans, status.judgements):
        say(line)
    try:
        sent = _submit(status, executor, plans, status.observation.submissions, selection)
    except UnansweredError:
        raise
    except ExecutorError as error:
        sent = _submit_by_group(status, executor, plans, selection, error, say)
    for submission in sent:
        say(describe_submission(submission))
    return sent


def check_writable(run: Run, shards: Sequence[int]) -> None:
    """Check that the tasks of this user can write where those of another user have written.

    Raises:
        PermissionError: they cannot; every attempt would fail.
    """
    folders = [run.folder / name for name in ("submissions", "logs", "work", "outputs")]
    for folder in (*folders, *(work_path(run.folder, shard) for shard in shards)):
        if folder.is_dir() and not os.access(folder, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(folder))


def _submit_by_group(
    status: RunStatus,
    executor: Executor,
    plans: tuple[ArrayPlan, ...],
    selection: ShardSelection,
    first: ExecutorError,
    say: Say,
) -> tuple[Submission, ...]:
    requests = list(dict.fromkeys(array.request for array in plans))
    if len(requests) == 1:
        raise first
    sent: list[Submission] = []
    for request in requests:
        # The throttles were planned for all groups at once, so each group waits for the former.
        before = tuple(str(submission.array_job_id) for submission in sent)
        group = tuple(
            replace(array, after=0, after_jobs=(*array.after_jobs, *before))
            for array in plans
            if array.request == request
        )
        recorded = (*status.observation.submissions, *sent)
        try:
            sent += _submit(status, executor, group, recorded, selection)
        except UnansweredError:
            raise
        except ExecutorError as error:
            say(f"not submitted: {group[0].why}: {error}")
    if not sent:
        raise first
    return tuple(sent)


def _submit(
    status: RunStatus,
    executor: Executor,
    plans: Sequence[ArrayPlan],
    recorded: Sequence[Submission],
    selection: ShardSelection,
) -> tuple[Submission, ...]:
    run, observation = status.run, status.observation
    intents = plan_intents(
        run,
        plans,
        datetime.now(UTC),
        recorded=recorded,
        crashed=crashed_attempts(observation, selection.shards),
        forced=selection.forced,
    )
    return executor.submit(run, write_intents(run, intents), recorded)


def write_intents(run: Run, intents: Sequence[Submission]) -> tuple[Submission, ...]:
    """Write the records of submissions before anything is submitted; all of them, or none."""
    written: list[Submission] = []
    try:
        for intent in intents:
            written.append(write_submission(run, intent))
    except OSError:
        for intent in written:
            withdraw_submission(run, intent)
        raise
    return tuple(written)


def crashed_attempts(
    observation: Observation, shards: Sequence[int]
) -> Mapping[int, tuple[int, ...]]:
    """Return the attempts of each shard that crashed: the posts that they had are suspects."""
    return {
        shard: tuple(
            attempt.number
            for attempt in observation.shards[shard].attempts
            if why_ended(attempt)[0] is Cause.CRASHED
        )
        for shard in shards
    }
