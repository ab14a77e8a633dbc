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


# Those of Linux that end a task from outside or after a crash. A program may exit with others.
_KILLED_BY = {
    "6": "SIGABRT",
    "7": "SIGBUS",
    "8": "SIGFPE",
    "9": "SIGKILL",
    "11": "SIGSEGV",
    "15": "SIGTERM",
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
    failed = record.exit_code if record.exit_code != "0:0" else None
    details = [describe_exit(failed)] if failed else []
    details += [f"on {record.node}"] if record.node else []
    message = f"{message} ({', '.join(details)})" if details else message
    if record.cause is Cause.CANCELLED and attempt.upstream and not attempt.began:
        # Some sites cancel tasks that can never start (kill_invalid_depend), and say no more.
        jobs = ",".join(attempt.upstream)
        message = f"{message} while it waited for {jobs} to succeed (sacct -j {jobs})"
    return record.cause, message


def describe_exit(exit_code: str) -> str:
    """Return an exit code in words, with the signal that ended a task of Slurm.

    Args:
        exit_code: as Slurm writes it, `CODE:SIGNAL`, or that of a process. Slurm subtracts 128
            from a code above that, so 9:0 is what a shell calls 137.
    """
    code, is_slurm, ended_by = exit_code.partition(":")
    number = code if ended_by == "0" else ended_by
    name = _KILLED_BY.get(number) if is_slurm else None
    return f"killed by {name}, exit code {exit_code}" if name else f"exit code {exit_code}"


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
