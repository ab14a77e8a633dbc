"""What is made of a run when a real Slurm answers as it was recorded (tests/data/sacct)."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from hpc.executors.slurm.client import Slurm
from hpc.executors.slurm.commands import SlurmError
from hpc.executors.slurm.executor import SlurmExecutor
from hpc.reconcile.observe import observe
from hpc.run import run_folder, submissions
from hpc.run.judge import judge_all
from hpc.run.model.arrays import ArrayPlan, Submission
from hpc.run.retry_policy import RetryPolicy
from tests.pipeline import run_builders

RECORDED = Path(__file__).parents[2] / "data" / "sacct"
FIRST_JOB = 4001
LONG_AGO = timedelta.min  # a grace time that is over, whatever this machine's clock says

ShardScripted = tuple[int, str, str | None]

CANCELLED: ShardScripted = (8, "blocked", "cancelled")
HELD: ShardScripted = (3, "blocked", None)
RUNNING: ShardScripted = (4, "running", None)
QUEUED: ShardScripted = (5, "queued", None)
NODE: ShardScripted = (9, "failed", "node")
NO_OUTPUT: ShardScripted = (9, "failed", "no_output")
LOST: ShardScripted = (9, "failed", "lost")

# Per scenario: rule, state and cause of the shards, array after array.
EXPECTED: dict[str, Sequence[Sequence[ShardScripted]]] = {
    "cancelled": [[CANCELLED] * 10],
    "cancelled-waiting": [[CANCELLED] * 4],
    "cancelled-at-once": [[CANCELLED] * 4],
    "cancelled-at-once.24.11": [[CANCELLED] * 4],
    "cancelled-one-by-one.running": [[RUNNING, CANCELLED, CANCELLED, CANCELLED]],
    "cancelled-one-by-one": [[NODE, CANCELLED, CANCELLED, CANCELLED]],
    # Slurm drops a single waiting task of an array without a word: accounting never had it, and
    # the controller forgets it at once. It is lost, like a task that was never there.
    "half-cancelled": [[CANCELLED, RUNNING, RUNNING, LOST, LOST, QUEUED, QUEUED]],
    "launch-failed": [[HELD]],
    "launch-failed.24.11": [[HELD]],
    "requeued-on-hold": [[HELD, HELD]],
    # The first has ended for good, the second waits for its next life: so says the controller in
    # 22.05, where accounting shows the former life, and in 24.11 accounting says so too.
    "node-fail": [[NODE], [QUEUED]],
    "node-fail.24.11": [[NODE], [QUEUED]],
    "preempted": [[(9, "failed", "preempted")], [QUEUED]],
    "preempted.24.11": [[(9, "failed", "preempted")], [QUEUED]],
    "requeued": [[QUEUED]],
    "requeued.24.11": [[QUEUED]],
    # Of two arrays under one id, ours is the later one.
    "reused.waiting": [[QUEUED] * 3],
    "reused": [[NO_OUTPUT] * 3],
}
# Without the controller, what may have been put back is unknown, and no command acts on it.
UNKNOWN: ShardScripted = (6, "unknown", None)
WITHOUT_THE_CONTROLLER: dict[str, Sequence[Sequence[ShardScripted]]] = {
    "cancelled-waiting": [[CANCELLED] * 4],
    "cancelled-at-once": [[CANCELLED] * 4],
    "cancelled-at-once.24.11": [[CANCELLED] * 4],
    "cancelled-one-by-one": [[NODE, CANCELLED, CANCELLED, CANCELLED]],
    "half-cancelled": [[CANCELLED, RUNNING, RUNNING, UNKNOWN, UNKNOWN, QUEUED, QUEUED]],
    "launch-failed": [[QUEUED]],
    "launch-failed.24.11": [[QUEUED]],
    "node-fail": [[UNKNOWN], [UNKNOWN]],
    "node-fail.24.11": [[UNKNOWN], [QUEUED]],
    "preempted": [[UNKNOWN], [UNKNOWN]],
    "preempted.24.11": [[UNKNOWN], [QUEUED]],
    "reused.waiting": [[QUEUED] * 3],
    "reused": [[NO_OUTPUT] * 3],
}


class Recorded(Slurm):
    """Answers as it was recorded; `silent` programs do not."""

    def __init__(self, scenario: str, silent: Sequence[str] = ()) -> None:
        super().__init__()
        self._scenario = scenario
        self._silent = silent

    def _run(self, *command: str, env: dict[str, str] | None = None) -> str:
        if command[0] in self._silent:
            raise SlurmError(command, "no answer", "", "")
        return (RECORDED / f"{self._scenario}.{command[0]}.txt").read_text(encoding="utf-8")


def judged(folder: Path, slurm: Slurm, sizes: Sequence[int]) -> list[list[ShardScripted]]:
    """The shards of a run with so many tasks in each array, all of them submitted once."""
    made, _ = run_builders.make_run(folder, run_builders.posts(sum(sizes)), shards=sum(sizes))
    run = run_folder.load(made)
    submitted = datetime(2026, 11, 25, tzinfo=UTC)
    for nth, size in enumerate(sizes):
        plan = ArrayPlan(
            offset=sum(sizes[:nth]), indices=tuple(range(size)), throttle=4, parallel_tasks=4
        )
        submissions.write_submission(
            run,
            Submission(
                number=nth + 1,
                job_name=f"job {nth}",
                plan=plan,
                intended_at=submitted,
                array_job_id=FIRST_JOB + nth,
                released_at=submitted,
            ),
        )
    judged = judge_all(observe(run, SlurmExecutor(slurm)), grace=LONG_AGO, policy=RetryPolicy())
    summaries = iter([(it.rule, str(it.state), it.cause and str(it.cause)) for it in judged])
    return [[next(summaries) for _ in range(size)] for size in sizes]


@pytest.mark.parametrize("scenario", EXPECTED)
def test_a_recorded_run_is_judged_from_squeue_and_sacct(scenario: str, tmp_path: Path) -> None:
    sizes = [len(array) for array in EXPECTED[scenario]]
    assert judged(tmp_path, Recorded(scenario), sizes) == [*map(list, EXPECTED[scenario])]


def test_squeues_row_for_a_whole_array_says_nothing_about_a_task_it_forgot(
    tmp_path: Path,
) -> None:
    """Its row `4001|CANCELLED` stands for tasks 1 to 3; task 0 failed longer ago than MinJobAge."""

    class Forgetful(Recorded):
        def _run(self, *command: str, env: dict[str, str] | None = None) -> str:
            printed = super()._run(*command, env=env)
            return printed.replace("4001_0|", "nobody|") if command[0] == "squeue" else printed

    slurm = Forgetful("cancelled-one-by-one")
    assert judged(tmp_path, slurm, [4]) == [[NODE, CANCELLED, CANCELLED, CANCELLED]]


@pytest.mark.parametrize("scenario", WITHOUT_THE_CONTROLLER)
def test_a_recorded_run_is_judged_from_sacct_alone(scenario: str, tmp_path: Path) -> None:
    expected = WITHOUT_THE_CONTROLLER[scenario]
    sizes = [len(array) for array in expected]
    assert judged(tmp_path, Recorded(scenario, ["squeue"]), sizes) == [*map(list, expected)]
