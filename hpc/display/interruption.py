"""Say what goes on after Ctrl-C, and which command continues."""

import contextlib
from collections.abc import Iterator

from hpc.display.next_step import command
from hpc.run.model.run import Run
from pipeline.errors import Interruption


@contextlib.contextmanager
def saying(message: str) -> Iterator[None]:
    """Let an interruption of the block say this, unless it says something already."""
    try:
        yield
    except Interruption:
        raise
    except KeyboardInterrupt:
        raise Interruption(message) from None


def explained(run: Run, *, runs_in_background: bool) -> contextlib.AbstractContextManager[None]:
    """Let an interruption of work on a run say how to continue with it.

    Args:
        run: the run.
        runs_in_background: whether its tasks run without this process.
    """
    return saying(_describe(run, runs_in_background=runs_in_background))


def explained_submission(
    run: Run, *, runs_in_background: bool
) -> contextlib.AbstractContextManager[None]:
    """Let an interruption say how to continue with a run of which some jobs may be submitted.

    The arguments are those of `explained`.
    """
    if not runs_in_background:
        return explained(run, runs_in_background=False)
    return saying(
        "interrupted; jobs that Slurm has accepted keep running\n"
        f"to submit the others: {command('supervise', run)}\n"
        f"to end the jobs: {command('cancel', run)}"
    )


def what_leaving_does(*, runs_in_background: bool) -> str:
    """Return what Ctrl-C does to the tasks of a run, as a sentence."""
    if runs_in_background:
        return "Ctrl-C quits; tasks keep running."
    return "Ctrl-C stops the tasks, which save their answers first."


def _describe(run: Run, *, runs_in_background: bool) -> str:
    supervise = command("supervise", run)
    if not runs_in_background:
        return (
            "interrupted; the tasks on this machine save their answers and stop\n"
            f"to resume: {supervise}"
        )
    return (
        "interrupted; the jobs in Slurm keep running\n"
        f"to continue here: {supervise}\n"
        f"to end the jobs: {command('cancel', run)}"
    )
