"""Supervision ends, whatever lies beside the run, and is patient where something may change."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from hpc.display.live.plain_lines import PlainLines
from hpc.executors.base import ExecutorError, TaskQuery
from hpc.executors.local.executor import LocalExecutor
from hpc.locks import run_lock
from hpc.reconcile.gathering.gather import gather_and_report
from hpc.reconcile.look import look
from hpc.reconcile.loop import supervise
from hpc.run.cluster.resources import Cluster
from hpc.run.model.arrays import ArrayPlan, Submission, SubmitLimit
from hpc.run.model.attempts import Phase, TaskRecord
from hpc.run.model.run import Run
from hpc.run.run_state import RunState
from hpc.run.submissions import write_submission
from pipeline.errors import Cause, InputError
from tests.hpc.cli_bench import valence_run
from tests.pipeline import run_builders

# A supervision that gathers again and again says so each time.
MOST_MESSAGES = 20


@pytest.fixture
def supervised_run(tmp_path: Path) -> Run:
    """A published run below a folder named `set aside`, beside a copy that is no run."""
    run = valence_run(tmp_path / "set aside", 4)
    for shard in range(len(run.manifest.shards)):
        run_builders.publish_shard(run.folder, run.manifest, shard)
    shutil.copytree(run.folder, run.folder.with_name(f"{run.run_id}-copy"))
    return run


def test_a_run_that_cannot_be_read_is_reported_and_no_output_is_set_aside(
    supervised_run: Run,
) -> None:
    renamed = supervised_run.folder.with_name("20240602T120000-renamed")
    shutil.copytree(supervised_run.folder, renamed)
    path = renamed / "manifest.json"
    path.write_text(
        path.read_text().replace(supervised_run.run_id, "20240602T120000-test-89abcdef")
    )
    status = look(supervised_run, LocalExecutor(), include_done=True)
    gathered = gather_and_report(status, lambda line: None)
    assert (len(gathered.rejected), gathered.set_aside) == (1, 0)


def test_supervision_ends_though_a_path_in_a_message_says_set_aside(supervised_run: Run) -> None:
    lines: list[str] = []

    def say(line: str) -> None:
        lines.append(line)
        assert len(lines) < MOST_MESSAGES, lines

    with run_lock.lock_run(supervised_run) as lock:
        assert (
            supervise(supervised_run, LocalExecutor(), lock, PlainLines(say)).state
            is RunState.COMPLETE
        )


class AcceptedError(Exception):
    """A submission would have been accepted."""


@dataclass
class UnwillingExecutor(LocalExecutor):
    """Refuses each submission, while the only task works for some rounds and then crashes."""

    rounds_at_work: int
    rounds_without_jobs: int = 0
    rounds: int = 0

    def query(
        self, run: Run, submissions: Sequence[Submission], *, lock_is_ours: bool
    ) -> TaskQuery:
        self.rounds += 1
        assert self.rounds < 40, "the supervision does not end"
        record = TaskRecord(phase=Phase.ACTIVE, slurm_state="RUNNING")
        if self.rounds > self.rounds_at_work:
            record = TaskRecord(
                phase=Phase.ENDED,
                slurm_state="FAILED",
                cause=Cause.CRASHED,
                ended_at=datetime(2026, 11, 24, tzinfo=UTC),
            )
        return TaskQuery(records={(each.number, 0): record for each in submissions})

    def submit_limits(self, cluster: Cluster) -> tuple[SubmitLimit, ...]:
        if not self.rounds_without_jobs:
            return ()
        most = 0 if self.rounds <= self.rounds_without_jobs else 10
        return (SubmitLimit(name="MaxSubmitJobs", most=most, used=0),)

    def submit(
        self, run: Run, intents: Sequence[Submission], recorded: Sequence[Submission], lock: int
    ) -> tuple[Submission, ...]:
        if self.rounds_without_jobs:
            raise AcceptedError
        for intent in intents:
            (run.folder / "submissions" / f"{intent.number:04d}.json").unlink()
        raise ExecutorError("refused", "refused")


@pytest.fixture
def half_submitted_run(tmp_path: Path) -> Run:
    """A run of two shards, of which the first one is submitted."""
    run = valence_run(tmp_path, 4, shards=2)
    now = datetime.now(UTC)
    plan = ArrayPlan(offset=0, indices=(0,), throttle=1, parallel_tasks=1)
    first = Submission(number=1, job_name="n1", plan=plan, intended_at=now, released_at=now)
    write_submission(run, first)
    return replace(run, cluster=msgspec.structs.replace(run.cluster, poll_seconds=0.001))


def supervised(run: Run, executor: LocalExecutor) -> None:
    with run_lock.lock_run(run) as lock:
        supervise(run, executor, lock, PlainLines(lambda line: None))


@pytest.mark.parametrize("rounds_at_work", [0, 5, 20])
def test_refusals_end_the_supervision_once_nothing_else_is_under_way(
    half_submitted_run: Run, rounds_at_work: int
) -> None:
    executor = UnwillingExecutor(rounds_at_work=rounds_at_work)
    with pytest.raises(ExecutorError, match="refused"):
        supervised(half_submitted_run, executor)


def test_a_limit_that_allows_no_jobs_at_all_is_waited_for(half_submitted_run: Run) -> None:
    executor = UnwillingExecutor(rounds_at_work=2, rounds_without_jobs=20)
    with pytest.raises(AcceptedError):
        supervised(half_submitted_run, executor)


def test_a_run_whose_folder_was_moved_is_not_taken_for_a_new_one(half_submitted_run: Run) -> None:
    run = half_submitted_run
    run.folder.rename(run.folder.with_name("elsewhere"))
    with pytest.raises(InputError, match="moved"):
        look(run, UnwillingExecutor(rounds_at_work=0))
