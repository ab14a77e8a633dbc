"""Drive a run to its end."""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager

from hpc.api.call.argument_types import check_argument_types
from hpc.api.call.caller_screen import screen_of
from hpc.api.call.choose_run import RunChoice, find_run
from hpc.api.call.place import HERE, Place
from hpc.api.call.surroundings import library_call
from hpc.api.run_status import StatusResult, describe_look
from hpc.display.interruption import describe_leaving, explain_interruption, on_interruption_say
from hpc.display.next_step import command, describe_next_step
from hpc.executors.factory import executor_of
from hpc.locks.locked_run import hold_run
from hpc.reconcile.look import look
from hpc.reconcile.loop import supervise
from hpc.reconcile.polling.poll_interval import PollInterval
from hpc.run.model.run import Run, Say
from hpc.run.run_folder import load
from hpc.run.run_state import RunStatus
from hpc.run.run_view import RunView, Sight, never_early
from hpc.runs.left_out import report_left_out
from pipeline.progress import Measure, Step

StatusCallback = Callable[[StatusResult], object]
"""Called with the status of the run after each poll."""


@check_argument_types
def wait(
    run: RunChoice = None,
    *,
    at: Place = HERE,
    once: bool = False,
    progress: StatusCallback | None = None,
    say: Say | None = None,
) -> StatusResult:
    """Gather and resubmit until a run is complete or needs a person, as `hpc supervise` does.

    It may be interrupted and called again at any time. Tasks in Slurm go on meanwhile; tasks of
    `executor: local` run inside this call.

    Args:
        run: a run, a result about one, a run's id, name or folder; None: the newest run.
        at: where to look for runs, and which database to use instead of the run's own.
        once: do one round only.
        progress: is called with the status of the run after each poll.
        say: receives each message; `notebook()` also shows how the run is.

    Raises:
        InputError: there is no such run, or every attempt would fail, such as without a key.
        BusyError: another process supervises the run.
        RunError: several rounds in a row failed, or a submission was rejected.
        Interruption: Ctrl-C, or a notebook's button to stop. The message says what goes on.
    """
    screen = screen_of(say)
    with library_call():
        chosen = find_run(run, at=at)
        report_left_out(chosen.folder.parent, screen)
        in_background = executor_of(chosen).runs_in_background
        with (
            hold_run(chosen) as locked,
            explain_interruption(chosen, runs_in_background=in_background),
            screen.watching(describe_leaving(runs_in_background=in_background)) as view,
        ):
            watched = _Watched(view, progress) if progress else view
            executor = executor_of(locked.run)
            end = supervise(locked.run, executor, locked.lock, watched, once=once)
        return describe_look(end)


@check_argument_types
def watch(
    run: RunChoice = None,
    *,
    at: Place = HERE,
    progress: StatusCallback | None = None,
    say: Say | None = None,
) -> StatusResult:
    """Look at a run until it ends or needs a person, as `hpc status --watch` does.

    Nothing is submitted or gathered. The run continues if this is interrupted.

    Args:
        run: a run, a result about one, a run's id, name or folder; None: the newest run.
        at: where to look for runs, and which database to use instead of the run's own.
        progress: is called with the status of the run after each poll.
        say: receives how the run is; `notebook()` shows it as a table that changes in its place.

    Raises:
        InputError: there is no such run.
        RunError: the run cannot be read.
        Interruption: Ctrl-C, or a notebook's button to stop.
    """
    screen = screen_of(say)
    with library_call():
        chosen = find_run(run, at=at)
        report_left_out(chosen.folder.parent, screen)
        following = command("status", chosen, "--watch")
        with (
            on_interruption_say(f"stopped watching; the run continues\nnext: {following}"),
            screen.watching("Ctrl-C quits; the run continues.") as view,
        ):
            watched = _Watched(view, progress) if progress else view
            return describe_look(_look_until_ended(chosen, watched))


def _look_until_ended(run: Run, view: RunView) -> RunStatus:
    """Look until the run ends, and return the last look; show all others."""
    executor, interval = executor_of(run), PollInterval(run.cluster.poll_seconds)
    # Loaded anew: somebody may have corrected the run meanwhile.
    while True:
        began = time.monotonic()
        status = look(load(run.folder), executor)
        if not status.is_under_way:
            return status
        if not status.observation.answered:
            interval.settle()
        view.show(Sight(status=status, next_step=describe_next_step(status, is_gathered=False)))
        view.wait(interval.next_pause_s(time.monotonic() - began))


class _Watched:
    """A view that also hands each look to a function of the caller."""

    def __init__(self, view: RunView, progress: StatusCallback) -> None:
        self._view = view
        self._progress = progress

    def __call__(self, message: str) -> None:
        """Show a message."""
        self._view(message)

    def show(self, sight: Sight) -> None:
        """Show the run, and hand it over."""
        self._view.show(sight)
        self._progress(describe_look(sight.status))

    def wait(self, seconds: float, is_due: Callable[[], bool] = never_early) -> None:
        """Let time pass until the next look is due."""
        self._view.wait(seconds, is_due)

    def step(
        self, what: str, *, total: int | None = None, unit: str = "", measure: Measure | None = None
    ) -> AbstractContextManager[Step]:
        """Show a step of long work."""
        return self._view.step(what, total=total, unit=unit, measure=measure)

    def expect_look(self, seconds: float) -> None:
        """Pass on when the next look is due."""
        self._view.expect_look(seconds)

    @property
    def poll_interval_s(self) -> float:
        """How many seconds should pass between two looks."""
        return self._view.poll_interval_s
