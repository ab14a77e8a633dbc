"""A round of supervision that fails for a reason that may pass is followed by the next one."""

import errno
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import msgspec
import pytest

from hpc.display.live.plain_lines import PlainLines
from hpc.executors.base import TaskQuery
from hpc.executors.local.executor import LocalExecutor
from hpc.locks import run_lock
from hpc.reconcile.backoff import MOST_FAILED_ROUNDS
from hpc.reconcile.loop import supervise
from hpc.run.model.arrays import ArrayPlan, Submission
from hpc.run.model.attempts import Phase, TaskRecord
from hpc.run.model.run import Run
from hpc.run.run_state import RunState, RunStatus
from hpc.run.submissions import write_submission
from pipeline.errors import BusyError, Cause, InputError, RunError, UnreadableError
from tests.hpc.cli_bench import valence_run
from tests.pipeline import run_builders

LONG_AGO = datetime(2026, 11, 24, tzinfo=UTC)
ERRNOS = ("ESTALE", "EIO", "EACCES", "ENOSPC", "EMFILE", "ENFILE", "ENOMEM", "EAGAIN", "ETIMEDOUT")


def system_error(name: str) -> Exception:
    number = getattr(errno, name)
    return OSError(number, os.strerror(number), "/study/runs/1")


ERRORS: dict[str, Callable[[], Exception]] = {
    **{name: lambda name=name: system_error(name) for name in ERRNOS},  # type: ignore[misc]
    "without-a-file": lambda: OSError("something"),
    "memory": MemoryError,
    "duckdb": lambda: duckdb.IOException("IO Error: Could not read from file"),
    "duckdb-memory": lambda: duckdb.OutOfMemoryException("Out of Memory Error"),
    "unreadable": lambda: UnreadableError(Path("/study/runs/1"), system_error("EIO")),
    "busy": lambda: BusyError("the database is in use"),
}


@dataclass
class TroubledExecutor(LocalExecutor):
    """Fails in the first rounds; `submit` must not be called in one that failed."""

    error: Callable[[], Exception]
    failing: int
    failed: int = 0

    def query(
        self, run: Run, submissions: Sequence[Submission], *, lock_is_ours: bool
    ) -> TaskQuery:
        if self.failed < self.failing:
            self.failed += 1
            raise self.error()
        return super().query(run, submissions, lock_is_ours=lock_is_ours)

    def submit(
        self, run: Run, intents: Sequence[Submission], recorded: Sequence[Submission], lock: int
    ) -> tuple[Submission, ...]:
        assert self.failed == self.failing, "submitted after a look that failed"
        return super().submit(run, intents, recorded, lock)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """A run of one published shard, whose rounds follow one another at once."""
    run = valence_run(tmp_path, 4, shards=1)
    run_builders.publish_shard(run.folder, run.manifest, 0)
    return replace(run, cluster=msgspec.structs.replace(run.cluster, poll_seconds=1e-5))


def supervised(run: Run, executor: LocalExecutor, *, once: bool = False) -> list[str]:
    """Supervise to the end, and return what was said."""
    lines: list[str] = []
    with run_lock.lock_run(run) as lock:
        end = supervise(run, executor, lock, PlainLines(lines.append), once=once)
    assert end.state is RunState.COMPLETE
    return lines


@pytest.mark.parametrize("error", ERRORS)
def test_rounds_that_fail_are_reported_on_a_line_each_and_the_next_one_follows(
    run: Run, error: str
) -> None:
    executor = TroubledExecutor(ERRORS[error], failing=MOST_FAILED_ROUNDS - 1)
    lines = [line for line in supervised(run, executor) if "this round failed" in line]
    assert len(lines) == MOST_FAILED_ROUNDS - 1
    assert not any("\n" in line for line in lines)
    if isinstance(ERRORS[error](), UnreadableError) or error in ERRNOS:
        assert all("/study/runs/1" in line for line in lines)


@pytest.mark.parametrize("once", [False, True])
@pytest.mark.parametrize("error", ERRORS)
def test_an_error_that_lasts_ends_the_supervision_with_the_file_and_the_next_command(
    run: Run, error: str, once: bool
) -> None:
    most = 1 if once else MOST_FAILED_ROUNDS
    executor = TroubledExecutor(ERRORS[error], failing=most)
    with pytest.raises(RunError) as raised:
        supervised(run, executor, once=once)
    assert executor.failed == most
    assert isinstance(raised.value, BusyError) == (error == "busy")
    assert str(raised.value).endswith(f"Once this works again, run: hpc supervise {run.folder}")
    assert error not in ERRNOS or "/study/runs/1" in str(raised.value)


def test_a_caretaker_bears_with_failed_rounds_before_it_hands_over(run: Run) -> None:
    """It looks once more after a round, to hand over; that look may fail as well."""
    (run.folder / "outputs" / "00000.parquet").unlink()
    handed_over: list[RunState] = []

    class Working(LocalExecutor):
        looks = 0

        def query(
            self, run: Run, submissions: Sequence[Submission], *, lock_is_ours: bool
        ) -> TaskQuery:
            self.looks += 1
            if self.looks in (1, 3, 5):
                raise system_error("ESTALE")
            record = TaskRecord(phase=Phase.ACTIVE, slurm_state="RUNNING")
            return TaskQuery(records={(each.number, 0): record for each in submissions})

    plan = ArrayPlan(offset=0, indices=(0,), throttle=1, parallel_tasks=1)
    write_submission(
        run,
        Submission(number=1, job_name="n1", plan=plan, intended_at=LONG_AGO, released_at=LONG_AGO),
    )

    def hand_over(status: RunStatus) -> bool:
        handed_over.append(status.state)
        return True

    lines: list[str] = []
    with run_lock.lock_run(run) as lock:
        supervise(run, Working(), lock, PlainLines(lines.append), hand_over=hand_over)
    assert handed_over == [RunState.RUNNING]
    assert len([line for line in lines if "this round failed" in line]) == 3


class SubmittedAgainError(Exception):
    """A round has got as far as submitting the shard again."""


@dataclass
class FlickeringExecutor(LocalExecutor):
    """Fails for many rounds after each one in which the only task is at work; it then crashes."""

    rounds_at_work: int
    failed: int = 0

    def query(
        self, run: Run, submissions: Sequence[Submission], *, lock_is_ours: bool
    ) -> TaskQuery:
        if self.failed < MOST_FAILED_ROUNDS - 1:
            self.failed += 1
            raise system_error("ESTALE")
        self.failed = 0
        self.rounds_at_work -= 1
        record = TaskRecord(phase=Phase.ACTIVE, slurm_state="RUNNING")
        if self.rounds_at_work < 0:
            record = TaskRecord(
                phase=Phase.ENDED, slurm_state="FAILED", cause=Cause.CRASHED, ended_at=LONG_AGO
            )
        return TaskQuery(records={(each.number, 0): record for each in submissions})

    def submit(
        self, run: Run, intents: Sequence[Submission], recorded: Sequence[Submission], lock: int
    ) -> tuple[Submission, ...]:
        raise SubmittedAgainError


def test_only_failures_in_a_row_count(run: Run) -> None:
    (run.folder / "outputs" / "00000.parquet").unlink()
    plan = ArrayPlan(offset=0, indices=(0,), throttle=1, parallel_tasks=1)
    write_submission(
        run,
        Submission(number=1, job_name="n1", plan=plan, intended_at=LONG_AGO, released_at=LONG_AGO),
    )
    with pytest.raises(SubmittedAgainError):
        supervised(run, FlickeringExecutor(rounds_at_work=3))


def test_a_pipe_that_nobody_reads_ends_the_supervision(run: Run) -> None:
    """As after `hpc supervise | head`."""
    with pytest.raises(BrokenPipeError):
        supervised(run, TroubledExecutor(BrokenPipeError, failing=99))


def test_a_report_that_cannot_be_written_ends_nothing(run: Run) -> None:
    """The messages of cron may go to the disk that is full."""
    executor = TroubledExecutor(ERRORS["ENOSPC"], failing=3)

    def say(line: str) -> None:
        if executor.failed < executor.failing or "failed" in line:
            raise system_error("ENOSPC")

    with run_lock.lock_run(run) as lock:
        assert supervise(run, executor, lock, PlainLines(say)).state is RunState.COMPLETE


def test_a_damaged_record_ends_the_supervision_at_once(run: Run) -> None:
    (run.folder / "submissions").mkdir(exist_ok=True)
    (run.folder / "submissions" / "0001.json").write_text("{")
    with pytest.raises(InputError, match=r"0001\.json"):
        supervised(run, LocalExecutor())
