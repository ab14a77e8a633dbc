"""Drive a run to its end."""

from hpc.api.caller_screen import screen_of
from hpc.api.choose_run import RunChoice, find_run
from hpc.api.place import HERE, Place
from hpc.api.run_status import StatusResult, describe_look
from hpc.api.surroundings import library_call
from hpc.display.interruption import explained
from hpc.executors.factory import executor_of
from hpc.locks import run_lock
from hpc.reconcile.loop import supervise
from hpc.run.model import Say
from hpc.runs.left_out import report_left_out


def wait(
    run: RunChoice = None, *, at: Place = HERE, once: bool = False, say: Say | None = None
) -> StatusResult:
    """Gather and resubmit until a run is complete or needs a person, as `hpc supervise` does.

    It may be interrupted and called again at any time. Tasks in Slurm go on meanwhile; tasks of
    `executor: local` run inside this call.

    Args:
        run: a run, a result about one, a run's id, name or folder; None: the newest run.
        at: where the runs are, and the database if not the run's own counts.
        once: do one round only.
        say: receives each message; `notebook()` also shows how the run is.

    Raises:
        InputError: there is no such run, or every attempt would fail, such as without a key.
        BusyError: another process supervises the run.
        RunError: several rounds in a row failed, or a submission was rejected.
        Interruption: Ctrl-C, or a notebook's button to stop. The message says what goes on.
    """
    screen = screen_of(say)
    with library_call():
        found = find_run(run, at=at)
        report_left_out(found.folder.parent, screen)
        executor = executor_of(found)
        with (
            run_lock.lock_run(found) as lock,
            explained(found, runs_in_background=executor.runs_in_background),
        ):
            end = supervise(found, executor, lock, screen, once=once)
        return describe_look(end)
