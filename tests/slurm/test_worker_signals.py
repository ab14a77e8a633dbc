"""A task that Slurm warns or preempts goes on from its parts: same job id, same attempt."""

import pathlib
import re
import shlex
import sys
from collections import Counter
from datetime import UTC, datetime
from typing import Any

import pytest
from msgspec.structs import replace

from hpc.executors.slurm.client import Slurm
from hpc.executors.slurm.submitit_executor import WaitingArrayExecutor
from hpc.run.cluster.resources import Resources
from hpc.run.model.arrays import ArrayPlan, Submission
from pipeline.run_files import last_words, output
from pipeline.run_files.manifest import log_path, work_path
from tests.pipeline import run_builders, scripted_classifier, task_processes
from tests.pipeline.module_path import module_path
from tests.pipeline.run_builders import uri
from tests.slurm.private_cluster.cluster import SlurmCluster, wait_for
from tests.slurm.private_cluster.programs import environment

pytestmark = pytest.mark.slurm


class Site:
    """A run of one shard of ten posts, of which a life answers six before it hangs."""

    def __init__(self, cluster: SlurmCluster, folder: pathlib.Path, **options: Any) -> None:
        self.cluster = cluster
        self.folder = folder
        self.run_dir, self.run = run_builders.make_run(
            folder,
            run_builders.posts(10),
            classifier=scripted_classifier.options(folder, answered=6, **options),
            checkpoint_rows=3,
        )

    @property
    def kept(self) -> int:
        return task_processes.rows_in(work_path(self.run_dir, 0))

    def submit(self, resources: Resources, *, requeues: int = 0) -> int:
        """The array's job id."""
        folder = log_path(self.run_dir, 1)
        executor = WaitingArrayExecutor(folder, resources, requeues=requeues)
        submission = Submission(
            number=1,
            job_name=f"worker-{self.folder.name}",
            plan=ArrayPlan(offset=0, indices=(0,), throttle=1, parallel_tasks=1),
            intended_at=datetime.now(UTC),
        )
        job = executor.submit_waiting(Slurm(), submission, None)
        executor.write_orders(replace(submission, array_job_id=job), amendments=0)
        Slurm().release(job)
        return job

    def hangs(self) -> bool:
        return self.kept == 6 and scripted_classifier.asked(self.folder)[uri(6)] == 1

    def restarts(self, job: int) -> int:
        match = re.search(
            r"Restarts=(\d+)", self.cluster.run("scontrol", "show", "job", f"{job}_0")
        )
        assert match
        return int(match[1])

    def state(self, job: int) -> str:
        return self.cluster.run("squeue", "-h", "-t", "all", "-j", f"{job}_0", "-o", "%T").strip()

    def goes_on_at_once(self, job: int) -> None:
        """Slurm lets a requeued job wait two minutes, until its credential has expired."""
        wait_for(lambda: self.state(job) == "PENDING", 130, "the task is back in the queue")
        self.cluster.run("scontrol", "update", f"JobId={job}_0", "StartTime=now")

    def is_done(self) -> bool:
        return output.verify(self.run_dir, self.run, 0).verified


@pytest.fixture
def at(
    cluster: SlurmCluster, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> pathlib.Path:
    """The folder of a user on that cluster, whose tasks know the scripted classifier."""
    plugins = scripted_classifier.install(tmp_path)
    for name, value in (environment() | cluster.env).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PYTHONPATH", module_path(plugins))
    return tmp_path


def log(site: Site, job: int) -> str:
    return (log_path(site.run_dir, 1) / f"{job}_0_0_log.out").read_text()


PYTHON = shlex.quote(sys.executable)
EACH_ONCE_BUT_THE_ONE_THAT_HUNG = Counter({uri(i): 2 if i == 6 else 1 for i in range(10)})


def test_a_task_near_its_time_limit_requeues_itself_and_pays_nothing_twice(
    cluster: SlurmCluster, at: pathlib.Path
) -> None:
    site = Site(cluster, at)
    job = site.submit(Resources(time_min=1, mem_gb=0.4, python=PYTHON), requeues=1)
    wait_for(site.hangs, 60, "the first life hangs at the seventh post")
    site.goes_on_at_once(job)
    assert site.kept == 6
    assert last_words.read(site.run_dir, 1, 0) is None
    wait_for(site.is_done, 60, "the second life has published")
    wait_for(lambda: site.state(job) == "COMPLETED", 30, "the task has ended")
    assert site.restarts(job) == 1
    assert f"requeued job {job}_0" in log(site, job)
    assert "10 posts, 6 already answered" in log(site, job)
    assert scripted_classifier.asked(at) == EACH_ONCE_BUT_THE_ONE_THAT_HUNG


def test_a_preempted_task_that_slurm_requeues_resumes_from_its_parts(
    cluster: SlurmCluster, at: pathlib.Path
) -> None:
    site = Site(cluster, at)
    # What is preempted in this partition goes back into the queue.
    job = site.submit(Resources(partition="requeued", mem_gb=0.4, python=PYTHON))
    wait_for(site.hangs, 60, "the first life hangs at the seventh post")
    node = cluster.run("squeue", "-h", "-j", f"{job}_0", "-o", "%N").strip()
    urgent = ("-p", "high", "--mem=4000", "-w", node, "-o", "/dev/null", "--wrap", "sleep 1")
    urgent_job = cluster.run("sbatch", "--parsable", *urgent).strip()
    site.goes_on_at_once(job)
    assert site.kept == 6
    wait_for(site.is_done, 60, "the second life has published")
    wait_for(lambda: site.state(job) == "COMPLETED", 30, "the task has ended")
    assert site.restarts(job) == 1
    left = cluster.run("squeue", "-h", "-t", "all", "-j", urgent_job, "-o", "%T").strip()
    assert left != "PENDING"
    assert scripted_classifier.asked(at) == EACH_ONCE_BUT_THE_ONE_THAT_HUNG
    assert list(work_path(site.run_dir, 0).iterdir()) == []
