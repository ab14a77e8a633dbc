"""Submit shards of a run, and finish submissions that were interrupted."""

import errno
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from msgspec import structs

from hpc.display.next_step import command
from hpc.display.run.submissions import (
    describe_limit,
    describe_refusal,
    describe_retries,
    describe_submission,
    describe_waiting,
)
from hpc.executors.base import (
    BLAMES_NO_SETTING,
    CopySubmittedError,
    Executor,
    ExecutorError,
    SubmitLimitError,
    UnansweredError,
)
from hpc.locks import run_lock
from hpc.reconcile.checks.preflight import check_before_submission
from hpc.reconcile.checks.unrecorded import check_unrecorded
from hpc.reconcile.observe import with_limits
from hpc.run.array_plan import next_number
from hpc.run.causes import why_ended
from hpc.run.model.arrays import ArrayPlan, Submission
from hpc.run.model.run import Run, Say
from hpc.run.model.shards import Observation
from hpc.run.plan import ShardSelection, plan, tightest
from hpc.run.run_state import RunStatus
from hpc.run.submissions import (
    plan_intents,
    withdraw_submission,
    write_intent,
)
from pipeline.errors import BusyError, Cause
from pipeline.run_files.manifest import work_path


@dataclass(frozen=True, kw_only=True, slots=True)
class SubmittedWave:
    """What was submitted of some shards, and what a limit of submitted jobs left out."""

    submissions: tuple[Submission, ...] = ()
    """The records of what was submitted."""
    waiting: int = 0
    """How many of the shards did not fit."""
    reason: str = ""
    """What limits, in words; empty if all of them fit."""
    limit_name: str = ""
    """The limit that Slurm shows; empty if all of them fit, or if sbatch refused the rest."""
    is_refused: bool = False
    """Whether the executor refused a part that seemed to fit."""

    @property
    def sent(self) -> int:
        """Return how many shards were submitted."""
        return _count_shards(self.submissions)


def resume_submissions(
    run: Run, executor: Executor, recorded: Sequence[Submission], lock: int, say: Say
) -> bool:
    """Finish the submissions that an interrupted process had begun, and report them.

    One that exceeds a limit of submitted jobs by now is withdrawn, and its shards are submitted
    like any others. The caller holds the run's lock.

    Args:
        run: the run of the submissions.
        executor: what runs its tasks.
        recorded: every submission of the run.
        lock: file descriptor of the run's lock.
        say: shows a message.

    Returns:
        Whether there were any, so that the run has changed.

    Raises:
        ExecutorError: as `Executor.resume` does.
        UnrecordedError: something of the run is alive that no record names.
        InputError: every attempt would fail.
    """
    if all(submission.released_at for submission in recorded):
        return False
    check_before_submission(run)
    check_unrecorded(run, executor, recorded, lock, say)
    try:
        resumed = executor.resume(run, recorded, lock)
    except SubmitLimitError as error:
        if not error.is_certain:
            raise
        return True
    for submission in resumed:
        say(f"resumed: {describe_submission(submission)}")
    return True


def prepare(status: RunStatus, executor: Executor, selection: ShardSelection) -> RunStatus:
    """Return the status with the limits that these shards need, asked for once.

    Raises:
        SubmitLimitError: a limit allows no jobs at all, until somebody raises it.
        ExecutorError: the limits are needed, and the executor does not answer.
    """
    observation = with_limits(status.observation, status.run, executor, selection.shards)
    for limit in observation.submit_limits or ():
        if not limit.most:
            words = f"{limit.name} allows no jobs at all"
            raise SubmitLimitError(words, words, is_certain=True)
    return replace(status, observation=observation)


def plan_submission(
    status: RunStatus, executor: Executor, selection: ShardSelection
) -> tuple[ArrayPlan, ...]:
    """Ask for the limits that the plan needs, and plan.

    Raises:
        ExecutorError: the limits are needed, and the executor does not answer.
    """
    return plan(prepare(status, executor, selection), selection)


def submit_shards(
    status: RunStatus, executor: Executor, selection: ShardSelection, lock: int, say: Say
) -> SubmittedWave:
    """Submit what fits of some shards, and report it. The caller holds the run's lock, `lock`.

    First, look for what may be alive and is on no record.

    If the executor says that too many jobs are submitted, a half is tried, and a half of that. One
    remedy may ask for more than the cluster gives. If the executor refuses for such a reason, the
    groups are submitted one after another, and only those that it refuses are left out.

    Raises:
        ExecutorError: the executor refused every group, or did not answer.
        UnrecordedError: something of the run is alive that no record names.
        PermissionError: the run, or what an earlier attempt left of a shard, is closed to this
            user.
    """
    check_writable(status.run, selection.shards)
    recorded = status.observation.submissions
    last = check_unrecorded(status.run, executor, recorded, lock, say)
    # Of a submission without any record, log or file of its tasks, the outputs still tell.
    last = max([last, *(shard.output.attempt for shard in status.observation.shards)])
    status = replace(status, observation=structs.replace(status.observation, last_number=last))
    status = prepare(status, executor, selection)
    limit = tightest(status.observation.submit_limits or ())
    plans = plan(status, selection)
    submitter = _Submitter(executor=executor, selection=selection, lock=lock, say=say)
    sent: tuple[Submission, ...] = ()
    rejected = 0
    refusal: SubmitLimitError | None = None
    while plans:
        try:
            sent, rejected = submitter.submit_wave(status, plans)
            break
        except SubmitLimitError as error:
            refusal = error
            half = sum(len(array.indices) for array in plans) // 2
            if not half and not error.is_certain:
                raise
            plans = plan(status, replace(selection, at_most=half)) if half else ()
    waiting = len(set(selection.shards)) - _count_shards(sent) - rejected
    if not waiting:
        return SubmittedWave(submissions=sent)
    return SubmittedWave(
        submissions=sent,
        waiting=waiting,
        reason=describe_refusal(refusal.words) if refusal else describe_limit(limit),
        limit_name="" if refusal or not limit else limit.name,
        is_refused=refusal is not None,
    )


def report_waiting(run: Run, wave: SubmittedWave, say: Say, *, is_supervised: bool = False) -> None:
    """Say how many shards wait for room, and who submits them then. Silent if there are none."""
    if not wave.waiting:
        return
    say(describe_waiting(wave.sent, wave.waiting, wave.reason))
    if is_supervised:
        say("The rest goes out in waves as tasks end")
    else:
        say(
            "The rest goes out in waves as tasks end, if something supervises the run: "
            f"{command('supervise', run)} (or submit --wait, submit --caretaker, or "
            "hpc supervise --once in cron)"
        )


def _count_shards(submissions: Sequence[Submission]) -> int:
    return sum(len(submission.plan.indices) for submission in submissions)


def check_writable(run: Run, shards: Sequence[int]) -> None:
    """Check that the tasks of this user can write where those of another user have written.

    Raises:
        PermissionError: they cannot; every attempt would fail.
    """
    folders = [run.folder / name for name in ("submissions", "logs", "work", "outputs")]
    for folder in (*folders, *(work_path(run.folder, shard) for shard in shards)):
        if folder.is_dir() and not os.access(folder, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(folder))


@dataclass(frozen=True, kw_only=True, slots=True)
class _Submitter:
    """Submits arrays of the selected shards while the run's lock is this process's."""

    executor: Executor
    selection: ShardSelection
    lock: int
    say: Say

    def submit_wave(
        self, status: RunStatus, plans: tuple[ArrayPlan, ...]
    ) -> tuple[tuple[Submission, ...], int]:
        """Submit arrays and report them.

        Returns:
            The submissions, and how many shards the executor rejected for good.

        Raises:
            SubmitLimitError: not even the first array fits.
            ExecutorError: the executor refused every group, or did not answer.
        """
        for line in describe_retries(plans, status.judgements):
            self.say(line)
        rejected = 0
        try:
            sent = self._submit(status, plans, status.observation.submissions)
        except BLAMES_NO_SETTING:
            raise
        except ExecutorError as error:
            sent, rejected = self._submit_by_group(status, plans, error)
        for submission in sent:
            self.say(describe_submission(submission))
        return sent, rejected

    def _submit_by_group(
        self, status: RunStatus, plans: tuple[ArrayPlan, ...], first: ExecutorError
    ) -> tuple[tuple[Submission, ...], int]:
        """Submit the arrays of each request by themselves.

        Returns:
            The submissions, and how many shards the executor rejected for good.
        """
        requests = list(dict.fromkeys(array.request for array in plans))
        if len(requests) == 1:
            raise first
        sent: list[Submission] = []
        rejected = 0
        for request in requests:
            # The throttles were planned for all groups at once, so each waits for the former.
            before = tuple(str(submission.array_job_id) for submission in sent)
            group = tuple(
                structs.replace(array, after=0, after_jobs=(*array.after_jobs, *before))
                for array in plans
                if array.request == request
            )
            recorded = (*status.observation.submissions, *sent)
            try:
                sent += self._submit(status, group, recorded)
            except SubmitLimitError:
                break  # the rest waits
            except (UnansweredError, CopySubmittedError):
                raise
            except ExecutorError as error:
                self.say(f"not submitted: {group[0].why}: {error}")
                rejected += sum(len(array.indices) for array in group)
        if not sent:
            raise first
        return tuple(sent), rejected

    def _submit(
        self, status: RunStatus, plans: Sequence[ArrayPlan], recorded: Sequence[Submission]
    ) -> tuple[Submission, ...]:
        run, observation = status.run, status.observation
        run_lock.check_lock(run, self.lock)
        intents = plan_intents(
            run,
            plans,
            datetime.now(UTC),
            first_number=next_number(recorded, observation.last_number),
            crashed=crashed_attempts(observation, self.selection.shards),
            forced=self.selection.forced,
        )
        return self.executor.submit(run, write_intents(run, intents), recorded, self.lock)


def write_intents(run: Run, intents: Sequence[Submission]) -> tuple[Submission, ...]:
    """Write the records of submissions before anything is submitted; all of them, or none."""
    written: list[Submission] = []
    try:
        for intent in intents:
            written.append(write_intent(run, intent))
    except (OSError, BusyError):
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
