"""A shard is one process, whatever Slurm allocates, so that each post is paid for once.

Without --ntasks, srun starts as many copies of a task as fit into the allocated CPUs, and Slurm
allocates more CPUs than were asked for in each of these places (datatrove#296, submitit#1727).
"""

import pathlib
from collections.abc import Iterator

import duckdb
import pytest

from tests.servers.perspective import PerspectiveServer
from tests.slurm.private_cluster import posts
from tests.slurm.private_cluster.cluster import SlurmCluster
from tests.slurm.private_cluster.commands import Bench

pytestmark = pytest.mark.slurm

POSTS = 40


@pytest.fixture(scope="module")
def whole_cores(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SlurmCluster]:
    """Hyperthreaded nodes with CR_Core_Memory; partitions that allocate more than was asked for."""
    folder = tmp_path_factory.mktemp("slurm")
    partitions = (
        "PartitionName=exclusive Nodes=ALL MaxTime=04:00:00 OverSubscribe=EXCLUSIVE",
        "PartitionName=lean Nodes=ALL MaxTime=04:00:00 MaxMemPerCPU=300",
    )
    with SlurmCluster(folder, nodes=2, threads_per_core=2, extra_conf=partitions) as booted:
        yield booted


@pytest.mark.parametrize(
    ("partition", "mem_gb", "least_cpus"),
    [
        pytest.param("normal", 0.4, 2, id="a-core-has-two-threads"),
        pytest.param("exclusive", 0.4, 8, id="a-task-gets-the-whole-node"),
        pytest.param("lean", 1.1, 4, id="memory-above-MaxMemPerCPU-adds-CPUs"),
    ],
)
def test_each_post_is_paid_for_once_where_slurm_allocates_more_cpus(
    whole_cores: SlurmCluster,
    tmp_path: pathlib.Path,
    partition: str,
    mem_gb: float,
    least_cpus: int,
) -> None:
    bench = Bench(whole_cores, tmp_path)
    source = posts.json_lines(bench.folder / "p.jsonl", POSTS)
    bench.env["PERSPECTIVE_API_KEY"] = "AIza-distinctive-key-4711"
    with PerspectiveServer(key=bench.env["PERSPECTIVE_API_KEY"], quota=6000) as server:
        config = bench.config(
            source,
            sharding={"shards": 2},
            classifier={
                "type": "unpaced_perspective",
                "base_url": server.url,
                "attributes": ["TOXICITY"],
            },
            cluster={"partition": partition, "mem_gb": mem_gb},
        )
        run = bench.document("submit", "--config", config)
        assert bench.document("supervise")["state"] == "complete"
        assert server.paid == POSTS
    logs = pathlib.Path(run["run_dir"]) / "logs" / "0001"
    assert sorted(path.name for path in logs.glob("*.out")) == [
        f"{run['array_jobs'][0]}_{index}_0_log.out" for index in (0, 1)
    ]
    with duckdb.connect(str(bench.folder / "labels.duckdb"), read_only=True) as labels:
        assert labels.execute("SELECT count(*) FROM labels_test").fetchall() == [(POSTS,)]
    job = str(run["array_jobs"][0])
    allocated = whole_cores.run("sacct", "-n", "-P", "-X", "-j", job, "-o", "AllocCPUS").split()
    assert all(int(cpus) >= least_cpus for cpus in allocated), "Slurm did not allocate more"
