"""The benchmark of a whole job: bare tasks and ours label the same posts, also after a kill."""

import pathlib
from dataclasses import replace

import pytest

from benchmarks.chat_service import Behavior, serving
from benchmarks.whole_job import bare, product
from benchmarks.whole_job.job import Job
from benchmarks.whole_job.measure import WholeJob, measure
from benchmarks.whole_job.scenarios import SCENARIOS
from tests.slurm.private_cluster.cluster import SlurmCluster

pytestmark = pytest.mark.slurm

POSTS = 60


def test_only_the_bare_script_pays_for_most_posts_twice_after_a_kill(
    cluster: SlurmCluster, tmp_path: pathlib.Path
) -> None:
    """Every row is checked. At 0.3 s a request, tasks are killed long before their ends."""
    scenario = replace(SCENARIOS["killed"], posts=POSTS, shards=1, behavior=Behavior(latency_s=0.3))
    took: dict[str, WholeJob] = {}
    with serving(scenario.behavior) as url:
        for name, contestant in (("bare", bare.do), ("ours", product.do)):
            job = Job(folder=tmp_path / name, scenario=scenario, cluster=cluster, url=url)
            took[name] = measure(job, contestant)
    assert took["bare"].killed
    assert took["ours"].killed
    assert took["bare"].paid_per_post > 1
    assert min(job.cpu_seconds for job in took.values()) > 0
