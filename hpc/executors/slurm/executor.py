"""Run tasks as jobs of a Slurm cluster."""

import contextlib
import os
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from msgspec.structs import replace

from hpc.executors.base import (
    Cancellation,
    CaretakerRole,
    ExecutorError,
    ResourceCheck,
    TaskQuery,
    UnrecordedJobs,
)
from hpc.executors.node_jobs import SubmissionTest
from hpc.executors.slurm import submit
from hpc.executors.slurm.cancel import PATIENCE_S, cancel_and_report
from hpc.executors.slurm.caretaker_jobs import SlurmCaretakerJobs
from hpc.executors.slurm.checks.node_jobs import SlurmNodeJobs
from hpc.executors.slurm.checks.try_submission import try_submission
from hpc.executors.slurm.client import Slurm
from hpc.executors.slurm.commands import SlurmError, check_programs
from hpc.executors.slurm.limits.partitions import check_resources, limits_of
from hpc.executors.slurm.limits.read_submit_limits import read_submit_limits
from hpc.executors.slurm.query import query_tasks
from hpc.executors.slurm.unrecorded import find_unrecorded
from hpc.executors.slurm.upstream import check_upstream
from hpc.run.cluster.resources import Cluster, ExecutorName, Resources
from hpc.run.model.arrays import Limits, Submission, SubmitLimit
from hpc.run.model.attempts import Attempt, Phase, Records
from hpc.run.model.run import Run, Say
from hpc.run.submissions import job_prefixes, read_submissions
from pipeline import files, limits
from pipeline.run_files.manifest import log_path
from pipeline.system.ownership import user_name

# When Slurm last answered in full, in the run's folder.
ANSWERED = ".slurm-answered"
# The cluster that a run was first submitted to, in the run's folder, if its configuration names
# none. Sites with several clusters often share the file systems of all.
CLUSTER = ".slurm-cluster"
# The flag of a QOS whose jobs may run for longer than the partition allows (sacctmgr(1)).
_LIFTS_TIME_LIMIT = "PartitionTimeLimit"


class SlurmExecutor:
    """Runs each submission as a job array."""

    name = ExecutorName.SLURM
    runs_in_background = True
    reserves_resources = True

    def __init__(self, slurm: Slurm, *, cancel_patience_s: float = PATIENCE_S) -> None:
        self._slurm = slurm
        self._cancel_patience_s = cancel_patience_s

    def array_size(self) -> int:
        """Return Slurm's MaxArraySize."""
        return self._slurm.array_size()

    def query(
        self, run: Run, submissions: Sequence[Submission], *, lock_is_ours: bool
    ) -> TaskQuery:
        """Ask squeue and sacct once each, and remember when both answered."""
        now = datetime.now(UTC)
        caretakers = [prefix + CaretakerRole.CARETAKER for prefix in job_prefixes(run)]
        records, trouble, caretaker = query_tasks(self._slurm, submissions, caretakers)
        if submissions and not records and trouble is None:
            try:
                trouble = self._describe_other_cluster(run)
            except SlurmError as error:
                trouble = error.words
        hidden: dict[int, str] = {}
        try:
            hidden = self._describe_hidden(submissions, records)
        except SlurmError as error:
            trouble = trouble or error.words
        if submissions and trouble is None:
            _remember_answer(run.folder, now)
        last_answer = _last_answer(run.folder)
        return TaskQuery(
            records=records,
            trouble=trouble,
            last_answer=last_answer,
            hidden=hidden,
            caretaker=caretaker,
        )

    def has_live_jobs(self, run: Run) -> bool:
        """Ask squeue for jobs by the prefixes of their names."""
        jobs = self._slurm.jobs(job_prefixes(run))
        return any(record.phase is not Phase.ENDED for _, _, record in jobs)

    def limits(self, run: Run) -> Limits:
        """Return the partition's limits, without the nodes that the configuration excludes."""
        resources = run.cluster.resources
        limits = limits_of(self._slurm.partitions(), resources.partition)
        return limits.without_nodes(resources.exclude)

    def time_limit(self, resources: Resources) -> int | None:
        """Return what each task requests."""
        return resources.time_min

    def submit_limits(self, cluster: Cluster) -> tuple[SubmitLimit, ...]:
        """Ask Slurm for the limits and for what counts against them now."""
        return read_submit_limits(self._slurm, cluster)

    def check_resources(self, resources: Resources) -> ResourceCheck:
        """Ask sinfo. A quality of service may lift the time limit of partitions."""
        check = check_resources(resources, self._slurm.partitions())
        if not resources.qos or "time_min" not in check.problems:
            return check
        if _LIFTS_TIME_LIMIT not in self._slurm.qos_flags(resources.qos):
            return check
        problems = {key: why for key, why in check.problems.items() if key != "time_min"}
        return replace(check, problems=problems)

    def render_script(self, run: Run, submission: Submission) -> str:
        """Return the batch script of the array, as submitit writes it."""
        return submit.render_script(run, submission)

    def test_submission(self, run: Run, submission: Submission) -> SubmissionTest:
        """Ask `sbatch --test-only`."""
        return try_submission(self._slurm, self.render_script(run, submission), run.cluster)

    def node_jobs(self) -> SlurmNodeJobs:
        """Return single jobs that request what a task requests."""
        return SlurmNodeJobs(self._slurm)

    def submit(
        self, run: Run, intents: Sequence[Submission], recorded: Sequence[Submission], lock: int
    ) -> tuple[Submission, ...]:
        """Submit the arrays on hold, write their tasks' orders, and release them."""
        self._stay_on_cluster(run)
        return submit.submit_arrays(run, self._slurm, intents, recorded, lock)

    def check_upstream(self, jobs: Sequence[str]) -> tuple[str, ...]:
        """Ask squeue and sacct."""
        return check_upstream(self._slurm, jobs)

    def resume(self, run: Run, recorded: Sequence[Submission], lock: int) -> tuple[Submission, ...]:
        """Find the arrays of unfinished submissions by their names, and finish them."""
        self._stay_on_cluster(run)
        return submit.resume_arrays(run, self._slurm, recorded, lock)

    def find_unrecorded(self, run: Run, recorded: Sequence[Submission]) -> UnrecordedJobs:
        """Find them by the names of their jobs."""
        return find_unrecorded(run, self._slurm, recorded)

    def hides_jobs_of(self, uid: int) -> bool:
        """Ask Slurm for PrivateData, unless the jobs are this user's own."""
        return uid != os.getuid() and self._slurm.hides_jobs()

    def check_programs(self) -> None:
        """Look for Slurm's commands on PATH."""
        check_programs()

    def run_to_end(
        self,
        run: Run,
        submissions: Sequence[Submission],
        lock: int,
        say: Say,
        meanwhile: Callable[[], None] = lambda: None,
    ) -> bool:
        """Leave the tasks to Slurm."""
        return False

    def requeue(self, attempt: Attempt) -> None:
        """Put a running task back into the queue."""
        if attempt.array_job_id is not None:
            self._slurm.requeue(attempt.array_job_id, attempt.array_task_index)

    def start_now(self, attempts: Sequence[Attempt]) -> None:
        """Set the start time of the array's tasks to now."""
        jobs = {attempt.array_job_id for attempt in attempts}
        indices = [attempt.array_task_index for attempt in attempts]
        for job in jobs:
            if job is not None:
                self._slurm.start_now(job, indices)

    def cancel_pending(self, jobs: Sequence[int]) -> None:
        """Cancel the pending tasks of arrays."""
        self._slurm.cancel_waiting(jobs)

    def cancel(self, run: Run, say: Say) -> Cancellation:
        """Cancel the caretakers first, then every other job, until none is alive."""
        try:
            other = self._describe_other_cluster(run)
        except SlurmError as error:
            # On another cluster, the ids on record may be those of other jobs.
            raise ExecutorError(f"{error}{_cancel_by_hand(run)}", error.words) from error
        if other:
            raise ExecutorError(other, other)
        return cancel_and_report(run, self._slurm, say, patience_s=self._cancel_patience_s)

    def log_file(self, run: Run, shard: int, attempt: Attempt) -> Path | None:
        """Return submitit's log, which holds the batch script's output too (submitit 1.5.4)."""
        if attempt.task is None:
            return None
        return log_path(run.folder, attempt.number) / f"{attempt.task}_0_log.out"

    def task_files(self, run: Run, shard: int, attempt: Attempt) -> tuple[Path, ...]:
        """Return submitit's order and result (submitit 1.5.4, JobPaths)."""
        if attempt.task is None:
            return ()
        folder = log_path(run.folder, attempt.number)
        return tuple(
            folder / f"{attempt.task}_{ending}" for ending in ("submitted.pkl", "0_result.pkl")
        )

    def caretaker_jobs(self) -> SlurmCaretakerJobs:
        """Return the caretakers as small Slurm jobs."""
        return SlurmCaretakerJobs(self._slurm)

    def _describe_hidden(
        self, submissions: Sequence[Submission], records: Records
    ) -> dict[int, str]:
        """Return why tasks without a record may be alive, by the number of their submission.

        Raises:
            SlurmError: Slurm does not say whether it hides the jobs of others.
        """
        incomplete = [
            submission
            for submission in submissions
            if any((submission.number, index) not in records for index in submission.plan.indices)
        ]
        return {
            submission.number: describe_owner(submission.submitter)
            for submission in incomplete
            if submission.submitter is not None and self.hides_jobs_of(submission.submitter)
        }

    def _stay_on_cluster(self, run: Run) -> None:
        """Record the cluster of the first submission; refuse later ones anywhere else."""
        path = run.folder / CLUSTER
        if other := self._describe_other_cluster(run):
            raise ExecutorError(other, other)
        is_new = run.cluster.cluster_name is None and not path.exists()
        if is_new and (here := self._slurm.local_name()):
            files.write_text(path, here)

    def _describe_other_cluster(self, run: Run) -> str | None:
        """Return that this machine's cluster is not the run's; None if it is, as far as known.

        An empty answer of the wrong cluster looks like the end of every task.
        """
        path = run.folder / CLUSTER
        if run.cluster.cluster_name is not None or not path.exists():
            return None
        recorded, here = _read_words(path), self._slurm.local_name()
        if here in (recorded, ""):
            return None
        return (
            f"the run was submitted to cluster {recorded}, and this is cluster {here}: use a login "
            f"node of {recorded}"
        )


def describe_owner(uid: int) -> str:
    """Return whose jobs are hidden, and what to do about that, as a sentence."""
    owner = user_name(uid)
    return (
        f"{owner} submitted it, and this cluster shows jobs only to their owners (PrivateData), so "
        f"it may be pending or running: ask {owner} to run hpc status or hpc supervise"
    )


def _remember_answer(folder: Path, answered_at: datetime) -> None:
    # Losing it costs only the time in a message: a reader without write access does without.
    with contextlib.suppress(OSError):
        files.write_text(folder / ANSWERED, answered_at.isoformat())


def _last_answer(folder: Path) -> datetime | None:
    try:
        return datetime.fromisoformat(_read_words(folder / ANSWERED))
    except (OSError, ValueError):
        return None


def _read_words(path: Path) -> str:
    """Return what a small file says. Raises OSError."""
    return limits.read_file(path, limits.NOTE_BYTES).decode(errors="replace").strip()


def _cancel_by_hand(run: Run) -> str:
    """Return how to cancel the arrays on record without us, to follow an error."""
    jobs = [each.array_job_id for each in read_submissions(run) if each.array_job_id is not None]
    if not jobs:
        return ""
    cluster = f", on cluster {_read_words(run.folder / CLUSTER)}"
    return (
        "\n  nothing is canceled: run the same command again once Slurm answers, or cancel the "
        f"jobs by hand{cluster}: scancel {' '.join(map(str, jobs))}"
    )
