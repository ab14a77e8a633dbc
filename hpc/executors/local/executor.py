"""Run tasks on this machine, one process each."""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from msgspec.structs import replace

from hpc.executors.base import (
    Cancellation,
    CaretakerJobs,
    ResourceCheck,
    TaskQuery,
    UnrecordedJobs,
)
from hpc.executors.local import stop, tasks
from hpc.executors.local.task_record import read_records, record_path
from hpc.executors.node_jobs import NodeJobs, SubmissionTest
from hpc.executors.waits import show_wait
from hpc.locks import run_lock
from hpc.run.cluster.resources import Cluster, ExecutorName, Resources
from hpc.run.model.arrays import Limits, Submission, SubmitLimit
from hpc.run.model.attempts import Attempt, Phase
from hpc.run.model.run import Run, Say
from hpc.run.submissions import read_submissions, write_submission
from hpc.traces.packed_tasks import packed_shards, read_packed_tasks, without_packed
from pipeline.backlog import shards
from pipeline.errors import InputError
from pipeline.messages.options import AFTER
from pipeline.text import counted


class LocalExecutor:
    """Runs each submission's tasks in this process's name, up to the throttle at a time."""

    name = ExecutorName.LOCAL
    runs_in_background = False
    reserves_resources = False

    def array_size(self) -> int:
        """Return the largest number of shards: one array holds any run."""
        return shards.MAX_SHARDS

    def query(
        self, run: Run, submissions: Sequence[Submission], *, lock_is_ours: bool
    ) -> TaskQuery:
        """Read the tasks' records. Whoever holds the lock may have tasks alive, or pending."""
        with show_wait("looking at the tasks on this machine"):
            in_use = not lock_is_ours and run_lock.is_locked(run)
            return TaskQuery(records=read_records(run, submissions, in_use=in_use))

    def has_live_jobs(self, run: Run) -> bool:
        """Return False: every task has a record."""
        return False

    def limits(self, run: Run) -> Limits:
        """Return no limits: this executor does not enforce any."""
        return Limits()

    def time_limit(self, resources: Resources) -> int | None:
        """Return None: tasks run for as long as they need."""
        return None

    def submit_limits(self, cluster: Cluster) -> tuple[SubmitLimit, ...]:
        """Return no limits: tasks start one after another."""
        return ()

    def check_upstream(self, jobs: Sequence[str]) -> tuple[str, ...]:
        """Accept none: a process on this machine cannot wait for a Slurm job.

        Raises:
            InputError: there are any.
        """
        if jobs:
            raise InputError(
                f"{AFTER} waits for a Slurm job, and cluster.executor is local: its tasks start at "
                "once"
            )
        return ()

    def check_resources(self, resources: Resources) -> ResourceCheck:
        """Accept everything: the resources are Slurm's, and are not used here."""
        return ResourceCheck()

    def render_script(self, run: Run, submission: Submission) -> str:
        """Return '': this program starts the tasks itself."""
        return ""

    def test_submission(self, run: Run, submission: Submission) -> SubmissionTest:
        """Accept everything: nobody else decides."""
        return SubmissionTest(is_accepted=True)

    def node_jobs(self) -> NodeJobs | None:
        """Return None: the tasks run on this machine."""
        return None

    def submit(
        self, run: Run, intents: Sequence[Submission], recorded: Sequence[Submission], lock: int
    ) -> tuple[Submission, ...]:
        """Record the submissions as released; `run_to_end` runs them."""
        now = datetime.now(UTC)
        return tuple(
            write_submission(run, replace(submission, released_at=now)) for submission in intents
        )

    def resume(self, run: Run, recorded: Sequence[Submission], lock: int) -> tuple[Submission, ...]:
        """Return nothing: a shard whose submission was not released counts as planned."""
        return ()

    def find_unrecorded(self, run: Run, recorded: Sequence[Submission]) -> UnrecordedJobs:
        """Return nothing: only the heartbeats of tasks show what no record names."""
        return UnrecordedJobs()

    def hides_jobs_of(self, uid: int) -> bool:
        """Return False: whoever holds the run's lock sees all of its tasks."""
        return False

    def check_programs(self) -> None:
        """Accept: this program runs the tasks itself."""

    def run_to_end(
        self,
        run: Run,
        submissions: Sequence[Submission],
        lock: int,
        say: Say,
        meanwhile: Callable[[], None] = lambda: None,
    ) -> bool:
        """Run the arrays one after another, each after the delay that its plan asks for."""
        for submission in submissions:
            time.sleep(submission.plan.delay_s)
            tasks.run_array(run, submission, lock, say, meanwhile)
        return True

    def requeue(self, attempt: Attempt) -> None:
        """Do nothing: a stalled task ends with the process that started it."""

    def start_now(self, attempts: Sequence[Attempt]) -> None:
        """Do nothing: a delay passes in the process that holds the run's lock."""

    def cancel_pending(self, jobs: Sequence[int]) -> None:
        """Do nothing: local tasks have no job ids."""

    def cancel(self, run: Run, say: Say) -> Cancellation:
        """Stop the process that runs the tasks, and say how many tasks it had.

        Raises:
            RunError: the process is on another machine, cannot be found, or does not end in time.
        """
        released = [submission for submission in read_submissions(run) if submission.released_at]
        packed, _ = read_packed_tasks(run.folder)
        unpacked = tuple(without_packed(released, packed_shards(packed)))
        records = self.query(run, unpacked, lock_is_ours=False).records
        phases = Counter(record.phase for record in records.values())
        if stop.stop_tasks(run, say):
            running, pending = phases[Phase.ACTIVE], phases[Phase.WAITING]
            tasks_pending = counted(pending, "pending task")
            say(f"canceled on this machine: {running:,} running and {tasks_pending}")
        else:
            say(f"run {run.run_id} has no tasks on this machine; nothing to cancel")
        return Cancellation()

    def log_file(self, run: Run, shard: int, attempt: Attempt) -> Path | None:
        """Return the task's own log."""
        return tasks.log_file(run, shard, attempt.number)

    def task_files(self, run: Run, shard: int, attempt: Attempt) -> tuple[Path, ...]:
        """Return the task's record."""
        return (record_path(run.folder, attempt.number, shard),)

    def caretaker_jobs(self) -> CaretakerJobs:
        """Refuse: the process that started the tasks is there until they end.

        Raises:
            InputError: always.
        """
        raise InputError("a run of the local executor needs no caretaker")
