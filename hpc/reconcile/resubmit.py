"""Resubmit the failed shards of a run, or those that a person names."""

from dataclasses import dataclass

from hpc.executors.base import CaretakerRole, Executor
from hpc.reconcile.caretaker import submit_caretaker
from hpc.reconcile.look import look
from hpc.reconcile.preflight import check_before_submission
from hpc.reconcile.submit import (
    SubmittedWave,
    cancel_strays,
    plan_submission,
    report_waiting,
    resume_submissions,
    submit_shards,
)
from hpc.report.submissions import describe_submission
from hpc.run.model import ResourceRequest, Run, Say, State, Submission
from hpc.run.plan import ShardSelection
from hpc.run.run_state import RunStatus
from hpc.run.selection import find_rejection, resubmittable
from hpc.run.submissions import plan_intents
from pipeline.errors import RunError


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


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What was resubmitted."""

    shards: tuple[int, ...]
    """The shards that the request meant."""
    sent: tuple[Submission, ...]
    """The submissions; none of a dry run."""
    has_ended: bool
    """Whether the tasks have ended by now."""
    end: RunStatus
    """The last look at the run."""
    waiting: int = 0
    """How many shards wait until a limit of submitted jobs leaves room for them."""

    @property
    def has_failed(self) -> bool:
        """Tell whether the tasks have ended and left a shard that is not done."""
        shards = [shard for submission in self.sent for shard in submission.plan.shards]
        return self.has_ended and any(
            self.end.judgements[shard].state is not State.DONE for shard in shards
        )


def resubmit(run: Run, executor: Executor, request: Request, lock: int, say: Say) -> Outcome:
    """Resubmit shards, and report each submission.

    Args:
        run: the run.
        executor: what runs its tasks.
        request: what to resubmit.
        lock: file descriptor of the run's lock, held by the caller.
        say: shows a message.

    Raises:
        RunError: a named shard cannot be resubmitted, or the run was rejected and nothing is
            forced.
        InputError: every attempt would fail, for example without the API key.
        ExecutorError: the executor refused every submission, or did not answer.
    """
    status = look(run, executor, lock_is_ours=True)
    if not request.dry_run:
        recorded = status.observation.submissions
        if resume_submissions(run, executor, recorded, say):
            status = look(run, executor, lock_is_ours=True)
        cancel_strays(run, executor, status.observation.submissions, say)
    shards = _choose_shards(status, request)
    selection = ShardSelection(
        shards=shards,
        override=request.override,
        forced=request.force,
        spare_jobs=len(CaretakerRole) if request.caretaker and executor.runs_in_background else 0,
    )
    if not shards:
        say(f"run {run.run_id} has no failed shards; nothing to resubmit")
    if request.dry_run:
        _report_plan(status, executor, selection, say)
        return Outcome(shards=shards, sent=(), has_ended=False, end=status)
    wave = SubmittedWave()
    if shards:
        check_before_submission(run)
        wave = submit_shards(status, executor, selection, say)
        report_waiting(run, wave, say)
    if request.caretaker and executor.runs_in_background:
        submit_caretaker(run, executor, say)
    sent = wave.submissions
    has_ended = bool(sent) and executor.run_to_end(run, sent, lock, say)
    end = look(run, executor, lock_is_ours=True) if has_ended else status
    return Outcome(shards=shards, sent=sent, has_ended=has_ended, end=end, waiting=wave.waiting)


def _choose_shards(status: RunStatus, request: Request) -> tuple[int, ...]:
    shards, refusal = resubmittable(status.judgements, indices=request.indices, force=request.force)
    if refusal:
        raise RunError(refusal)
    rejection = find_rejection(status.observation)
    if rejection and not request.force:
        raise RunError(
            f"the run is stopped: {rejection}\n  when that is fixed, resume with --force"
        )
    return shards


def _report_plan(
    status: RunStatus, executor: Executor, selection: ShardSelection, say: Say
) -> None:
    plans = plan_submission(status, executor, selection)
    observation = status.observation
    recorded = observation.submissions
    for intent in plan_intents(status.run, plans, observation.observed_at, recorded=recorded):
        say(f"would submit {describe_submission(intent)}")
