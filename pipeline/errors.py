"""The errors that cross a room, each with the exit code or the cause that it means."""

from enum import StrEnum


class InputError(Exception):
    """Usage, configuration or input is wrong; nothing was spent. Exit code 2."""


class RunError(Exception):
    """Something failed or needs a person. Exit code 1."""


class BusyError(RunError):
    """Another process holds what is needed: nothing is wrong, later will do."""


class Cause(StrEnum):
    """Why a shard is not done. The remedy of each is in `hpc.plan`."""

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
    """Ends a task; its cause and message become the task's last words."""

    def __init__(self, cause: Cause, message: str) -> None:
        super().__init__(message)
        self.cause = cause
