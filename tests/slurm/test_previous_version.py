"""An array that version 6f9faab submitted starts after the update."""

import pathlib
import pickletools
import shlex
import sys
from datetime import UTC, datetime

import pytest
import submitit
from msgspec.structs import replace
from submitit.core.utils import DelayedSubmission, JobPaths

from hpc.executors.slurm.client import Slurm
from hpc.executors.slurm.submitit_executor import WaitingArrayExecutor
from hpc.run.cluster.resources import Resources
from hpc.run.model.arrays import ArrayPlan, Submission
from hpc.run.submissions import work_order
from pipeline.run_files import output
from pipeline.run_files.manifest import log_path
from pipeline.worker.submitit_task import ShardTask
from tests.pipeline import run_builders
from tests.slurm.private_cluster.cluster import SlurmCluster, wait_for
from tests.slurm.private_cluster.programs import environment

pytestmark = pytest.mark.slurm


class PicklingExecutor(WaitingArrayExecutor):
    """Submits as that version did: submitit's own entry point, and a pickle for each task."""

    @property
    def _submitit_command_str(self) -> str:
        command = submitit.SlurmExecutor._submitit_command_str.fget(self)  # type: ignore[attr-defined]
        assert isinstance(command, str)
        return command

    def write_pickles(self, submission: Submission, run_dir: pathlib.Path) -> None:
        for index in submission.plan.indices:
            order = DelayedSubmission(
                ShardTask(0), work_order(submission, index, run_dir, amendments=0)
            )
            order.set_timeout(5, 0)
            job = f"{submission.array_job_id}_{index}"
            order.dump(JobPaths(self.folder, job_id=job).submitted_pickle)


def names_in(pickle: pathlib.Path) -> set[str]:
    """Return every string of a pickle; modules and classes are among them."""
    return {str(argument) for _, argument, _ in pickletools.genops(pickle.read_bytes())}


def test_a_work_order_with_the_previous_versions_module_name_runs(
    cluster: SlurmCluster, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (environment() | cluster.env).items():
        monkeypatch.setenv(name, value)
    run_dir, manifest = run_builders.make_run(tmp_path, run_builders.posts(6), shards=2)
    plan = ArrayPlan(offset=0, indices=(0, 1), throttle=2, parallel_tasks=2)
    intent = Submission(number=1, job_name="old", plan=plan, intended_at=datetime.now(UTC))
    resources = Resources(time_min=5, mem_gb=0.4, python=shlex.quote(sys.executable))
    executor = PicklingExecutor(log_path(run_dir, 1), resources)
    job = executor.submit_waiting(Slurm(), intent, None)
    with pytest.MonkeyPatch.context() as patch:
        # The class was defined there, and its pickles say so.
        patch.setattr(ShardTask, "__module__", "hpc.executors")
        executor.write_pickles(replace(intent, array_job_id=job), run_dir)
    pickled = names_in(log_path(run_dir, 1) / f"{job}_1_submitted.pkl")
    assert {"hpc.executors", "ShardTask", "pipeline.model", "WorkOrder"} <= pickled
    assert "pipeline.worker.submitit_task" not in pickled
    Slurm().release(job)
    wait_for(
        lambda: all(output.verify(run_dir, manifest, shard).verified for shard in (0, 1)),
        90,
        "both shards are published",
    )
