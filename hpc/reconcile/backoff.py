"""Retry after failed rounds of supervision, with longer pauses and a limit."""

import contextlib
import time

import duckdb

from hpc.display.next_step import command
from hpc.display.system_error import describe_briefly, describe_error
from hpc.run.model.run import Run
from hpc.run.run_view import RunView
from pipeline.errors import BusyError, RunError, UnreadableError
from pipeline.text import counted, format_duration


class LeftUnreadError(RunError):
    """Some files could not be read now. Each was already named, and left as it is."""


# Errors that may be over in the next round: a stale handle, a full disk, no memory, no descriptor,
# a database in use. Errors in a configuration or a record are not among them.
PASSING_ERRORS = (
    OSError,
    MemoryError,
    duckdb.IOException,
    duckdb.OutOfMemoryException,
    UnreadableError,
    LeftUnreadError,
    BusyError,
)
# After this many failed rounds in a row, a person has to help. With 30 s between two rounds, as on
# Slurm, they take a quarter of an hour, enough for a file server to restart or fail over.
MOST_FAILED_ROUNDS = 10
# The pause doubles after each failed round, up to this, to spare a system in trouble.
LONGEST_PAUSE_S = 120.0


class Backoff:
    """Counts the failed rounds of one supervising process, and waits after each."""

    def __init__(self, run: Run, view: RunView, *, once: bool) -> None:
        """Begin without a failed round.

        Args:
            run: the run that is supervised.
            view: shows messages, and lets time pass.
            once: whether the first failure ends it, because cron or the like starts the next round.
        """
        self._run = run
        self._view = view
        self._most = 1 if once else MOST_FAILED_ROUNDS
        self._failed = 0
        self._began = 0.0

    def reset(self) -> None:
        """Forget the failures: a round has succeeded."""
        self._failed = 0

    def wait_after(self, error: Exception) -> None:
        """Report an error of PASSING_ERRORS on one line, and wait until it is time to try again.

        Raises:
            BrokenPipeError: nobody reads the messages any more.
            BusyError: every round failed, and the last one because something is in use.
            RunError: every round failed; the message names the file and the next command.
        """
        if isinstance(error, BrokenPipeError):
            raise error
        if not self._failed:
            self._began = time.monotonic()
        self._failed += 1
        if self._failed >= self._most:
            kind = BusyError if isinstance(error, BusyError) else RunError
            raise kind(self._describe_end(error)) from error
        poll_s = self._run.cluster.poll_seconds
        pause_s = max(poll_s, min(poll_s * 2 ** (self._failed - 1), LONGEST_PAUSE_S))
        with contextlib.suppress(OSError):  # the messages may go to the disk that is full
            self._view(
                f"this round failed: {describe_briefly(error)}. The next one starts in "
                f"{format_duration(pause_s)}"
            )
        self._view.wait(pause_s)

    def _describe_end(self, error: Exception) -> str:
        lasted = ""
        if self._failed > 1:
            rounds = counted(self._failed, "round")
            duration = format_duration(time.monotonic() - self._began)
            lasted = f"The last {rounds} failed, over {duration}. "
        again = command("supervise", self._run)
        return f"{describe_error(error)}\n{lasted}Once this works again, run: {again}"
