"""What keeps a submission from being sent: something may be alive that no record names."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from hpc.executors.base import ExecutorError, UnknownJobsError, UnrecordedJob, UnrecordedJobs
from hpc.executors.local.executor import LocalExecutor
from hpc.locks import run_lock
from hpc.reconcile.checks.unrecorded import UnrecordedError
from hpc.reconcile.look import look
from hpc.reconcile.submit import submit_shards
from hpc.run import run_folder
from hpc.run.model.arrays import ArrayPlan, Submission
from hpc.run.model.run import Run
from hpc.run.plan import ShardSelection
from hpc.run.submissions import plan_intents, read_submissions, write_submission
from pipeline.run_files import heartbeat
from pipeline.run_files.heartbeat import Heartbeat
from tests.pipeline import run_builders

NOTHING = UnrecordedJobs()
PLAN = ArrayPlan(offset=0, indices=(0,), throttle=1, parallel_tasks=1)


@dataclass
class Knowing(LocalExecutor):
    """Has these jobs of the run, and hides those of these users."""

    jobs: UnrecordedJobs | ExecutorError = NOTHING
    hidden: frozenset[int] = frozenset()
    asked: int = 0

    def find_unrecorded(self, run: Run, recorded: Sequence[Submission]) -> UnrecordedJobs:
        self.asked += 1
        if isinstance(self.jobs, ExecutorError):
            raise self.jobs
        return self.jobs

    def hides_jobs_of(self, uid: int) -> bool:
        return uid in self.hidden


@pytest.fixture
def run(tmp_path: Path) -> Run:
    folder, _ = run_builders.make_run(tmp_path, run_builders.posts(4), shards=4)
    run = run_folder.load(folder)
    return replace(run, cluster=msgspec.structs.replace(run.cluster, grace_seconds=2.0))


def submit(run: Run, executor: Knowing) -> tuple[int, ...]:
    """Submit a shard, and return the numbers of the submissions that were made."""
    with run_lock.lock_run(run) as lock:
        selection = ShardSelection(shards=(3,))
        wave = submit_shards(look(run, executor), executor, selection, lock, lambda line: None)
    return tuple(each.number for each in wave.submissions)


def beat(run: Run, attempt: int, age: timedelta) -> None:
    folder = run.folder / "work" / "00000"
    folder.mkdir(parents=True, exist_ok=True)
    now = datetime.now(UTC) - age
    written = Heartbeat(
        written_at=now, progress_at=now, rows=0, posts=1, rate_per_minute=0.0, last_error="",
        node="n1",
    )  # fmt: skip
    heartbeat.path_of(folder, attempt).write_bytes(msgspec.json.encode(written))


def test_each_submission_asks_once_and_goes_on_after_the_highest_number_known(run: Run) -> None:
    executor = Knowing(jobs=UnrecordedJobs(last_number=6))
    assert submit(run, executor) == (7,)
    assert executor.asked == 1


def test_a_live_array_that_no_record_names_stops_the_submission(run: Run) -> None:
    executor = Knowing(jobs=UnrecordedJobs(alive=(UnrecordedJob(job=4711, name="n"),)))
    with pytest.raises(UnrecordedError, match="scancel 4711"):
        submit(run, executor)
    assert read_submissions(run) == ()


def test_nothing_is_submitted_while_nobody_knows_what_is_alive(run: Run) -> None:
    with pytest.raises(UnknownJobsError):
        submit(run, Knowing(jobs=ExecutorError("squeue failed", "no answer")))
    assert read_submissions(run) == ()


def test_a_sign_of_life_of_an_unrecorded_attempt_stops_the_submission(run: Run) -> None:
    beat(run, 5, timedelta(seconds=10))
    with pytest.raises(UnrecordedError, match="submission 5"):
        submit(run, Knowing())
    # Slurm remembers its end.
    assert submit(run, Knowing(jobs=UnrecordedJobs(ended=frozenset({5}), last_number=5))) == (6,)


def test_an_old_heartbeat_of_an_unrecorded_attempt_only_keeps_its_number(run: Run) -> None:
    beat(run, 5, timedelta(hours=1))
    assert submit(run, Knowing()) == (6,)


def test_the_output_of_an_attempt_keeps_its_number(run: Run) -> None:
    run_builders.publish_shard(run.folder, run.manifest, 0, attempt=9)
    assert submit(run, Knowing()) == (10,)


@pytest.mark.parametrize("is_begun", [True, False])
def test_what_a_colleague_began_and_nobody_else_can_see_stops_the_submission(
    run: Run, is_begun: bool
) -> None:
    if is_begun:
        (intent,) = plan_intents(run, (PLAN,), datetime.now(UTC))
        write_submission(run, msgspec.structs.replace(intent, submitter=61_001))
        hidden = 61_001
    else:
        logs = run.folder / "logs" / "0001"
        logs.mkdir(parents=True)
        hidden = logs.stat().st_uid
    with pytest.raises(UnrecordedError, match="PrivateData"):
        submit(run, Knowing(hidden=frozenset({hidden})))


def test_a_process_whose_lock_was_removed_submits_nothing(run: Run) -> None:
    executor = Knowing()
    with run_lock.lock_run(run) as lock:
        status = look(run, executor)
        (run.folder / run_lock.LOCK).unlink()
        with pytest.raises(run_lock.LockLostError):
            submit_shards(status, executor, ShardSelection(shards=(3,)), lock, lambda line: None)
    assert (executor.asked, read_submissions(run)) == (0, ())
