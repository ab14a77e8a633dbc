"""The errors that cross a room, each with the exit code or the cause that it means."""

from enum import StrEnum


class InputError(Exception):
    """Usage, configuration or input is wrong; nothing was spent. Exit code 2."""


class RunError(Exception):
    """Something failed or needs a person. Exit code 1."""


class BusyError(RunError):
    """Another process holds what is needed: nothing is wrong, later will do."""


class Cause(StrEnum):
    """Why a shard is not done. The remedy of each is in `hpc.run.plan`."""

    OUT_OF_MEMORY = "out_of_memory"
    TIMEOUT = "timeout"
    NODE = "node"
    PREEMPTED = "preempted"
    CRASHED = "crashed"
    THROTTLED = "throttled"
    NO_OUTPUT = "no_output"
    LOST = "lost"
    CANCELLED = "cancelled"
    REFUSED = "refused"


class TaskError(Exception):
    """Ends a task; its cause and message become the task's last words.

    Args:
        blames_post: the post in hand may be what ended the task, and may end the next one too.
        stops_run: the other shards would fare no better, and should not be tried. Left out, it is
            so exactly where the cause is `refused`.
    """

    def __init__(
        self,
        cause: Cause,
        message: str,
        *,
        blames_post: bool = False,
        stops_run: bool | None = None,
    ) -> None:
        super().__init__(message)
        self.cause = cause
        self.blames_post = blames_post
        self.stops_run = cause is Cause.REFUSED if stops_run is None else stops_run
