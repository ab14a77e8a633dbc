"""Say what goes on after Ctrl-C, and which command continues."""

import contextlib
from collections.abc import Iterator

from hpc.display.next_step import command
from hpc.run.model.run import Run
from pipeline.errors import Interruption


@contextlib.contextmanager
def on_interruption_say(message: str, *, continues_by_repeating: bool = False) -> Iterator[None]:
    """Make Ctrl-C in the block raise Interruption with this message, unless it has one already.

    Args:
        message: what goes on, and how to continue.
        continues_by_repeating: whether it ends by advising to run the same command.
    """
    try:
        yield
    except Interruption:
        raise
    except KeyboardInterrupt:
        raise Interruption(message, continues_by_repeating=continues_by_repeating) from None


def explain_interruption(
    run: Run, *, runs_in_background: bool
) -> contextlib.AbstractContextManager[None]:
    """Make Ctrl-C in the block say how to continue with a run.

    Args:
        run: the run.
        runs_in_background: whether its tasks run without this process.
    """
    return on_interruption_say(_describe(run, runs_in_background=runs_in_background))


def explain_canary_interruption(
    run: Run, *, runs_in_background: bool
) -> contextlib.AbstractContextManager[None]:
    """Make Ctrl-C in the block say how to continue with a canary: by the same command.

    `supervise` would only finish the canary, and neither report on it nor submit what follows.
    The arguments are those of `explain_interruption`.
    """
    lines = ["interrupted; the tasks on this machine save their answers and stop"]
    if runs_in_background:
        lines = [
            "interrupted; the jobs in Slurm keep running",
            f"to end the jobs: {command('cancel', run)}",
        ]
    message = "\n".join([*lines, "to resume the canary, run the same command"])
    return on_interruption_say(message, continues_by_repeating=True)


def explain_submission_interruption(
    run: Run, *, runs_in_background: bool
) -> contextlib.AbstractContextManager[None]:
    """Make Ctrl-C in the block say how to continue with a run whose jobs may be in part submitted.

    The arguments are those of `explain_interruption`.
    """
    if not runs_in_background:
        return explain_interruption(run, runs_in_background=False)
    return on_interruption_say(
        "interrupted; jobs that Slurm has accepted keep running\n"
        f"to submit the others: {command('supervise', run)}\n"
        f"to end the jobs: {command('cancel', run)}"
    )


def describe_leaving(*, runs_in_background: bool) -> str:
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
