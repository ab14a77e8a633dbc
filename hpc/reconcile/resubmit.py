"""Resubmit the failed shards of a run, or those that a person names."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from hpc.display.next_step import command
from hpc.display.run.submissions import describe_submission
from hpc.executors.base import (
    BLAMES_NO_SETTING,
    CaretakerRole,
    Executor,
    ExecutorError,
)
from hpc.reconcile.caretaker import submit_caretaker
from hpc.reconcile.checks.preflight import check_before_submission
from hpc.reconcile.checks.unrecorded import cancel_unrecorded
from hpc.reconcile.delayed_tasks import start_now
from hpc.reconcile.look import look
from hpc.reconcile.submit import (
    SubmittedWave,
    plan_submission,
    report_waiting,
    resume_submissions,
    submit_shards,
)
from hpc.run.array_plan import next_number
from hpc.run.delays import DelayedTask, tasks_to_start
from hpc.run.exit_codes import FAILED, UNDER_WAY
from hpc.run.model.arrays import ResourceRequest, Submission
from hpc.run.model.attempts import Phase
from hpc.run.model.run import Run, Say, Wait
from hpc.run.model.shards import State
from hpc.run.plan import ShardSelection
from hpc.run.run_state import RunStatus
from hpc.run.selection import find_rejection, resubmittable, unsettled_shards
from hpc.run.submissions import plan_intents
from pipeline.errors import RunError
from pipeline.messages.options import FORCE
from pipeline.text import counted, format_duration


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """What a person wants to resubmit, and how."""

    indices: tuple[int, ...] | None
    """The shards; None for every failed one."""
    override: ResourceRequest
    """Resources that replace the remedy's; no memory and 0 minutes leave the remedy's."""
    force: bool
    """Whether to take blocked shards that have ended too, and to resume a rejected run."""
    caretaker: bool
    """Whether to add a job that supervises from then on."""
    dry_run: bool
    """Whether only to say what would be submitted."""
    corrected: bool = False
    """Whether the person has just corrected the run, so that tasks in the queue differ from it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Choice:
    """Which shards to resubmit, and which of those that are not done are left out."""

    shards: tuple[int, ...]
    """Indices of the chosen shards."""
    unsettled: Mapping[int, float]
    """For how many seconds files of these shards may show up late."""
    unknown: tuple[int, ...]
    """Shards left out because nobody knows how they are."""
    blocked: tuple[int, ...]
    """Shards left out because they need a person."""
    delayed: tuple[DelayedTask, ...] = ()
    """Tasks in the queue that wait for their time, and start now instead."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What was resubmitted."""

    choice: Choice
    """What the request meant."""
    sent: tuple[Submission, ...]
    """The submissions; none of a dry run."""
    has_ended: bool
    """Whether the tasks have ended by now."""
    end: RunStatus
    """The last look at the run."""
    waiting: int = 0
    """How many shards wait until a limit of submitted jobs leaves room for them."""
    refused: int = 0
    """How many shards the executor refused, while it accepted others."""
    lacks_caretaker: bool = False
    """Whether the caretaker that was asked for was rejected."""
    has_caretaker: bool = False
    """Whether there is one."""

    @property
    def shards(self) -> tuple[int, ...]:
        """Return the shards that the request meant."""
        return self.choice.shards

    @property
    def exit_code(self) -> int:
        """Return what the command exits with: never 0 where something failed and nothing was done.

        A shard that may have failed, and was left out because nobody knows yet, is under way.
        """
        submitted = [shard for submission in self.sent for shard in submission.plan.shards]
        states = {self.end.judgements[shard].state for shard in submitted}
        is_not_done = self.has_ended and (states - {State.DONE} or self.end.lacks_labels)
        if is_not_done or self.refused or self.lacks_caretaker or self.end.lacks_file:
            return FAILED
        nothing_fits = bool(self.waiting) and not self.sent
        is_left_out = self.choice.unsettled.keys() - set(self.choice.shards)
        if nothing_fits or is_left_out or self.choice.unknown:
            return UNDER_WAY
        does_nothing = not (self.choice.shards or self.choice.delayed)
        return FAILED if self.choice.blocked and does_nothing else 0


def resubmit(
    run: Run, executor: Executor, request: Request, lock: int, say: Say, wait: Wait
) -> Outcome:
    """Resubmit shards, and report each submission. With force, first wait for late files.

    Args:
        run: the run.
        executor: what runs its tasks.
        request: what to resubmit.
        lock: file descriptor of the run's lock, held by the caller.
        say: shows a message.
        wait: lets time pass.

    Raises:
        RunError: a named shard cannot be resubmitted, or the run was rejected and nothing is
            forced.
        InputError: every attempt would fail, for example without the API key.
        ExecutorError: the executor refused every submission, or did not answer.
    """
    status = look(run, executor, lock_is_ours=True)
    if resume_submissions(run, executor, status.observation.submissions, lock, say):
        status = look(run, executor, lock_is_ours=True)
    if request.corrected:
        _report_alive(status, say)
    choice = _choose(status, request)
    if request.force and choice.unsettled:
        status, request = _wait_until_settled(run, executor, request, choice, wait)
        choice = _choose(status, request)
    for line in _describe_left_out(status, request, choice):
        say(line)
    start_now(run, executor, status, choice.delayed, say)
    wants_caretaker = _wants_caretaker(request, executor)
    selection = _selection(request, executor, choice)
    outcome = Outcome(choice=choice, sent=(), has_ended=False, end=status)
    wave = SubmittedWave()
    if choice.shards:
        check_before_submission(run)
        wave = _submit_shards(status, executor, selection, lock, say)
        report_waiting(run, wave, say, is_supervised=wants_caretaker)
    else:
        cancel_unrecorded(run, executor, status.observation.submissions, say)
    lacks_caretaker = wants_caretaker and not submit_caretaker(run, executor, say)
    sent = wave.submissions
    has_ended = bool(sent) and executor.run_to_end(run, sent, lock, say)
    return replace(
        outcome,
        sent=sent,
        has_ended=has_ended,
        end=look(run, executor, lock_is_ours=True) if has_ended else status,
        waiting=wave.waiting,
        refused=len(choice.shards) - wave.sent - wave.waiting,
        lacks_caretaker=lacks_caretaker,
        has_caretaker=wants_caretaker and not lacks_caretaker,
    )


def preview(run: Run, executor: Executor, request: Request, say: Say) -> Outcome:
    """Report what `resubmit` would submit now. Nothing is written, and no lock is needed.

    Raises:
        RunError: as `resubmit`.
        ExecutorError: the executor did not answer.
    """
    status = look(run, executor)
    if request.corrected:
        _report_alive(status, say)
    choice = _choose(status, request)
    for line in _describe_left_out(status, request, choice):
        say(line)
    for task in choice.delayed:
        say(f"would start shard {task.shard} now, which waits in the queue")
    plans = plan_submission(status, executor, _selection(request, executor, choice))
    observation = status.observation
    first = next_number(observation.submissions)
    for intent in plan_intents(run, plans, observation.observed_at, first_number=first):
        say(f"would make {describe_submission(intent)}")
    return Outcome(choice=choice, sent=(), has_ended=False, end=status)


def _wants_caretaker(request: Request, executor: Executor) -> bool:
    return request.caretaker and executor.runs_in_background


def _selection(request: Request, executor: Executor, choice: Choice) -> ShardSelection:
    return ShardSelection(
        shards=choice.shards,
        override=request.override,
        forced=request.force,
        spare_jobs=len(CaretakerRole) if _wants_caretaker(request, executor) else 0,
    )


def _submit_shards(
    status: RunStatus, executor: Executor, selection: ShardSelection, lock: int, say: Say
) -> SubmittedWave:
    try:
        return submit_shards(status, executor, selection, lock, say)
    except BLAMES_NO_SETTING:
        raise
    except ExecutorError as error:
        correct = command("resubmit", status.run, "--set cluster.KEY=VALUE")
        message = f"{error}\n  if a setting is wrong, correct it: {correct}"
        raise ExecutorError(message, error.words) from error


def _report_alive(status: RunStatus, say: Say) -> None:
    """Say which tasks a correction does not reach: their settings are Slurm's already."""
    alive = sum(
        attempt.phase in (Phase.HELD, Phase.WAITING, Phase.ACTIVE)
        for shard in status.observation.shards
        for attempt in shard.attempts
    )
    if alive:
        keep = "keeps" if alive == 1 else "keep"
        say(
            f"{counted(alive, 'task')} in the queue {keep} the former settings. To give "
            f"{'it' if alive == 1 else 'them'} the new ones:\n"
            f"  {command('cancel', status.run)}\n"
            f"  {command('resubmit', status.run, '--force')}"
        )


def _choose(status: RunStatus, request: Request) -> Choice:
    indices, force = request.indices, request.force
    unsettled = unsettled_shards(status, indices=indices, force=force)
    # Those in the queue have the former settings.
    delayed = (
        ()
        if request.corrected
        else tasks_to_start(status.observation, indices=indices, force=force)
    )
    early = {task.shard for task in delayed}
    if indices is not None:
        indices = tuple(index for index in indices if index not in {*unsettled, *early})
    shards, refusal = resubmittable(status.judgements, indices=indices, force=force)
    if refusal:
        raise RunError(refusal)
    rejection = find_rejection(status.observation)
    if rejection and not force:
        raise RunError(
            f"the run is stopped: {rejection}\n  when that is fixed, run: "
            f"{command('resubmit', status.run, '--force')}"
        )
    chosen = set(shards) - unsettled.keys()
    if request.dry_run and force:  # it would wait for these
        chosen |= unsettled.keys()
    left = [each for each in status.judgements if each.index not in chosen]
    return Choice(
        shards=tuple(sorted(chosen)),
        unsettled=unsettled,
        unknown=tuple(each.index for each in left if each.state is State.UNKNOWN),
        blocked=tuple(each.index for each in left if each.state is State.BLOCKED),
        delayed=delayed,
    )


def _wait_until_settled(
    run: Run, executor: Executor, request: Request, choice: Choice, wait: Wait
) -> tuple[RunStatus, Request]:
    """Wait until no file of the chosen shards can show up late.

    Shards whose tasks end meanwhile are not waited for: in a large run, some task always ends.

    Returns:
        The run as it is then, and the request without the named shards that turned out to be done.
    """
    seconds = max(choice.unsettled.values())
    while True:
        count = counted(len(choice.unsettled), "shard")
        wait(seconds, f"waiting for late files of {count} before anything is submitted again")
        status = look(run, executor, lock_is_ours=True)
        unsettled = unsettled_shards(status, indices=request.indices, force=True)
        rest = [unsettled[index] for index in choice.unsettled if index in unsettled]
        if not rest:
            break
        seconds = max(rest)
    if request.indices is None:
        return status, request
    done = {each.index for each in status.judgements if each.state is State.DONE}
    late = done & choice.unsettled.keys()
    return status, replace(
        request, indices=tuple(index for index in request.indices if index not in late)
    )


def _describe_left_out(status: RunStatus, request: Request, choice: Choice) -> list[str]:
    """Return which shards are not resubmitted although something may be wrong with them."""
    lines: list[str] = []
    unsettled = [index for index in choice.unsettled if index not in choice.shards]
    if unsettled:
        seconds = max(choice.unsettled[index] for index in unsettled)
        lines.append(
            f"{counted(len(unsettled), 'shard')} ended a moment ago, and late files may still show "
            f"up for {format_duration(seconds)}: run resubmit again then; "
            f"with {FORCE.on} it waits by itself"
        )
    elif choice.unsettled:
        seconds = max(choice.unsettled.values())
        lines.append(f"would first wait {format_duration(seconds)} for late files")
    if choice.shards or choice.delayed:
        return lines
    if choice.blocked and request.indices is None:
        hint = "see hpc status" if request.force else f"{FORCE.on} resubmits those that have ended"
        lines.append(f"{counted(len(choice.blocked), 'shard')} blocked: {hint}")
    if choice.unknown and request.indices is None:
        lines.append(f"{counted(len(choice.unknown), 'shard')} unknown: see hpc status")
    return lines or [f"run {status.run.run_id} has no failed shards; nothing to resubmit"]
