"""List why an attempt ended, and what is done about each cause. Pure."""

from enum import StrEnum

from hpc.run.model.attempts import Attempt, TaskRecord
from pipeline.errors import Cause


class Remedy(StrEnum):
    """What `hpc.run.remedies` does for a shard's next attempt."""

    MORE_MEMORY = "more_memory"
    MORE_TIME = "more_time"
    ELSEWHERE = "elsewhere"
    LATER = "later"
    WHEN_BACK = "when_back"
    AGAIN = "again"
    ASK = "ask"


REMEDY: dict[Cause, Remedy] = {
    Cause.OUT_OF_MEMORY: Remedy.MORE_MEMORY,
    Cause.TIMEOUT: Remedy.MORE_TIME,
    Cause.NODE: Remedy.ELSEWHERE,
    Cause.ENVIRONMENT: Remedy.ASK,
    Cause.PREEMPTED: Remedy.AGAIN,
    Cause.CRASHED: Remedy.AGAIN,
    Cause.THROTTLED: Remedy.LATER,
    Cause.UNAVAILABLE: Remedy.WHEN_BACK,
    Cause.NO_OUTPUT: Remedy.AGAIN,
    Cause.LOST: Remedy.AGAIN,
    Cause.CANCELLED: Remedy.ASK,
    Cause.REFUSED: Remedy.ASK,
}


def remedy(cause: Cause) -> Remedy:
    """Return what is done about a cause."""
    return REMEDY[cause]


def cause_of(attempt: Attempt) -> Cause:
    """Return why an attempt that is over ended."""
    return why_ended(attempt)[0]


def why_ended(attempt: Attempt) -> tuple[Cause, str]:
    """Return why an attempt that is over ended, and the same in words.

    The task's own last words count if there are any, else what it means that it ended before its
    first line, else the executor's record.
    """
    if attempt.words:
        return attempt.words.cause, attempt.words.message
    if attempt.early_end:
        return attempt.early_end.cause, attempt.early_end.message
    record = attempt.record
    if record is None or record.cause is None:
        keeper = "Slurm has" if attempt.task else "there is"
        return Cause.LOST, f"{keeper} no record of {task_name(attempt)}"
    message = f"{task_name(attempt)} {_how_it_ended(record)}"
    details = [f"exit code {record.exit_code}"] if record.exit_code not in (None, "0:0") else []
    details += [f"on {record.node}"] if record.node else []
    message = f"{message} ({', '.join(details)})" if details else message
    if record.cause is Cause.CANCELLED and attempt.upstream and not attempt.began:
        # Some sites cancel tasks that can never start (kill_invalid_depend), and say no more.
        jobs = ",".join(attempt.upstream)
        message = f"{message} while it waited for {jobs} to succeed (sacct -j {jobs})"
    return record.cause, message


def _how_it_ended(record: TaskRecord) -> str:
    """Return how a task ended by its record, which may show in three ways that memory ran out."""
    ended = f"ended as {record.slurm_state}"
    if record.cause is not Cause.OUT_OF_MEMORY:
        return ended
    if record.slurm_state.upper().startswith("OUT_OF_ME"):
        return f"ran out of memory: it {ended}"
    # Slurm calls the task FAILED if it was one of its steps, or a process, that was killed.
    if (record.exit_code or "").endswith(":125"):
        return f"ran out of memory, as its exit code says: it {ended}"
    return f"ran out of memory, as Slurm's record of one of its steps says: it {ended}"


def task_name(attempt: Attempt) -> str:
    """Return what messages call the task of an attempt: Slurm's name, or its submission."""
    if attempt.task:
        return f"task {attempt.task}"
    return f"the process of submission {attempt.number}"


def attempt_title(place: int, attempt: Attempt) -> str:
    """Return `attempt 2 (submission 3)`: a shard is in some of the run's submissions only.

    Args:
        place: which of the shard's attempts it is, from 1.
        attempt: the attempt.
    """
    return f"attempt {place} (submission {attempt.number})"
