"""Why an attempt ended, and what is done about each cause. Pure."""

from enum import StrEnum

from hpc.run.model import Attempt
from pipeline.errors import Cause


class Remedy(StrEnum):
    """What `hpc.run.remedies` does for a shard's next attempt."""

    MORE_MEMORY = "more_memory"
    MORE_TIME = "more_time"
    ELSEWHERE = "elsewhere"
    LATER = "later"
    AGAIN = "again"
    ASK = "ask"


REMEDY: dict[Cause, Remedy] = {
    Cause.OUT_OF_MEMORY: Remedy.MORE_MEMORY,
    Cause.TIMEOUT: Remedy.MORE_TIME,
    Cause.NODE: Remedy.ELSEWHERE,
    Cause.PREEMPTED: Remedy.AGAIN,
    Cause.CRASHED: Remedy.AGAIN,
    Cause.THROTTLED: Remedy.LATER,
    Cause.NO_OUTPUT: Remedy.AGAIN,
    Cause.LOST: Remedy.AGAIN,
    Cause.CANCELLED: Remedy.ASK,
    Cause.REFUSED: Remedy.ASK,
}


def remedy(cause: Cause) -> Remedy:
    """Return what is done about a cause."""
    return REMEDY[cause]


def why_ended(attempt: Attempt) -> tuple[Cause, str]:
    """Of an attempt that is over: the task's own last words if any, else Slurm's state."""
    if attempt.words:
        return attempt.words.cause, attempt.words.message
    record = attempt.record
    if record is None or record.cause is None:
        return Cause.LOST, f"there is no record of {task_name(attempt)} anywhere"
    shown = f"{task_name(attempt)} ended as {record.slurm_state}"
    details = [f"exit code {record.exit_code}"] if record.exit_code not in (None, "0:0") else []
    details += [f"on {record.node}"] if record.node else []
    return record.cause, f"{shown} ({', '.join(details)})" if details else shown


def task_name(attempt: Attempt) -> str:
    """Return what messages call an attempt: Slurm's name of its task, or its number."""
    return f"task {attempt.task}" if attempt.task else f"attempt {attempt.number}"
