"""What a batch script says and an order holds, read without a cluster."""

import pathlib
import subprocess
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from submitit.core.utils import DelayedSubmission, JobPaths

from hpc.executors.slurm.client import Slurm
from hpc.executors.slurm.submitit_executor import WaitingArrayExecutor
from hpc.run.model import ArrayPlan, Submission
from hpc.run.resources import Resources
from hpc.run.submissions import work_order
from pipeline.model import WorkOrder
from pipeline.run_files import last_words
from pipeline.worker import submitit_task
from pipeline.worker.submitit_task import ShardTask

SUBMISSION = Submission(
    number=2,
    job_name="run-0002",
    plan=ArrayPlan(offset=20, indices=(3, 7), throttle=2, parallel_tasks=2),
    intended_at=datetime(2026, 1, 1, tzinfo=UTC),
    array_job_id=4711,
)


class Taking(Slurm):
    """An sbatch that takes everything."""

    def submit(self, script: pathlib.Path, job_name: str) -> int:
        return 4711


def script(folder: pathlib.Path, **resources: Any) -> str:
    executor = WaitingArrayExecutor(folder, Resources(python="python", **resources))
    executor.submit_waiting(Taking(), SUBMISSION, ())
    return (folder / "sbatch.sh").read_text()


@pytest.mark.parametrize(
    ("time_min", "warning_s"), [(1, 30), (3, 30), (4, 36), (5, 45), (10, 90), (2880, 90)]
)
def test_the_warning_leaves_time_to_stop_and_takes_little_of_a_short_limit(
    tmp_path: pathlib.Path, time_min: int, warning_s: int
) -> None:
    assert f"#SBATCH --signal=USR2@{warning_s}\n" in script(tmp_path, time_min=time_min)


def test_an_option_without_a_value_is_left_out(tmp_path: pathlib.Path) -> None:
    """As `--set cluster.extra.reservation=` and a template's option that is switched off."""
    extra = {"reservation": None, "exclusive": False, "nice": 0, "no-requeue": True}
    options = [line for line in script(tmp_path, extra=extra).splitlines() if "#SBATCH" in line]
    assert {"#SBATCH --nice=0", "#SBATCH --no-requeue"} <= set(options)
    assert not [line for line in options if "reservation" in line or "exclusive" in line]


def test_a_requeued_task_first_removes_its_earlier_last_words(tmp_path: pathlib.Path) -> None:
    """A requeued task whose setup fails must not be judged by what its first life said."""
    folder = tmp_path / "o'clock runs" / "logs" / "0002"
    words = {shard: last_words.path_of(folder.parents[1], 2, shard) for shard in (22, 23, 24)}
    lines = script(folder, setup=("exit 3",))
    for path in words.values():
        path.touch()
    env = {"SLURM_ARRAY_TASK_ID": "3", "PATH": "/usr/bin:/bin"}
    assert subprocess.run(["bash", "-c", lines], env=env, check=False).returncode == 3
    assert {shard for shard, path in words.items() if path.exists()} == {22, 24}


@pytest.mark.parametrize("requeues", [0, 2])
def test_submitit_may_requeue_a_work_order_as_often_as_configured(
    tmp_path: pathlib.Path, requeues: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_dir = tmp_path / "run"
    resources = Resources(python="python", time_min=30)
    executor = WaitingArrayExecutor(tmp_path, resources, requeues=requeues)
    executor.write_orders(SUBMISSION, run_dir, amendments=2)
    paths = JobPaths(tmp_path, job_id="4711_7")
    delayed = DelayedSubmission.load(paths.submitted_pickle)
    order = work_order(SUBMISSION, 7, run_dir, amendments=2)
    assert (delayed._timeout_min, delayed._timeout_countdown) == (30, requeues)
    called: list[tuple[WorkOrder, bool]] = []

    def run_process(order: WorkOrder, *, requeue: bool) -> None:
        called.append((order, requeue))

    monkeypatch.setattr(submitit_task, "run_process", run_process)
    again = delayed._checkpoint_function()
    assert again is not None
    again.dump(paths.submitted_pickle)
    for life in (delayed, DelayedSubmission.load(paths.submitted_pickle)):
        life.result()
    assert called == [(order, requeues > 0)] * 2


def test_a_work_order_names_the_attempts_that_crashed() -> None:
    order = work_order(SUBMISSION, 7, pathlib.Path("/run"), amendments=0)
    order = replace(order, crashed="1,3")
    again = ShardTask(1).checkpoint(order)
    assert again.args == (order,)
