"""Judge Slurm's answers to a submission: whether it took a job, and whether it released one."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from hpc.executors.base import UnansweredError
from hpc.executors.slurm.answers import parse
from hpc.executors.slurm.commands import SlurmError

# An array that was not released begins in a year; Slurm's own estimates look ahead by days.
NOT_RELEASED = timedelta(days=180)
# What Slurm's commands say after they have sent a request and got no answer (slurm_errno.c). The
# controller may have taken it, or take it when it finds the time.
_SENT_WITHOUT_ANSWER = (
    "Socket timed out on send/recv operation",
    "Unable to contact slurm controller (receive failure)",
    "Unable to contact slurm controller (shutdown failure)",
    "Message receive failure",
    "Communication shutdown failure",
    "Zero Bytes were transmitted or received",
    "Unexpected message received",
)


class SubmissionUnansweredError(SlurmError, UnansweredError):
    """sbatch sent a job and has no answer, and squeue does not show the job yet."""


class ReleaseRefusedError(SlurmError):
    """Slurm answered that it does not release an array, which has not started."""


def may_have_been_sent(error: SlurmError) -> bool:
    """Tell whether Slurm may have taken, or may still take, a job that sbatch failed to submit."""
    return error.timed_out or any(words in error.stderr for words in _SENT_WITHOUT_ANSWER)


def unanswered_error(job_name: str, failure: SlurmError) -> SubmissionUnansweredError:
    """Return the error for a job that was sent and that squeue does not show."""
    return SubmissionUnansweredError(
        failure.command,
        f"{failure.code}. Slurm may still accept the job, {job_name}; the next command that "
        "submits for this run looks for it again",
        failure.stdout,
        failure.stderr,
    )


def raise_if_held(
    shown: str, command: Sequence[str], refusal: SlurmError | None, now: datetime
) -> None:
    """Raise what went wrong if an array is still on hold after the command that releases it.

    Args:
        shown: what `scontrol show job` prints about the array after the command.
        command: the command.
        refusal: the command's error; None if it reported success.
        now: the time (UTC).

    Raises:
        ReleaseRefusedError: Slurm answered, and the array still begins in a year.
        SlurmError: Slurm did not answer.
    """
    begins = parse.begin_of_pending(shown)
    is_far = begins is not None and begins - now > NOT_RELEASED
    if refusal is None and is_far:
        refusal = SlurmError(command, f"the array still begins on {begins:%Y-%m-%d}", "", "")
    # Nothing has started: it was not released, whatever else it is waiting for.
    if refusal is None or not (is_far or parse.states_of_job(shown) == {"PENDING"}):
        return
    if refusal.timed_out:
        raise refusal
    raise ReleaseRefusedError(
        refusal.command,
        f"{refusal.code}. Slurm does not release the array, so the array is canceled. If your "
        "site forbids job updates (job_submit plugins), ask it to allow StartTime",
        refusal.stdout,
        refusal.stderr,
    )
