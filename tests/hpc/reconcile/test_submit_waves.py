"""What fits is submitted, where only the executor's refusals show how much that is."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpc.executors.base import ExecutorError, SubmitLimitError
from hpc.executors.local.executor import LocalExecutor
from hpc.locks import run_lock
from hpc.reconcile.look import look
from hpc.reconcile.room import RoomAtSlurm
from hpc.reconcile.submit import SubmittedWave, submit_shards
from hpc.run import run_folder
from hpc.run.cluster.resources import Cluster
from hpc.run.model.arrays import ArrayPlan, Submission, SubmitLimit
from hpc.run.model.run import Run
from hpc.run.plan import ShardSelection
from hpc.run.submissions import read_submissions, withdraw_submission
from tests.pipeline import run_builders

SHARDS = 24


@dataclass
class TightExecutor(LocalExecutor):
    """Takes so many tasks, and says no more about it."""

    most: int
    is_certain: bool = True
    limits_shown: tuple[SubmitLimit, ...] = ()
    taken: int = 0
    calls: int = 0

    def submit_limits(self, cluster: Cluster) -> tuple[SubmitLimit, ...]:
        return self.limits_shown

    def submit(
        self, run: Run, intents: Sequence[Submission], recorded: Sequence[Submission], lock: int
    ) -> tuple[Submission, ...]:
        self.calls += 1
        kept: list[Submission] = []
        for intent in intents:
            if self.taken + len(intent.plan.indices) > self.most:
                break
            self.taken += len(intent.plan.indices)
            kept.append(intent)
        for intent in intents[len(kept) :]:
            withdraw_submission(run, intent)
        if not kept:
            raise SubmitLimitError("too many", "too many", is_certain=self.is_certain)
        return super().submit(run, kept, recorded, lock)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    folder, _ = run_builders.make_run(tmp_path, run_builders.posts(SHARDS), shards=SHARDS)
    return run_folder.load(folder)


@pytest.fixture
def split_run(tmp_path: Path) -> Run:
    """A run whose cluster takes arrays of ten."""
    folder, _ = run_builders.make_run(
        tmp_path, run_builders.posts(SHARDS), shards=SHARDS, array_size=10
    )
    return run_folder.load(folder)


def sent_tasks(count: int) -> tuple[Submission, ...]:
    """One submission of so many tasks; none of none."""
    plan = ArrayPlan(offset=0, indices=tuple(range(count)), throttle=1, parallel_tasks=1)
    now = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
    return (Submission(number=1, job_name="n1", plan=plan, intended_at=now),) if count else ()


def submit_all(run: Run, executor: LocalExecutor) -> SubmittedWave:
    selection = ShardSelection(shards=tuple(range(SHARDS)))
    with run_lock.lock_run(run) as lock:
        return submit_shards(look(run, executor), executor, selection, lock, lambda line: None)


@pytest.mark.parametrize(("most", "sent"), [(100, 24), (24, 24), (23, 12), (6, 6), (5, 3), (1, 1)])
def test_halves_are_tried_until_a_part_is_taken(run: Run, most: int, sent: int) -> None:
    wave = submit_all(run, TightExecutor(most=most))
    assert (wave.sent, wave.waiting) == (sent, SHARDS - sent)
    recorded = [shard for each in read_submissions(run) for shard in each.plan.shards]
    assert recorded == list(range(sent))


def test_nothing_is_recorded_and_nothing_fails_where_nothing_fits(run: Run) -> None:
    wave = submit_all(run, TightExecutor(most=0))
    assert (wave.sent, wave.waiting, wave.is_refused) == (0, SHARDS, True)
    assert read_submissions(run) == ()


def test_arrays_that_were_taken_before_the_limit_was_reached_stay(split_run: Run) -> None:
    wave = submit_all(split_run, TightExecutor(most=20))
    assert [each.plan.shards for each in wave.submissions] == [
        tuple(range(10)),
        tuple(range(10, 20)),
    ]
    assert wave.waiting == 4


def test_a_limit_that_is_shown_is_kept_without_being_refused(run: Run) -> None:
    limit = SubmitLimit(name="MaxSubmitJobs", most=10, used=3)
    executor = TightExecutor(most=7, limits_shown=(limit,))
    wave = submit_all(run, executor)
    assert (wave.sent, wave.waiting, wave.is_refused, executor.calls) == (7, 17, False, 1)


def test_words_that_leave_the_limit_open_are_an_error_once_a_single_task_is_refused(
    run: Run,
) -> None:
    assert submit_all(run, TightExecutor(most=3, is_certain=False)).sent == 3
    with pytest.raises(ExecutorError):
        submit_all(run, TightExecutor(most=0, is_certain=False))


def test_a_limit_of_no_jobs_is_an_error(run: Run) -> None:
    limit = SubmitLimit(name="MaxSubmitJobs", most=0)
    with pytest.raises(ExecutorError):
        submit_all(run, TightExecutor(most=0, limits_shown=(limit,)))


@given(st.lists(st.integers(0, 5), max_size=60))
def test_slurm_is_asked_less_and_less_often_but_never_given_up(taken: list[int]) -> None:
    """`taken`: how many tasks it takes each time it is asked, of those that fit."""
    room, rounds, asked = RoomAtSlurm(), 200, 0
    answers = iter(taken)
    for _ in range(rounds):
        selection = room.selection(range(1000), alive=7)
        if selection is None:
            continue
        asked += 1
        sent = min(next(answers, 0), selection.at_most or 1000)
        room.learn(
            SubmittedWave(
                submissions=sent_tasks(sent), waiting=1000, reason="full", is_refused=True
            )
        )
    assert rounds // 40 <= asked <= len(taken) + 20


def test_the_end_of_a_task_is_a_reason_to_ask_again() -> None:
    room = RoomAtSlurm()
    for _ in range(3):
        while room.selection((1, 2), alive=5) is None:
            pass
        room.learn(SubmittedWave(waiting=2, reason="full", is_refused=True))
    assert room.selection((1, 2), alive=5) is None
    assert room.selection((1, 2), alive=4) is not None
