"""Let a run look after itself, with no process on the login node.

A caretaker is a tiny job that starts when the arrays have ended. It gathers, resubmits, and leaves
the next caretaker behind. Each caretaker is submitted together with an understudy, which starts
only if the caretaker fails and does the same. So there is always one in the queue, and whatever a
caretaker was about to do when it died, the next one derives anew.
"""

from collections.abc import Sequence
from functools import partial

from hpc.display.next_step import command
from hpc.executors.base import (
    CaretakerJobs,
    CaretakerRole,
    Executor,
    ExecutorError,
    SubmitLimitError,
)
from hpc.locks.locked_run import hold_run
from hpc.reconcile.look import look
from hpc.reconcile.loop import supervise
from hpc.run.model.run import Run, Say
from hpc.run.run_state import RunStatus
from hpc.run.run_view import RunView
from hpc.run.selection import jobs_to_wait_for
from hpc.run.submissions import read_submissions
from pipeline.errors import BusyError, InputError

# How long the next caretaker waits after each failure in a row; then a person is needed.
PAUSES_MIN = (1, 5, 15, 60, 240)
BUSY_PAUSE_S = 600


def submit_caretaker(run: Run, executor: Executor, say: Say) -> bool:
    """Submit a caretaker for all arrays of the run, and say so, or why there is none.

    A run has one caretaker at a time: if one is pending, it stays the only one.

    Returns:
        Whether the run has a caretaker now.

    Raises:
        InputError: a run of this executor needs no caretaker.
    """
    jobs = executor.caretaker_jobs()
    recorded = read_submissions(run)
    arrays = [str(array.array_job_id) for array in recorded if array.array_job_id is not None]
    try:
        if pending := jobs.pending(run, CaretakerRole.CARETAKER):
            say(f"caretaker: job {min(pending)} is pending already, so no other one is added")
            return True
        job = _submit_pair(run, jobs, after=arrays)
    except ExecutorError as error:
        say(
            f"the caretaker was rejected: {error}\n"
            f"supervise the arrays with: {command('supervise', run)}"
        )
        return False
    say(
        f"caretaker: job {job} gathers and resubmits when the arrays have ended. A second job, its "
        "understudy, starts only if it fails"
    )
    return True


def run_caretaker(run: Run, executor: Executor, failures: int, view: RunView) -> RunStatus:
    """Do the work of a caretaker's job, and return its last look at the run.

    Whatever this raises starts the understudy.

    Args:
        run: the run to look after.
        executor: what runs its tasks.
        failures: how many caretakers in a row failed before this one.
        view: shows the run and messages.

    Raises:
        InputError: this process is no caretaker's job.
    """
    jobs = executor.caretaker_jobs()
    own = jobs.own_job()
    if own is None:
        raise InputError("--caretaker is for the job that submit --caretaker submits")
    if failures:
        # An understudy that has started needs an understudy of its own.
        _submit_understudy(run, jobs, own, failures)
    try:
        with hold_run(run) as locked:
            hand_over = partial(_hand_over, locked.run, jobs, own, view)
            return supervise(locked.run, executor, locked.lock, view, hand_over=hand_over)
    except BusyError as error:
        if not _has_successor(run, jobs, own):
            view(f"{error}\ntrying again in {BUSY_PAUSE_S // 60} min")
            _submit_pair(run, jobs, delay_s=BUSY_PAUSE_S)
        return look(run, executor)


def _submit_pair(
    run: Run, jobs: CaretakerJobs, *, after: Sequence[str] = (), delay_s: int = 0
) -> int:
    """Submit a caretaker and its understudy, and return the caretaker's job id.

    Raises:
        ExecutorError: one of them was refused; then neither is submitted.
    """
    job = jobs.submit(run, CaretakerRole.CARETAKER, after=after, delay_s=delay_s)
    try:
        _submit_understudy(run, jobs, job, 0)
    except ExecutorError:
        jobs.cancel(job)
        raise
    return job


def _submit_understudy(run: Run, jobs: CaretakerJobs, job: int, failures: int) -> None:
    if failures < len(PAUSES_MIN):
        jobs.submit(
            run,
            CaretakerRole.UNDERSTUDY,
            failures=failures + 1,
            if_fails=job,
            delay_s=PAUSES_MIN[failures] * 60,
        )


def _hand_over(run: Run, jobs: CaretakerJobs, own: int, say: Say, status: RunStatus) -> bool:
    """Leave the run to the next caretaker, unless there is nothing to wait for.

    A limit of submitted jobs may leave no room for another caretaker. Then this job goes back into
    the queue, which needs none.
    """
    alive = jobs_to_wait_for(status.observation)
    if not alive and not status.waits_for_room:
        return False
    if _has_successor(run, jobs, own):
        say("another caretaker of this run is pending already and takes over")
        return True
    try:
        job = _submit_pair(run, jobs, after=alive, delay_s=0 if alive else BUSY_PAUSE_S)
    except SubmitLimitError as error:
        say(f"no room for the next caretaker, so this one is requeued: {error.words}")
        jobs.requeue(own)
        return True
    when = f"when {', '.join(alive)} have ended" if alive else f"in {BUSY_PAUSE_S // 60} min"
    say(f"job {job} takes over {when}")
    return True


def _has_successor(run: Run, jobs: CaretakerJobs, own: int) -> bool:
    """Tell whether a caretaker is pending that will look after this one.

    One that runs may be about to leave for the same reason, so it does not count.
    """
    return bool(jobs.pending(run, CaretakerRole.CARETAKER) - {own})
