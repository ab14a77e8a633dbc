"""What a batch script says and an order holds, read without a cluster."""

import pathlib
import shlex
import subprocess
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from msgspec import structs

from hpc.executors.slurm.client import Slurm
from hpc.executors.slurm.submitit_executor import WaitingArrayExecutor
from hpc.run.cluster.resources import Resources
from hpc.run.model.arrays import ArrayPlan, Submission
from hpc.run.submissions import work_order
from pipeline.errors import InputError
from pipeline.run_files import array_orders, last_words
from pipeline.worker import slurm_task
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
    executor.submit_waiting(Taking(), SUBMISSION, None)
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


def test_a_task_runs_an_entry_point_of_ours_that_is_given_the_folder(
    tmp_path: pathlib.Path,
) -> None:
    folder = tmp_path / "o'clock runs" / "logs" / "0002"
    (line,) = [line for line in script(folder).splitlines() if line.startswith("srun ")]
    words = shlex.split(line)
    assert words[-5:] == ["python", "-u", "-m", slurm_task.__name__, str(folder)]
    assert "submitit.core._submit" not in line


def test_an_array_has_one_file_of_orders_from_which_each_task_takes_its_own(
    tmp_path: pathlib.Path,
) -> None:
    folder = tmp_path / "run" / "logs" / "0002"
    resources = Resources(python="python")
    executor = WaitingArrayExecutor(folder, resources, requeues=3)
    submission = structs.replace(SUBMISSION, crashed={7: (1, 3)})
    executor.submit_waiting(Taking(), submission, None)
    for _ in range(2):  # as a submission that was interrupted and is resumed
        executor.write_orders(submission, amendments=2)
    assert sorted(path.name for path in folder.iterdir()) == ["orders.json", "sbatch.sh"]
    orders = array_orders.read(folder)
    assert orders.requeues == 3
    for index in submission.plan.indices:
        expected = work_order(submission, index, tmp_path / "run", amendments=2)
        assert orders.of_task(folder, index) == expected


@pytest.mark.parametrize("index", [0, 4, -1])
def test_an_array_has_no_order_for_a_task_that_it_does_not_have(
    tmp_path: pathlib.Path, index: int
) -> None:
    folder = tmp_path / "run" / "logs" / "0002"
    executor = WaitingArrayExecutor(folder, Resources(python="python"))
    executor.submit_waiting(Taking(), SUBMISSION, None)
    executor.write_orders(SUBMISSION, amendments=0)
    with pytest.raises(InputError, match=r"0002/orders\.json has no order for array task"):
        array_orders.read(folder).of_task(folder, index)


def test_an_order_of_an_earlier_version_names_the_attempts_that_crashed() -> None:
    order = work_order(SUBMISSION, 7, pathlib.Path("/run"), amendments=0)
    order = replace(order, crashed="1,3")
    again = ShardTask(1).checkpoint(order)
    assert again.args == (order,)
