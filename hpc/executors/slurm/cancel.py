"""Cancel the jobs of a run in Slurm.

Jobs are looked for again until none is left: Slurm takes its time (KillWait), and another process
may be submitting. The caretakers go first, because they would submit again. Jobs that squeue does
not show (a restricted wrapper, PrivateData) are canceled by their ids on record.
"""

import os
import shlex
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from msgspec.structs import replace

from hpc.executors.base import Cancellation, CaretakerRole
from hpc.executors.slurm.answers.parse import Record
from hpc.executors.slurm.client import Slurm
from hpc.executors.slurm.commands import SlurmError
from hpc.locks import run_lock
from hpc.run import submissions
from hpc.run.model.arrays import Submission
from hpc.run.model.attempts import Phase, TaskRecord
from hpc.run.model.run import Run, Say
from pipeline.errors import BusyError
from pipeline.text import counted

PATIENCE_S = 120.0
PAUSE_S = 1.0
COMPLETING = "COMPLETING"
_ROLES = {
    CaretakerRole.CARETAKER: "the caretaker",
    CaretakerRole.UNDERSTUDY: "the caretaker's understudy",
}
# A task by the array's job id and its index; the index is None for a job that is no array.
Task = tuple[int, int | None]


@dataclass(slots=True)
class CanceledJobs:
    """The jobs that were found alive, as they were first seen."""

    tasks: dict[Task, TaskRecord] = field(default_factory=dict)
    """Every task that was alive, caretakers included."""
    caretakers: dict[int, CaretakerRole] = field(default_factory=dict)
    """The caretakers and understudies among them, by job id."""
    left: dict[Task, TaskRecord] = field(default_factory=dict)
    """The tasks that have not ended yet."""
    withdrawn: tuple[int, ...] = ()
    """Shards whose submission was recorded and never reached Slurm."""
    by_record: tuple[int, ...] = ()
    """Arrays on record that squeue did not show, and that scancel took."""
    unreached: dict[int, str] = field(default_factory=dict)
    """Jobs that may be alive and were not canceled, with Slurm's words."""
    trouble: str = ""
    """What squeue said if it did not answer."""

    @property
    def is_complete(self) -> bool:
        """Tell whether nothing of the run is alive, as far as Slurm shows it."""
        return not (self.left or self.unreached or self.trouble)

    @property
    def jobs(self) -> list[int]:
        """Return the ids of all jobs, in order."""
        return sorted({job for job, _ in self.tasks})

    @property
    def arrays(self) -> list[int]:
        """Return the ids of the arrays, in order."""
        return [job for job in self.jobs if job not in self.caretakers]

    def running(self) -> int:
        """Count the array tasks that were running."""
        return sum(
            record.phase is Phase.ACTIVE
            for (job, _), record in self.tasks.items()
            if job not in self.caretakers
        )

    def pending(self) -> int:
        """Count the array tasks that were alive and not running."""
        return sum(job not in self.caretakers for job, _ in self.tasks) - self.running()


def cancel_and_report(
    run: Run, slurm: Slurm, say: Say, *, patience_s: float = PATIENCE_S
) -> Cancellation:
    """Cancel every job of the run and say what was canceled, and what was not.

    Raises:
        SlurmError: Slurm does not answer, and no job is on record.
    """
    canceled = cancel_jobs(run, slurm, say, patience_s=patience_s)
    for line in describe_canceled(run, canceled):
        say(line)
    return Cancellation(
        jobs=tuple(sorted({*canceled.jobs, *canceled.by_record} - canceled.unreached.keys())),
        arrays=tuple(sorted({*canceled.arrays, *canceled.by_record})),
        unreached=tuple(sorted(canceled.unreached)),
        is_complete=canceled.is_complete,
    )


def describe_canceled(run: Run, canceled: CanceledJobs) -> list[str]:
    """Return a line for each kind of job that was canceled, or that is still alive."""
    lines = []
    if not (canceled.tasks or canceled.by_record) and canceled.is_complete:
        lines.append(_describe_nothing(run))
    reached = sorted(canceled.caretakers.keys() - canceled.unreached.keys())
    lines += [f"canceled {_ROLES[canceled.caretakers[job]]} (job {job})" for job in reached]
    arrays = [job for job in canceled.arrays if job not in canceled.unreached]
    if arrays:
        lines.append(
            f"canceled array job{'s' if arrays[1:] else ''} {', '.join(map(str, arrays))}: "
            f"{canceled.running():,} running and {counted(canceled.pending(), 'pending task')}"
        )
    if canceled.by_record:
        jobs = ", ".join(map(str, canceled.by_record))
        lines.append(f"canceled {jobs} by the ids on record, as squeue does not show them")
    for (job, index), record in canceled.left.items():
        task = f"job {job}" if index is None else f"task {job}_{index}"
        where = f" on {record.node}" if record.node else ""
        if job not in canceled.unreached:
            lines.append(f"{task} is still {record.slurm_state}{where}; cancel again later")
    for job, words in sorted(canceled.unreached.items()):
        lines.append(f"not canceled: {job}: {words}")
    if canceled.unreached:
        by_hand = " ".join(map(str, sorted(canceled.unreached)))
        lines.append(f"if they are alive, cancel them by hand: scancel {by_hand}")
    if canceled.trouble:
        lines.append(
            f"squeue failed: {canceled.trouble}\n"
            "further jobs of the run, such as a caretaker, may be alive: look for names that begin "
            f"with {submissions.job_prefix(run)}"
        )
    if canceled.withdrawn:
        lines.append(
            f"{counted(len(canceled.withdrawn), 'shard')} never reached Slurm and stay planned: "
            f"supervise submits them, and so does the next submit under {run.manifest.name}"
        )
    return lines


def _describe_nothing(run: Run) -> str:
    if run.original is None:
        return f"run {run.run_id} has no pending or running jobs; nothing to cancel"
    return (
        f"this copy of run {run.run_id} has no pending or running jobs of its own; nothing to "
        f"cancel. To end the jobs of the original: hpc cancel {shlex.quote(str(run.original))}"
    )


def cancel_jobs(
    run: Run, slurm: Slurm, say: Say, *, patience_s: float = PATIENCE_S
) -> CanceledJobs:
    """Cancel every job of the run, and say who holds the run's lock if somebody does.

    Raises:
        SlurmError: Slurm does not answer, and no job is on record.
    """
    search = _Search(run, slurm, patience_s)
    try:
        _cancel_what_squeue_shows(search, run, say)
    except SlurmError as error:
        search.cancel_on_record(error)
    else:
        search.cancel_hidden()
    return search.canceled


def _cancel_what_squeue_shows(search: "_Search", run: Run, say: Say) -> None:
    search.cancel_until_gone(_is_caretaker)
    try:
        with run_lock.lock_run(run):
            search.cancel_until_gone(_is_any)
            search.settle_records()
    except BusyError as error:
        say(
            f"{error}\nits jobs are canceled anyway; a supervise there may submit new ones: stop it"
        )
        search.cancel_until_gone(_is_any)
        time.sleep(PAUSE_S)  # for an sbatch that was under way
        search.cancel_until_gone(_is_any)


# Choose jobs by the end of their names, which follows the run's prefix.
def _is_caretaker(suffix: str) -> bool:
    return suffix in set(CaretakerRole)


def _is_any(suffix: str) -> bool:
    return True


class _Search:
    def __init__(self, run: Run, slurm: Slurm, patience_s: float) -> None:
        self._run = run
        self._slurm = slurm
        self._patience_s = patience_s
        self._prefixes = submissions.job_prefixes(run)
        # A run that was moved has jobs from before, whose names begin otherwise.
        self._names_on_record = {submission.job_name for submission in self._own_submissions()}
        self._jobs_by_name: dict[str, int] = {}
        self._shown: set[int] = set()
        self._refused: set[int] = set()
        self.canceled = CanceledJobs()

    def cancel_until_gone(self, is_chosen: Callable[[str], bool]) -> None:
        """Cancel the chosen jobs until none is alive, or patience ends."""
        deadline = time.monotonic() + self._patience_s
        while True:
            self.canceled.left = self._alive(is_chosen)
            unreached = self.canceled.unreached
            alive = {task: left for task, left in self.canceled.left.items()
                     if task[0] not in unreached}  # fmt: skip
            if not alive or time.monotonic() > deadline:
                return
            # A completing task has its SIGTERM; a second one might end its last flush.
            jobs = {job for (job, _), record in alive.items() if record.slurm_state != COMPLETING}
            for job in sorted(jobs):
                self._cancel(job)
            time.sleep(PAUSE_S)

    def cancel_on_record(self, failure: SlurmError) -> None:
        """Cancel the arrays on record where squeue fails, until accounting shows their ends.

        Raises:
            SlurmError: the failure, if no array is on record.
        """
        jobs = self._recorded_jobs()
        if not jobs:
            raise failure
        self.canceled.trouble = failure.words
        deadline = time.monotonic() + self._patience_s
        self._scancel_hidden(sorted(jobs - self._over(jobs)))
        pending = {*self.canceled.by_record}
        while pending := pending - self._over(pending):
            if time.monotonic() > deadline:
                self.canceled.unreached |= dict.fromkeys(pending, "scancel took it, no end seen")
                return
            time.sleep(PAUSE_S)

    def cancel_hidden(self) -> None:
        """Cancel the arrays on record that squeue does not show, and accounting calls alive."""
        jobs = self._recorded_jobs() - self._shown
        if not jobs:
            return
        try:
            records = self._accounting(jobs)
        except SlurmError:
            return
        self._scancel_hidden(
            sorted({task.job for task, record in records if record.phase is not Phase.ENDED})
        )

    def settle_records(self) -> None:
        """Leave no record that a later command would resume as if nobody had canceled.

        An array that was not released yet counts as submitted (and canceled). A submission that
        never reached Slurm is withdrawn. The caller holds the run's lock.
        """
        withdrawn: list[int] = []
        for submission in submissions.read_submissions(self._run):
            if submission.released_at:
                continue
            job = submission.array_job_id or self._jobs_by_name.get(submission.job_name)
            if job is None and self._may_be_hidden(submission):
                continue
            if job is None:
                submissions.withdraw_submission(self._run, submission)
                withdrawn += submission.plan.shards
            else:
                submissions.write_submission(
                    self._run,
                    replace(submission, array_job_id=job, released_at=datetime.now(UTC)),
                )
        self.canceled.withdrawn = tuple(withdrawn)

    def _may_be_hidden(self, submission: Submission) -> bool:
        """Tell whether the array may be another user's, whom this one cannot see."""
        uid = submission.submitter
        return uid is not None and uid != os.getuid() and self._slurm.hides_jobs()

    def _alive(self, is_chosen: Callable[[str], bool]) -> dict[Task, TaskRecord]:
        alive: dict[Task, TaskRecord] = {}
        for name, identity, record in self._slurm.jobs(""):
            prefix = next(filter(name.startswith, self._prefixes), "")
            if not prefix and name not in self._names_on_record:
                continue
            suffix = name.removeprefix(prefix)
            self._shown.add(identity.job)
            if record.phase is Phase.ENDED or not is_chosen(suffix):
                continue
            self._jobs_by_name[name] = identity.job
            if _is_caretaker(suffix):
                self.canceled.caretakers[identity.job] = CaretakerRole(suffix)
            indices: Sequence[int | None] = identity.indices or (None,)
            alive.update({(identity.job, index): record for index in indices})
        self.canceled.tasks = {**alive, **self.canceled.tasks}
        return alive

    def _cancel(self, job: int) -> None:
        """Cancel a job; only a second refusal counts, as it may just have ended by itself."""
        try:
            self._slurm.cancel([job])
        except SlurmError as error:
            if job in self._refused:
                self.canceled.unreached[job] = error.words
            self._refused.add(job)

    def _recorded_jobs(self) -> set[int]:
        jobs = (submission.array_job_id for submission in self._own_submissions())
        return {job for job in jobs if job is not None}

    def _own_submissions(self) -> list[Submission]:
        """Return the run's own submissions: a copy has records of its original's too."""
        recorded = submissions.read_submissions(self._run)
        return [each for each in recorded if submissions.belongs_to(self._run, each)]

    def _accounting(self, jobs: Iterable[int]) -> tuple[Record, ...]:
        since = min(
            submission.intended_at for submission in submissions.read_submissions(self._run)
        )
        return self._slurm.accounting(sorted(jobs), since).records

    def _over(self, jobs: Collection[int]) -> set[int]:
        """Return the jobs of which accounting knows tasks, and the end of each."""
        try:
            records = self._accounting(jobs) if jobs else ()
        except SlurmError:
            return set()
        known = {task.job for task, _ in records}
        return known - {task.job for task, record in records if record.phase is not Phase.ENDED}

    def _scancel_hidden(self, jobs: Sequence[int]) -> None:
        taken = []
        for job in jobs:
            try:
                self._slurm.cancel([job])
            except SlurmError as error:
                self.canceled.unreached[job] = error.words
            else:
                taken.append(job)
        self.canceled.by_record = tuple(taken)
