"""Ask Slurm once about many runs, and answer from that for each of them.

A list of a thousand runs would otherwise call squeue and sacct a thousand times, which has frozen
clusters. If Slurm does not answer, it is not asked again either.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TypeVar

from hpc.executors.slurm.client import BEFORE, Prefix, QueryResult, Slurm
from hpc.executors.slurm.commands import SlurmError
from hpc.run.array_indices import TaskId
from hpc.run.model.arrays import Submission
from hpc.run.model.attempts import TaskRecord

T = TypeVar("T")
# Linux lets one argument have 128 KiB, and a name has up to 100 bytes.
_NAMES_PER_CALL = 1000
# A job id has up to 9 bytes.
_JOBS_PER_CALL = 10_000


class SharedAnswers(Slurm):
    """Answers the questions about the tasks of some submissions, each from one look at Slurm."""

    def __init__(self, submissions: Sequence[Submission], *, cluster_name: str | None) -> None:
        """Remember whom to ask about.

        Args:
            submissions: all submissions that anybody will ask about, of any run.
            cluster_name: the cluster that all commands go to; None for that of this machine.
        """
        super().__init__(cluster_name=cluster_name)
        self._names = sorted({submission.job_name for submission in submissions})
        self._jobs = sorted(
            {each.array_job_id for each in submissions if each.array_job_id is not None}
        )
        self._since = min((each.intended_at for each in submissions), default=None)
        self._answers: dict[str, object] = {}

    def queue(self, names: Sequence[str], caretakers: Sequence[str] = ()) -> QueryResult:
        """Return what the controller knows of the jobs of all submissions, without caretakers."""
        if not set(names) <= set(self._names):
            return super().queue(names)

        def ask() -> QueryResult:
            parts = _chunks(self._names, _NAMES_PER_CALL)
            results = [super(SharedAnswers, self).queue(part) for part in parts]
            return QueryResult(records=tuple(row for each in results for row in each.records))

        return self._once("queue", ask)

    def accounting(self, jobs: Sequence[int], since: datetime) -> QueryResult:
        """Return what accounting knows of these arrays since that time."""
        first = self._since
        if first is None or not set(jobs) <= set(self._jobs):
            return super().accounting(jobs, since)

        def ask() -> QueryResult:
            parts = _chunks(self._jobs, _JOBS_PER_CALL)
            results = [super(SharedAnswers, self).accounting(part, first) for part in parts]
            return QueryResult(
                records=tuple(row for each in results for row in each.records),
                off=any(each.off for each in results),
            )

        answer = self._once("accounting", ask)
        wanted = set(jobs)
        # An older job may have had the same id.
        records = tuple(
            (task, record)
            for task, record in answer.records
            if task.job in wanted
            and (record.submitted_at is None or record.submitted_at >= since - BEFORE)
        )
        return QueryResult(records=records, off=answer.off)

    def jobs(self, prefix: Prefix) -> tuple[tuple[str, TaskId, TaskRecord], ...]:
        """Return name, id and record of the jobs whose names begin with one of these prefixes."""
        listing = self._once("jobs", lambda: super(SharedAnswers, self).jobs(""))
        return tuple(job for job in listing if job[0].startswith(prefix))

    def local_name(self) -> str:
        """Return the name of the cluster."""
        return self._once("local_name", lambda: super(SharedAnswers, self).local_name())

    def hides_jobs(self) -> bool:
        """Tell whether this user sees no jobs but their own."""
        return self._once("hides_jobs", lambda: super(SharedAnswers, self).hides_jobs())

    def _once(self, question: str, ask: Callable[[], T]) -> T:
        """Return the answer to a question, or raise the error that it had, asking at most once."""
        if question not in self._answers:
            try:
                self._answers[question] = ask()
            except SlurmError as error:
                self._answers[question] = error
        answer = self._answers[question]
        if isinstance(answer, SlurmError):
            raise answer
        return answer  # type: ignore[return-value]


def _chunks(values: Sequence[T], size: int) -> list[Sequence[T]]:
    return [values[first : first + size] for first in range(0, len(values), size)]
