"""Observe, judge, plan and act, until a run is complete or needs a person.

Everything is derived anew in every round, so another process can take over from one that dies
between any two steps.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from hpc.display.next_step import command, describe_unchanged
from hpc.display.run.submissions import describe_limit, describe_waiting
from hpc.executors.base import CaretakerRole, Executor, ExecutorError, SubmitLimitError
from hpc.locks import run_lock
from hpc.notifications.notifier import Notifier
from hpc.reconcile.backoff import PASSING_ERRORS, Backoff, LeftUnreadError
from hpc.reconcile.checks.preflight import check_before_submission
from hpc.reconcile.checks.trust import check_run, describe_older_run
from hpc.reconcile.checks.unrecorded import cancel_unrecorded
from hpc.reconcile.delayed_tasks import start_when_back
from hpc.reconcile.gathering.gather_rounds import GatherRounds
from hpc.reconcile.gathering.pack import pack_and_report
from hpc.reconcile.look import OccasionalLooks, add_submissions, look, supervised_sight
from hpc.reconcile.polling.waits import Waits
from hpc.reconcile.room import RoomAtSlurm
from hpc.reconcile.stalled_tasks import requeue_stalled
from hpc.reconcile.submit import (
    SubmittedWave,
    prepare,
    resume_submissions,
    submit_shards,
)
from hpc.run import submissions
from hpc.run.array_plan import alive_tasks
from hpc.run.model.attempts import Phase
from hpc.run.model.run import Run
from hpc.run.outage import find_outage
from hpc.run.plan import is_worth_submitting, room_for, tightest
from hpc.run.run_state import RunState, RunStatus
from hpc.run.run_view import RunView
from hpc.run.selection import (
    Rejection,
    find_rejection,
    jobs_in_phase,
    planned_shards,
    shards_to_submit,
)
from pipeline.database.duckdb_file import HeldDatabaseError
from pipeline.errors import InputError, RunError
from pipeline.text import counted

# How often a submission may be refused, with nothing else going on, before a person is needed.
PATIENT_ROUNDS = 5


def supervise(
    run: Run,
    executor: Executor,
    lock: int,
    view: RunView,
    *,
    once: bool = False,
    hand_over: Callable[[RunStatus], bool] | None = None,
) -> RunStatus:
    """Resume, gather and resubmit until the run is complete or needs a person.

    A round that fails for a reason that may pass is reported, and the next one follows.

    Args:
        run: the run to supervise.
        executor: what runs its tasks.
        lock: file descriptor of the run's lock, held by the caller.
        view: shows the run and messages, and lets time pass between two rounds.
        once: stop after one round, for cron. A run whose tasks end with this process goes to its
            end all the same.
        hand_over: asked after each round whether somebody else takes over from here.

    Raises:
        InputError: the executor's commands are not installed here, or a record of the run is
            damaged.
        ExecutorError: a submission was refused and nothing else is under way.
        InputError: every attempt would fail, and nothing else is under way.
        RunError: several rounds in a row failed, or the only one of `once`.
        HeldDatabaseError: with `hand_over`, nothing is left to do but to gather, and another
            process has the database open.
    """
    # Whoever takes over is two jobs, which count against a limit of submitted jobs as well.
    spare_jobs = len(CaretakerRole) if hand_over else 0
    notifier = Notifier(run, view, check_run)
    with notifier.reporting_errors():
        executor.check_programs()
        supervision = _Supervision(run, executor, lock, view, once=once, spare_jobs=spare_jobs)
        return _do_rounds(supervision, Backoff(run, view, once=once), notifier, hand_over)


def _do_rounds(
    supervision: "_Supervision",
    backoff: Backoff,
    notifier: Notifier,
    hand_over: Callable[[RunStatus], bool] | None,
) -> RunStatus:
    while True:
        try:
            end = supervision.do_round(hand_over)
        except PASSING_ERRORS as error:
            if hand_over and isinstance(error, HeldDatabaseError):
                raise  # the next caretaker costs less than a job that waits
            backoff.wait_after(error)
            continue
        if supervision.last_status:
            notifier.look(supervision.last_status)
        if end is not None:
            notifier.end(end)
            return end
        backoff.reset()


class _Supervision:
    """What one supervising process remembers from round to round."""

    def __init__(
        self,
        run: Run,
        executor: Executor,
        lock: int,
        view: RunView,
        *,
        once: bool,
        spare_jobs: int,
    ) -> None:
        self._run = run
        self._executor = executor
        self._lock = lock
        self._view = view
        self._once = once
        self._last_delay = ""
        self._gathering = GatherRounds(executor, view, self._say_once, once=once)
        self._has_begun = False
        self._has_waited = False
        self._refusals = 0
        self._room = RoomAtSlurm(spare_jobs)
        self._waits = Waits(run, view)
        self.last_status: RunStatus | None = None
        """The run as the last round saw it first."""

    def do_round(self, hand_over: Callable[[RunStatus], bool] | None) -> RunStatus | None:
        """Do one round; return the run's status if it was the last one.

        Raises:
            Exception: one of PASSING_ERRORS. The next round derives everything anew.
        """
        began = time.monotonic()
        if not self._has_begun:
            recorded = submissions.read_submissions(self._run)
            cancel_unrecorded(self._run, self._executor, recorded, self._view)
            if note := describe_older_run(self._run):
                self._view(note)
            self._has_begun = True
        status, rejection, trouble = self._resume_or_stop()
        self.last_status = status
        todo: tuple[int, ...] = ()
        if not (trouble or rejection):
            todo = self._choose_shards(status)
        no_room = bool(todo) and _lacks_room(status, len(todo))
        later = len(todo) if no_room else 0
        if trouble or not status.observation.answered:
            self._waits.interval.settle()
        self._view.show(supervised_sight(status, trouble, later))
        goes_on = status.is_under_way and not status.only_awaits_files
        if not (todo or trouble or goes_on):
            return self._finish(waits=not hand_over)
        self._gathering.gather_for_now(status)
        context = self._run, self._executor, status, self._view
        if requeue_stalled(*context) | start_when_back(*context):
            self._waits.interval.quicken()
        if todo and not no_room and self._submit(status, todo):
            return None
        if self._once or hand_over:
            after = replace(self._look(), waits_for_room=bool(todo) and self._room.is_lacking)
            if self._once or (hand_over and hand_over(after)):
                return replace(after, adds_nothing=self._adds_nothing())
        self._waits.until_next_look(status, time.monotonic() - began)
        self._has_waited = True
        return None

    def _look(self) -> RunStatus:
        return look(self._run, self._executor, lock_is_ours=True)

    def _choose_shards(self, status: RunStatus) -> tuple[int, ...]:
        """Return the shards to submit next, and say why others wait."""
        todo = shards_to_submit(status)
        left = set(planned_shards(status.judgements)) - set(todo)
        if find_outage(status.observation):
            if status.is_under_way or todo:
                self._say_once(
                    "the service answers nobody: one shard asks it again after a while, and the "
                    "others wait for its answer",
                    "the service is down",
                )
        elif left:
            self._say_once(
                f"{counted(len(left), 'shard')} not submitted yet: tasks ended before their first "
                "line, and none has got to it since",
                "the environment is in doubt",
            )
        return todo

    def _resume_or_stop(self) -> tuple[RunStatus, Rejection | None, str | None]:
        """Finish interrupted submissions; of a rejected run, cancel what is pending.

        Returns:
            The run as it is then, why it was rejected, and what kept submissions from being
            finished. They stay for the next round.
        """
        status = self._look()
        run_lock.check_lock(self._run, self._lock)
        rejection = find_rejection(status.observation)
        if rejection:
            self._stop(status, rejection)
            return status, rejection, None
        try:
            recorded = status.observation.submissions
            resumed = resume_submissions(
                self._run, self._executor, recorded, self._lock, self._view
            )
        except ExecutorError as error:
            return status, None, f"a submission is not finished: {error.words}"
        except InputError:  # their shards count as planned, and submitting these says it
            return status, None, None
        return self._look() if resumed else status, None, None

    def _stop(self, status: RunStatus, rejection: Rejection) -> None:
        """Cancel what has not started: it would only end in the same way."""
        foreign = {
            submission.array_job_id
            for submission in status.observation.submissions
            if not submissions.belongs_to(self._run, submission)
        }
        jobs = [
            job for job in jobs_in_phase(status.observation, Phase.WAITING) if job not in foreign
        ]
        if jobs:
            self._view(f"{rejection}\ncanceling the pending tasks")
            try:
                self._executor.cancel_pending(jobs)
                self._waits.interval.quicken()
            except ExecutorError as error:  # they are still pending in the next round
                self._view(f"not canceled yet: {error}")

    def _finish(self, *, waits: bool) -> RunStatus | None:
        """Gather for the last time; return None if another round has to follow.

        That is so if an output turned out to be damaged, or if another process has the database
        open. Nothing is wrong then, so this waits for as long as that takes.

        Args:
            waits: whether to wait for the database.

        Raises:
            HeldDatabaseError: another process has the database open, and this does not wait.
            LeftUnreadError: an output, or a file that decides a shard's state, cannot be read now.
            RunError: an output that counts could not be gathered.
        """
        last = look(self._run, self._executor, include_done=True, lock_is_ours=True)
        cancel_unrecorded(self._run, self._executor, last.observation.submissions, self._view)
        try:
            gathered = self._gathering.gather_last(last)
        except HeldDatabaseError as error:
            if not waits:
                raise
            self._gathering.say_held(error)
            return replace(last, awaits_database=True) if self._once else None
        if gathered.set_aside or (waits and not self._once and self._waits.until_tasks_end(last)):
            return None
        pack_and_report(last, self._executor, self._view)
        if gathered.unreadable:
            raise LeftUnreadError(
                f"{counted(len(gathered.unreadable), 'file')} could not be read, see above"
            )
        if last.only_awaits_files:
            waiting = next(shard for shard in last.judgements if shard.awaits_file)
            raise LeftUnreadError(f"shard {waiting.index}: {waiting.message}")
        if last.state is RunState.COMPLETE and gathered.rejected:
            raise RunError(
                "the run is complete, but not all of it was gathered or compared, see above. "
                f"Once that is fixed, run: {command('gather', self._run)}"
            )
        last = replace(last, adds_nothing=self._adds_nothing())
        if last.was_complete_before:
            self._view(describe_unchanged(last))
        return last

    def _adds_nothing(self) -> bool:
        return not self._has_waited and not self._gathering.rows_added

    def _submit(self, status: RunStatus, todo: Sequence[int]) -> bool:
        """Submit shards, and run them to their end if nothing else does; tell whether they ended.

        A refusal is no error as long as other tasks of the run are under way, or for some rounds:
        a controller that restarts comes back. A limit of submitted jobs is never an error: other
        jobs end some day.
        """
        try:
            check_before_submission(self._run)
            wave = self._submit_what_fits(status, todo)
        except (ExecutorError, InputError) as error:
            if self._is_last_try(status, error):
                raise
            self._say_once(f"not submitted yet: {error}")
            # An array that was accepted late counts against the limits of the next one.
            cancel_unrecorded(self._run, self._executor, status.observation.submissions, self._view)
            self._refusals += 1
            self._waits.interval.settle()
            return False
        self._refusals = 0
        if wave.waiting:
            # The figures change from wave to wave; the attempts and the progress show them.
            situation = f"{wave.limit_name} {bool(wave.sent or status.is_under_way)}"
            message = describe_waiting(wave.sent, wave.waiting, wave.reason)
            self._say_once(message, situation)
            self._waits.interval.settle()  # rounds count how often sbatch is asked again
        elif wave.submissions:
            self._waits.interval.quicken()
        if not wave.submissions:
            return False
        self._view.show(supervised_sight(add_submissions(status, wave.submissions)))
        looks = OccasionalLooks(self._run, self._executor, self._view)
        return self._executor.run_to_end(self._run, wave.submissions, self._lock, self._view, looks)

    def _submit_what_fits(self, status: RunStatus, todo: Sequence[int]) -> SubmittedWave:
        """Submit as many shards as a limit of submitted jobs allows, unless these are too few."""
        alive = sum(alive_tasks(status.observation, status.judgements).values())
        selection = self._room.selection(todo, alive)
        if selection is None:
            return self._room.last_wave(len(todo))
        prepared = prepare(status, self._executor, selection)
        if is_worth_submitting(prepared, selection):
            wave = submit_shards(prepared, self._executor, selection, self._lock, self._view)
        else:
            limit = tightest(prepared.observation.submit_limits or ())
            wave = SubmittedWave(
                waiting=len(todo),
                reason=describe_limit(limit),
                limit_name=limit.name if limit else "",
            )
        self._room.learn(wave)
        return wave

    def _is_last_try(self, status: RunStatus, error: ExecutorError | InputError) -> bool:
        """Tell whether a refusal ends the supervision, because nothing will change by itself.

        What is wrong with the configuration or the environment does not. A round of cron says so
        at once, since the next one has the same environment.
        """
        if isinstance(error, InputError):
            return self._once or not status.is_under_way
        if isinstance(error, SubmitLimitError) and error.is_certain:
            # Administrators allow no jobs before a maintenance, and raise the limit afterwards.
            return self._once and not status.is_under_way
        # Refusals count while tasks are under way, too: more than that many may have passed.
        is_last = self._once or self._refusals >= PATIENT_ROUNDS
        return is_last and not status.is_under_way and status.observation.answered

    def _say_once(self, message: str, situation: str = "") -> None:
        """Say what holds for many rounds only when it, or the situation, changes."""
        if (situation or message) != self._last_delay:
            self._view(message)
            self._last_delay = situation or message


def _lacks_room(status: RunStatus, wanted: int) -> bool:
    """Tell whether these shards had better be submitted when there is room for them.

    Submitted now, they would wait for whole arrays to end. The last task of one may hang for hours,
    and every later failure would queue up behind them, one after another.
    """
    return status.is_under_way and bool(room_for(status, wanted).after_jobs)
