"""A site with several clusters: a run stays with the one that it was submitted to."""

import json
from collections.abc import Iterator

import pytest

from tests.slurm.private_cluster import posts
from tests.slurm.private_cluster.cluster import SlurmCluster, wait_for
from tests.slurm.private_cluster.commands import Bench

pytestmark = pytest.mark.slurm


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SlurmCluster]:
    """Not the one of other modules: its accounting knows the second cluster from then on."""
    with SlurmCluster(tmp_path_factory.mktemp("slurm"), nodes=1) as booted:
        yield booted


@pytest.fixture
def closed_partition(cluster: SlurmCluster) -> Iterator[str]:
    """A partition whose tasks stay pending until the end of the test, or until it is UP."""
    cluster.run("scontrol", "update", "PartitionName=requeued", "State=DOWN")
    yield "requeued"
    cluster.run("scontrol", "update", "PartitionName=requeued", "State=UP")


@pytest.fixture(scope="module")
def other(
    cluster: SlurmCluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[SlurmCluster]:
    """A second cluster of the same site, to which `-M` leads."""
    with SlurmCluster(tmp_path_factory.mktemp("slurm"), nodes=1, beside=cluster) as booted:
        yield booted


def queue(cluster: SlurmCluster, columns: str) -> list[str]:
    return cluster.run("squeue", "-h", "-t", "PENDING,RUNNING", "-o", columns).splitlines()


def test_a_run_goes_where_the_shell_says_and_stays_there_whatever_it_says_later(
    bench: Bench, other: SlurmCluster
) -> None:
    """SLURM_CLUSTERS as LRZ and KU Leuven document it; SBATCH_ACCOUNT as in the Alliance's docs."""
    bench.script(0, "wait")
    bench.script(1, "fail")
    source = posts.json_lines(bench.folder / "p.jsonl", 20)
    config = bench.config(
        source, sharding={"shards": 2}, cluster={"account": None, "max_parallel": 2}
    )
    shell = {
        "SLURM_CLUSTERS": other.name,
        "SBATCH_ACCOUNT": "kellogg",
        "SBATCH_PARTITION": "short",
        "SLURM_PARTITION": "high",  # srun's own
    }
    planned = bench.hpc("submit", "--config", config, "--dry-run", env=shell)
    assert {"kellogg", "short", other.name} <= set(planned.stdout.replace(",", " ").split())
    submitted = bench.hpc("submit", "--config", config, "--caretaker", "--json", env=shell)
    assert submitted.returncode == 0, submitted.stderr
    (job,) = json.loads(submitted.stdout)["array_jobs"]
    rows = queue(other, "%F|%P|%a")
    assert f"{job}|short|kellogg" in rows
    # The array's tasks, the caretaker and its understudy.
    assert {row.partition("|")[2] for row in rows} == {"short|kellogg"}
    assert queue(bench.cluster, "%j") == []

    wait_for(lambda: bench.states()[1] == ("failed", "crashed"), 90, "shard 1 failed")
    assert bench.states()[0] == ("running", None)
    resubmitted = bench.hpc("resubmit", "--json", env={"SBATCH_PARTITION": "high"})
    (again,) = json.loads(resubmitted.stdout)["array_jobs"]
    (bench.scripts / "go").touch()
    assert bench.document("supervise")["state"] == "complete"
    asked = ("-n", "-P", "-X", "-j", str(again), "-o", "Partition,Account")
    in_short = lambda: other.run("sacct", *asked).split() == ["short|kellogg"]  # noqa: E731
    wait_for(in_short, 30, "the second attempt is accounted, where the first one was")
    assert len(bench.asked()) == 20
    bench.document("cancel")
    assert queue(other, "%j") == []


def test_cancel_reaches_the_other_cluster(bench: Bench, other: SlurmCluster) -> None:
    bench.script(0, "slow")
    source = posts.json_lines(bench.folder / "p.jsonl", 400)
    keys = {"cluster_name": other.name, "max_parallel": 1}
    config = bench.config(source, sharding={"shards": 2}, cluster=keys)
    # The configuration wins over the shell.
    nowhere = {"SBATCH_CLUSTERS": "nowhere"}
    assert bench.hpc("submit", "--config", config, env=nowhere).returncode == 0
    wait_for(lambda: bench.states() == {0: ("running", None), 1: ("queued", None)}, 60, "one runs")
    assert len(bench.document("cancel")["cancelled_jobs"]) == 1
    assert queue(other, "%j") == []


@pytest.mark.parametrize(
    ("clusters", "code"),
    [
        pytest.param("one,two", 2, id="a-list"),
        pytest.param("all", 2, id="all-of-them"),
        pytest.param("nowhere", 1, id="one-that-is-not-there"),
    ],
)
def test_clusters_that_a_run_cannot_have_are_rejected_before_anything_is_written(
    bench: Bench, clusters: str, code: int
) -> None:
    config = bench.config(posts.json_lines(bench.folder / "p.jsonl", 10))
    refused = bench.hpc("submit", "--config", config, env={"SLURM_CLUSTERS": clusters})
    assert refused.returncode == code
    assert "SLURM_CLUSTERS" in refused.stdout + refused.stderr
    assert "Traceback" not in refused.stderr
    assert not (bench.folder / "runs").exists()


def test_a_wrapper_that_sends_the_array_to_another_cluster_is_found_out(
    bench: Bench, other: SlurmCluster
) -> None:
    config = bench.config(posts.json_lines(bench.folder / "p.jsonl", 10))
    wrapper = bench.shim("sbatch", f'set -- -M {other.name} "$@"')
    refused = bench.hpc("submit", "--config", config, env=wrapper)
    assert refused.returncode == 1
    assert f"cluster.cluster_name: {other.name}" in refused.stderr
    assert queue(other, "%j") == []
    assert list((bench.folder / "runs").glob("[0-9]*")) == []
    same = bench.shim("sbatch", f'set -- -M {bench.cluster.name} "$@"')
    assert bench.hpc("submit", "--config", config, env=same).returncode == 0
    assert bench.document("supervise")["state"] == "complete"


def test_another_clusters_login_node_does_nothing_to_a_run(
    bench: Bench, other: SlurmCluster, closed_partition: str
) -> None:
    """Both share the run's folder, and an empty answer looks like the end of every task."""
    source = posts.json_lines(bench.folder / "p.jsonl", 20)
    # Pending tasks have no heartbeat that could prove the empty answer wrong.
    keys = {"grace_seconds": 0.1, "partition": closed_partition}
    config = bench.config(source, sharding={"shards": 2}, cluster=keys)
    bench.document("submit", "--config", config)

    elsewhere = {"SLURM_CONF": other.env["SLURM_CONF"]}
    status = bench.hpc("status", "--json", env=elsewhere)
    states = {shard["state"] for shard in json.loads(status.stdout)["shards"]}
    assert (status.returncode, states) == (3, {"unknown"})
    again = bench.hpc("resubmit", "--json", env=elsewhere)
    assert json.loads(again.stdout)["array_jobs"] == []
    assert bench.hpc("cancel", env=elsewhere).returncode == 1
    assert queue(other, "%j") == []

    bench.cluster.run("scontrol", "update", f"PartitionName={closed_partition}", "State=UP")
    assert bench.document("supervise")["state"] == "complete"
    assert len(bench.asked()) == 20
