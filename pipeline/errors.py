"""Define the errors that cross modules, each with its exit code or its cause."""

import signal
from enum import StrEnum
from pathlib import Path

ENDED_BY_SIGNAL = 128 + signal.SIGTERM
"""The exit code of a task that was asked to stop, as a shell reports it."""


class InputError(Exception):
    """Usage, configuration or input is wrong; nothing was spent. Exit code 2."""


class RunError(Exception):
    """Something failed or needs a person. Exit code 1."""


class BusyError(RunError):
    """Another process holds what is needed. Nothing is wrong: try again later."""


class UnreadableError(RunError):
    """A file cannot be read now: a stale handle, no permission, no memory.

    The problem is on the reader's side and says nothing about the file. The file must not count as
    missing or damaged, and must not be replaced or moved away.
    """

    def __init__(self, path: Path, reason: Exception) -> None:
        """Keep the file, and the error that the system gave."""
        self.why = getattr(reason, "strerror", None) or str(reason) or type(reason).__name__
        super().__init__(f"{path} cannot be read now: {self.why}")
        self.path = path
        self.reason = reason


class DamagedError(RunError):
    """A file was read, and its content proves that it is not what it should be."""

    def __init__(self, path: Path, problem: str) -> None:
        """Keep the file, and what is wrong with it, such as "it cannot be decoded"."""
        super().__init__(f"{path} is damaged: {problem}")
        self.path = path
        self.problem = problem


class Interruption(KeyboardInterrupt):
    """Ctrl-C or SIGTERM, with a message that says how to continue. Exit code 130."""

    def __init__(self, message: str, *, continues_by_repeating: bool = False) -> None:
        """Keep the message, and whether it ends by advising to run the same command."""
        super().__init__(message)
        self.continues_by_repeating = continues_by_repeating


class Cause(StrEnum):
    """Why a shard is not done. `hpc.run.causes` maps each cause to its remedy."""

    OUT_OF_MEMORY = "out_of_memory"
    TIMEOUT = "timeout"
    NODE = "node"
    ENVIRONMENT = "environment"
    PREEMPTED = "preempted"
    CRASHED = "crashed"
    THROTTLED = "throttled"
    UNAVAILABLE = "unavailable"
    NO_OUTPUT = "no_output"
    LOST = "lost"
    CANCELLED = "cancelled"
    REFUSED = "refused"


class TaskError(Exception):
    """Ends a task; its cause and message become the task's last words."""

    def __init__(
        self,
        cause: Cause,
        message: str,
        *,
        blames_post: bool = False,
        stops_run: bool | None = None,
    ) -> None:
        """Create the error.

        Args:
            cause: why the task ends.
            message: what a person reads.
            blames_post: the post in flight may have ended the task, and may end the next one too.
            stops_run: the other shards would fail in the same way and should not be tried. By
                default True exactly if the cause is `refused`.
        """
        super().__init__(message)
        self.cause = cause
        self.blames_post = blames_post
        self.stops_run = cause is Cause.REFUSED if stops_run is None else stops_run
