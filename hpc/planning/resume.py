"""Resume the runs of a name that an interrupted submit left unfinished."""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from hpc.database.register_runs import forget_run
from hpc.display.next_step import command
from hpc.executors.base import Executor, ExecutorError, UnknownJobsError
from hpc.executors.factory import executor_of
from hpc.locks.locked_run import LockedRun, hold_run
from hpc.planning.run_spec import RunSpec
from hpc.reconcile.checks.preflight import check_before_submission
from hpc.reconcile.checks.unrecorded import cancel_unrecorded
from hpc.reconcile.look import look
from hpc.reconcile.submit import report_waiting, resume_submissions, submit_shards
from hpc.run import outputs
from hpc.run.model.run import Run, Say
from hpc.run.plan import ShardSelection
from hpc.run.run_state import RunState, RunStatus
from hpc.run.selection import find_rejection, planned_shards, planned_to_submit
from hpc.run.submissions import read_submissions, was_submitted
from hpc.runs import find_runs
from pipeline.database import duckdb_file, history
from pipeline.database.supersede import OTHER_CONFIG
from pipeline.errors import BusyError, InputError, UnreadableError


@dataclass(frozen=True, kw_only=True, slots=True)
class ResumedRuns:
    """What became of the unfinished runs of a name."""

    resumed: tuple[LockedRun, ...]
    busy: tuple[Run, ...]
    """Runs that another process works on."""
    unreadable: tuple[Run, ...] = ()
    """Runs whose records are damaged or cannot be read now. They keep their posts."""


NOTHING_RESUMED = ResumedRuns(resumed=(), busy=())


def resume_runs(
    spec: RunSpec, executor: Executor, locks: ExitStack, say: Say, *, is_supervised: bool = False
) -> ResumedRuns:
    """Submit the shards of the name's runs that were planned and never submitted.

    If the executor's tasks end with this process, the interrupted runs are resumed too. A run that
    was never submitted, and that the executor refuses now, is deleted: the next run takes its
    posts. A run with another labeling setup stays as it is, as nobody wants its labels now.

    Args:
        spec: the configuration of this submit.
        executor: what runs the tasks.
        locks: keeps the locks of the resumed runs.
        say: shows a message.
        is_supervised: whether something supervises the runs from here on.

    Raises:
        ExecutorError: a partly submitted run cannot be submitted further.
    """
    resumed: list[LockedRun] = []
    busy: list[Run] = []
    unreadable: list[Run] = []
    is_to_resume = _is_partly_submitted if executor.runs_in_background else _is_unfinished
    for run in find_runs.load_named(spec.config.storage.run_root, spec.config.name):
        try:
            if run.executor != executor.name or not is_to_resume(run):
                continue
            if run.manifest.is_labeled_elsewhere:  # no task ever labels it
                continue
            read_submissions(run)
            if run.manifest.config_hash != spec.label_spec.hash:
                say(
                    f"run {run.folder} is unfinished and stays as it is, because its labels would "
                    "be those of another configuration; to resume it: "
                    f"{command('supervise', run)}"
                )
                continue
            locked = _lock_if(is_to_resume, run, locks)
        except BusyError as error:
            say(str(error))
            busy.append(run)
            continue
        except (InputError, UnreadableError) as error:
            say(f"run {run.folder} stays as it is and keeps its posts: {error}")
            unreadable.append(run)
            continue
        if locked and _resume(locked, executor_of(locked.run), say, is_supervised=is_supervised):
            resumed.append(locked)
    return ResumedRuns(resumed=tuple(resumed), busy=tuple(busy), unreadable=tuple(unreadable))


def needs_a_person(status: RunStatus) -> bool:
    """Return whether neither the run's tasks nor `supervise` can continue the run."""
    if status.state is RunState.COMPLETE or status.is_under_way:
        return False
    return status.state is RunState.BLOCKED or find_rejection(status.observation) is not None


def find_unfinished(spec: RunSpec) -> list[Run]:
    """Return the runs of the name that still hold posts, oldest first.

    A later run that supersedes another configuration takes the posts of runs with that one.
    """
    named = find_runs.load_named(spec.config.storage.run_root, spec.config.name)
    superseding = [
        number for number, run in enumerate(named) if run.manifest.replaces == OTHER_CONFIG
    ]
    newest = superseding[-1] if superseding else 0
    return [
        run
        for number, run in enumerate(named)
        if number >= newest or run.manifest.config_hash == named[newest].manifest.config_hash
        if _is_unfinished(run)
    ]


def _lock_if(condition: Callable[[Run], bool], run: Run, locks: ExitStack) -> LockedRun | None:
    """Lock a run; None, and no lock, if whoever had the lock before has finished the run."""
    with ExitStack() as own:
        locked = own.enter_context(hold_run(run))
        if not condition(locked.run):
            return None
        locks.push(own.pop_all())
        return locked


def _resume(locked: LockedRun, executor: Executor, say: Say, *, is_supervised: bool) -> bool:
    """Resume a locked run; return whether it goes on."""
    run = locked.run
    resuming = f"resuming the unfinished run {run.folder} with its original configuration"
    if executor.runs_in_background:
        say(resuming)
        return _submit_rest(locked, executor, say, is_supervised=is_supervised)
    # The caller supervises the run, which submits and runs its tasks.
    is_blocked = needs_a_person(look(run, executor, lock_is_ours=True))
    say(f"run {run.folder} is blocked and still holds its posts; see below" if is_blocked
        else resuming)  # fmt: skip
    return True


def _submit_rest(locked: LockedRun, executor: Executor, say: Say, *, is_supervised: bool) -> bool:
    """Submit what was never submitted; return whether the run goes on."""
    run, lock = locked.run, locked.lock
    try:
        status = look(run, executor)
        if resume_submissions(run, executor, status.observation.submissions, lock, say):
            status = look(run, executor)
        rest = planned_to_submit(status)
        if not rest and planned_shards(status.judgements):
            say(f"nothing is submitted: {_why_planned_wait(status)}")
            return False
        if rest:
            check_before_submission(run)
            wave = submit_shards(status, executor, ShardSelection(shards=rest), lock, say)
            report_waiting(run, wave, say, is_supervised=is_supervised)
        else:
            cancel_unrecorded(run, executor, status.observation.submissions, say)
    except UnknownJobsError:
        raise
    except ExecutorError as error:
        if was_submitted(run):
            raise
        say(f"{error}\nnothing of this run was ever submitted: it is deleted, its posts are free")
        forget_run(run)
        return False
    return True


def _why_planned_wait(status: RunStatus) -> str:
    if rejection := find_rejection(status.observation):
        return (
            f"{rejection}\n  when that is fixed, run: {command('resubmit', status.run, '--force')}"
        )
    return "tasks ended before their first line, and none has got to it since"


def _is_partly_submitted(run: Run) -> bool:
    recorded = read_submissions(run)
    submitted = {shard for submission in recorded for shard in submission.plan.shards}
    return any(submission.released_at is None for submission in recorded) or len(submitted) < len(
        run.manifest.shards
    )


def _is_unfinished(run: Run) -> bool:
    """Return whether an output is missing, or one that was published is not gathered."""
    if not all(check.verified for check in outputs.verify_outputs(run)):
        return True
    database = Path(run.manifest.database)
    if not duckdb_file.exists(database):
        return True
    with duckdb_file.open_database(database, read_only=True) as labels:
        return len(history.gathered_shards(labels, run.run_id)) < len(run.manifest.shards)
