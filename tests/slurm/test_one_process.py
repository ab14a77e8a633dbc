"""A shard is one process, whatever Slurm allocates, so that each post is paid for once.

Without --ntasks, srun starts as many copies of a task as fit into the allocated CPUs, and Slurm
allocates more CPUs than were asked for in each of these places (datatrove#296, submitit#1727).
"""

import json
import pathlib
import sys
from collections.abc import Iterator
from typing import Any

import duckdb
import pytest

from hpc.traces.packed_tasks import read_packed_tasks
from pipeline.classifiers.llm.endpoint.question import PROBE
from pipeline.run_files.manifest import log_path
from tests.pipeline.classifiers.llm.server import started_servers
from tests.servers.perspective import PerspectiveServer
from tests.slurm.private_cluster import posts
from tests.slurm.private_cluster.cluster import SlurmCluster, wait_for
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
    run = submit_paid_run(bench, partition, mem_gb=mem_gb)
    assert sorted(logs_of(run, 1)) == ["0_0_log.out", "1_0_log.out"]
    assert least_allocated(whole_cores, run["array_jobs"][0]) >= least_cpus, "not more CPUs"


def test_each_post_is_paid_for_once_where_the_memory_remedy_adds_cpus(
    whole_cores: SlurmCluster, tmp_path: pathlib.Path
) -> None:
    """The first attempt runs out of its 280 MB; 1.1 GB in this partition is four CPUs."""
    bench = Bench(whole_cores, tmp_path)
    hog = f"{sys.executable} -c 'bytearray(600 << 20)'"
    first = f'"{bench.folder}/$SLURM_ARRAY_TASK_ID"'
    setup = [f"if [ ! -e {first} ]; then", f"  touch {first}", f"  {hog}", "fi"]
    run = submit_paid_run(bench, "lean", mem_gb=0.28, setup=setup)
    jobs = {shard["array_job_id"] for shard in bench.document("status")["shards"]}
    assert run["array_jobs"][0] not in jobs
    # Their second attempts are one array, or two where the first ones did not end together.
    logs = [name for number in range(1, 1 + len(jobs)) for name in logs_of(run, 1 + number)]
    assert sorted(logs) == ["0_0_log.out", "1_0_log.out"]
    assert min(least_allocated(whole_cores, job) for job in jobs) >= 4
    with duckdb.connect(str(bench.folder / "labels.duckdb"), read_only=True) as labels:
        causes = labels.execute("SELECT DISTINCT attempt > 1, cause FROM attempts ORDER BY 1")
        assert causes.fetchall() == [(False, "out_of_memory"), (True, None)]


def test_a_task_with_its_own_server_starts_one_and_sends_each_post_once(
    whole_cores: SlurmCluster, tmp_path: pathlib.Path
) -> None:
    bench = Bench(whole_cores, tmp_path)
    (bench.folder / "prompt.txt").write_text("Is the post civic?")
    servers = bench.folder / "server"
    config = bench.config(
        posts.json_lines(bench.folder / "p.jsonl", POSTS),
        sharding={"shards": 2},
        classifier={
            "type": "llm",
            "model": "stub",
            "prompt": "prompt.txt",
            "labels": [{"name": "civic", "type": "bool"}],
            "structured_output": "none",
            "server": started_servers.program(servers),
        },
        cluster={"partition": "lean", "mem_gb": 1.1},
    )
    job = bench.document("submit", "--config", config)["array_jobs"][0]
    assert bench.document("supervise")["state"] == "complete"
    assert len(started_servers.starts(servers)) == 2
    sent = [json.loads(line) for line in (servers / "asked").read_text().splitlines()]
    # Before its posts, each server may be asked for the fixed sentence.
    asked = [text for text in sent if PROBE.text not in text]
    assert len(asked) == len(set(asked)) == POSTS
    with duckdb.connect(str(bench.folder / "labels.duckdb"), read_only=True) as labels:
        labeled = labels.execute("SELECT count(*) FROM labels_test WHERE civic").fetchall()
    assert labeled == [(POSTS,)]
    assert started_servers.alive(servers) == []
    assert least_allocated(whole_cores, job) >= 4


def submit_paid_run(bench: Bench, partition: str, **cluster: Any) -> dict[str, Any]:
    """Run two shards to their end: every post has its row, and one paid request."""
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
            retry={"memory_factor": 4.0},
            cluster={"partition": partition, **cluster},
        )
        run = bench.document("submit", "--config", config)
        assert bench.document("supervise")["state"] == "complete"
        assert server.paid == POSTS
    with duckdb.connect(str(bench.folder / "labels.duckdb"), read_only=True) as labels:
        assert labels.execute("SELECT count(*) FROM labels_test").fetchall() == [(POSTS,)]
    return run


def logs_of(run: dict[str, Any], attempt: int) -> list[str]:
    """The names of an attempt's logs without the job's id, also of those that are packed by now.

    A second copy of a task would have left a log that ends with `_1_log.out`, which nobody packs.
    """
    run_dir = pathlib.Path(run["run_dir"])
    own = (path.name for path in log_path(run_dir, attempt).glob("*_log.out"))
    packed, _ = read_packed_tasks(run_dir)
    return [
        *(name.partition("_")[2] for name in own),
        *(f"{shard}_0_log.out" for (number, shard), task in packed.items()
          if number == attempt and task.logs.log),
    ]  # fmt: skip


def least_allocated(cluster: SlurmCluster, job: int) -> int:
    """The CPUs of the array's task that got the fewest, once accounting knows that all started."""

    def fewest() -> int:
        shown = cluster.run("sacct", "-n", "-P", "-X", "-j", str(job), "-o", "AllocCPUS")
        return min(map(int, shown.split()), default=0)

    return wait_for(fewest, 60, "accounting has the CPUs of each task")
