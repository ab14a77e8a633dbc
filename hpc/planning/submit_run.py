"""Submit the unlabeled posts of a backlog: discard, resume, create, submit, and maybe supervise.

The whole start happens under the run root's lock, so that two submits never take the same posts.
"""

from contextlib import ExitStack
from dataclasses import dataclass

from hpc.database.gathered_shards import is_gathered
from hpc.database.register_runs import forget_run, register_run, register_samples
from hpc.display.interruption import (
    describe_leaving,
    explain_canary_interruption,
    explain_interruption,
    explain_submission_interruption,
    on_interruption_say,
)
from hpc.display.next_step import command, describe_caretaken, describe_next_step
from hpc.display.run.run_summary import show_result, show_status
from hpc.display.screen import Screen
from hpc.executors.base import (
    CaretakerRole,
    Executor,
    ExecutorError,
    UnansweredError,
)
from hpc.executors.factory import create_executor, executor_of
from hpc.locks import run_lock
from hpc.locks.locked_run import LockedRun
from hpc.planning import late_posts, resume
from hpc.planning.check_upstream import check_upstream
from hpc.planning.discard import discard_runs
from hpc.planning.new_run.create_run import WhilePlanning, create_run
from hpc.planning.new_run.run_draft import RunDraft
from hpc.planning.resume import NOTHING_RESUMED
from hpc.planning.run_checks import Subject, reject_hopeless
from hpc.planning.run_spec import RunSpec
from hpc.planning.submit_request import SubmitRequest, say_plan
from hpc.reconcile.caretaker import submit_caretaker
from hpc.reconcile.checks.check_resources import check_resources
from hpc.reconcile.checks.preflight import find_python_problem
from hpc.reconcile.checks.trust import check_root
from hpc.reconcile.checks.unrecorded import UnrecordedError
from hpc.reconcile.look import look
from hpc.reconcile.loop import supervise
from hpc.reconcile.submit import SubmittedWave, report_waiting, submit_shards
from hpc.run.exit_codes import FAILED, UNDER_WAY
from hpc.run.model.run import Run, Say
from hpc.run.plan import ShardSelection
from hpc.run.run_state import EXIT_CODE, RunState, RunStatus
from hpc.run.selection import planned_shards
from hpc.run.submissions import was_submitted
from pipeline.database.duckdb_file import HeldDatabaseError
from pipeline.errors import InputError

_NOT_SUBMITTED = "interrupted; no new run was submitted. To start again, run the same command"


@dataclass(frozen=True, kw_only=True, slots=True)
class SubmitResult:
    """What a submit did."""

    draft: RunDraft
    run: Run | None
    """The new run, or without one the newest run that was resumed; None if there is neither."""
    exit_code: int
    end: RunStatus | None = None
    """The last look at the run, if it was supervised."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Started:
    draft: RunDraft
    runs: tuple[LockedRun, ...]
    """The resumed runs, then the new one."""
    busy: tuple[Run, ...]
    """Unfinished runs of the name that another process works on."""
    unreadable: tuple[Run, ...]
    """Runs of the name whose records cannot be used: a person has to look at them."""
    wave: SubmittedWave
    """What was submitted of the new run."""
    has_caretakers: bool
    """Whether each of the runs has the caretaker that was asked for."""


def submit_run(request: SubmitRequest, printer: Screen) -> SubmitResult:
    """Submit the selected posts as a new run, and resume the unfinished runs of the name.

    Runs are supervised to their end if the request says so, or if their tasks end with this
    process.

    Raises:
        InputError: the source or the name does not fit, a caretaker is not possible, or the
            cluster can never give what a task requests.
        BusyError: another submit is planning, or it is too early to discard a run.
        ExecutorError: the executor refused the new run; nothing of it is left.
    """
    # First: what the shell decides may be why the cluster does not answer.
    for note in request.spec.notes:
        printer(note)
    executor = create_executor(request.spec.config.cluster)
    if request.caretaker:
        executor.caretaker_jobs()  # raises InputError if this executor's runs need none
    _check_resources(request, executor, printer)
    check_upstream(request.selection.after, executor, printer)
    with ExitStack() as locks:
        with on_interruption_say(_NOT_SUBMITTED):
            started = _start_when_possible(request, executor, locks, printer)
        ends = []
        for locked in started.runs if _goes_to_end(request, executor) else ():
            its_executor = executor_of(locked.run)
            in_background = its_executor.runs_in_background
            explain = explain_interruption
            if request.selection.canary and locked is started.runs[-1]:
                explain = explain_canary_interruption
            with (
                explain(locked.run, runs_in_background=in_background),
                printer.watching(describe_leaving(runs_in_background=in_background)) as view,
            ):
                ends.append(supervise(locked.run, its_executor, locked.lock, view))
    if not started.runs:
        code = _report_no_run(request, started, executor, printer)
        return SubmitResult(draft=started.draft, run=None, exit_code=code)
    run = started.runs[-1].run
    if not ends:
        is_cared_for = request.caretaker and started.has_caretakers
        supervise_it = f"next: {command('supervise', run)} (or look: hpc status)"
        printer(describe_caretaken(run) if is_cared_for else supervise_it)
        nothing_fits = started.wave.waiting and not started.wave.sent
        code = UNDER_WAY if nothing_fits else 0
        code = code if started.has_caretakers and not started.unreadable else FAILED
        return SubmitResult(draft=started.draft, run=run, exit_code=code)
    show_result(ends[-1], printer)
    for end in ends[:-1]:
        if end.exit_code:
            printer("")
            show_status(end, printer, is_gathered=False)
    code = max([FAILED if started.unreadable else 0, *(end.exit_code for end in ends)])
    return SubmitResult(draft=started.draft, run=run, exit_code=code, end=ends[-1])


def _check_resources(request: SubmitRequest, executor: Executor, say: Say) -> None:
    config = request.spec.config
    check_resources(
        executor,
        config.cluster,
        source=config.classifier.source,
        caretaker=request.caretaker,
        say=say,
    )


def _goes_to_end(request: SubmitRequest, executor: Executor) -> bool:
    return request.wait or not executor.runs_in_background


def _start_when_possible(
    request: SubmitRequest, executor: Executor, locks: ExitStack, printer: Screen
) -> _Started:
    """Wait until runs that labeled nothing can be moved aside, and start.

    Others may submit meanwhile, so everything is looked at again then.
    """
    while True:
        started = _start(request, executor, locks, printer)
        if isinstance(started, _Started):
            return started
        printer.wait(started, "waiting for late files of a run that labeled nothing")


def _start(
    request: SubmitRequest, executor: Executor, locks: ExitStack, say: Screen
) -> _Started | float:
    """Discard, resume and create runs under the run root's lock; keep the runs' locks.

    Returns:
        What was started, or for how many seconds it is too early for that.
    """
    spec = request.spec
    if problem := find_python_problem(spec.config.cluster.resources.python):
        raise InputError(f"cluster.python: {problem}")
    root = spec.config.storage.run_root
    check_root(root, trusts_group=spec.config.storage.trust_group)
    with run_lock.locked(root, f"another submit is planning under {root}: wait for it"):
        if seconds := discard_runs(spec, say):
            return seconds
        is_supervised = request.wait or request.caretaker
        resumed = NOTHING_RESUMED
        if request.resumes:
            resumed = resume.resume_runs(spec, executor, locks, say, is_supervised=is_supervised)
        wave = SubmittedWave()
        run, draft = create_run(
            spec,
            request.selection,
            request.folders,
            request.config_text,
            meanwhile=WhilePlanning(
                approve=lambda drafted: reject_hopeless(_subject(request, executor, drafted), say),
                progress=say,
            ),
        )
        say_plan(spec, request.selection, draft, say)
        late_posts.remember(root, spec.config.name, request.selection, draft)
        runs = resumed.resumed
        if run is not None:
            say(f"run {run.folder}")
            in_background = executor.runs_in_background
            explain = explain_submission_interruption
            if request.selection.canary:
                explain = explain_canary_interruption
            with explain(run, runs_in_background=in_background):
                lock = locks.enter_context(run_lock.lock_run(run))
                if in_background:
                    wave = _submit_or_forget(LockedRun(run, lock), executor, request, say)
                register_new_run(run, say)
            runs = (*runs, LockedRun(run, lock))
        elif draft.sample:
            _register_samples(spec, say)
        wants_caretaker = runs if request.caretaker else ()
        submitted = [
            submit_caretaker(locked.run, executor_of(locked.run), say) for locked in wants_caretaker
        ]
    return _Started(
        draft=draft,
        runs=runs,
        busy=resumed.busy,
        unreadable=resumed.unreadable,
        wave=wave,
        has_caretakers=all(submitted),
    )


def _subject(request: SubmitRequest, executor: Executor, draft: RunDraft) -> Subject:
    return Subject(spec=request.spec, executor=executor, selection=request.selection, draft=draft)


def _submit_or_forget(
    locked: LockedRun, executor: Executor, request: SubmitRequest, say: Say
) -> SubmittedWave:
    """Submit a new run; if the executor refuses, delete it, so that its posts are free again.

    A limit of submitted jobs is no refusal: the run stays, even if no task of it fits yet.
    """
    run = locked.run
    status = look(run, executor)
    selection = ShardSelection(
        shards=planned_shards(status.judgements),
        spare_jobs=len(CaretakerRole) if request.caretaker else 0,
    )
    try:
        wave = submit_shards(status, executor, selection, locked.lock, say)
    except UnansweredError:
        say(
            "the run keeps its posts; to find the array, or submit it if Slurm has not accepted it "
            f"by then: {command('supervise', run, '--once')}"
        )
        raise
    except (ExecutorError, UnrecordedError, OSError):
        if not was_submitted(run):
            forget_run(run)
        raise
    report_waiting(run, wave, say, is_supervised=request.wait or request.caretaker)
    return wave


def register_new_run(run: Run, say: Say) -> None:
    """Record a new run in the database, so that its posts hold the watermark back."""
    try:
        register_run(run)
    except HeldDatabaseError as error:
        say(f"{error.where}: the run is not recorded in it yet, and the next gather will do that")


def _register_samples(spec: RunSpec, say: Say) -> None:
    try:
        register_samples(spec.config.storage.run_root, spec.config.storage.database)
    except HeldDatabaseError as error:
        say(f"{error.where}: the next gather adds the sample to it")


def _report_no_run(request: SubmitRequest, started: _Started, executor: Executor, say: Say) -> int:
    """Say where the name's posts are if there is nothing to submit; return the exit code.

    Who does not wait for the labels has nothing to complain of while their run is running.
    """
    if started.busy and _goes_to_end(request, executor):
        # Someone who waits for the labels, such as a script, does not have them yet.
        say(f"next: {command('status', started.busy[-1])}")
        return EXIT_CODE[RunState.RUNNING]
    said = {run.run_id for run in (*started.busy, *started.unreadable)}
    codes = {FAILED if started.unreadable else 0}
    for run in resume.find_unfinished(request.spec):
        if run.run_id in said:
            continue
        status = look(run, executor_of(run))
        say(f"posts of this name are in run {run.folder}, which is {status.state}")
        say(describe_next_step(status, is_gathered=is_gathered(run, status.observation)))
        if request.wait or status.state is not RunState.RUNNING:
            codes.add(status.exit_code)
    return max(codes) if request.wait or FAILED not in codes else FAILED
