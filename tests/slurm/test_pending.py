"""What can never start is blocked, and what works is not lost because Slurm shows nothing."""

import json

import pytest

from tests.slurm.private_cluster import posts
from tests.slurm.private_cluster.cluster import wait_for
from tests.slurm.private_cluster.commands import Bench

pytestmark = pytest.mark.slurm

QOS = "one_cpu"


@pytest.fixture
def qos(bench: Bench) -> str:
    """A QOS whose jobs may have one CPU at most; larger ones are accepted, and never start."""
    bench.cluster.run("sacctmgr", "-i", "add", "qos", QOS, "MaxTRESPerJob=cpu=1", check=False)
    bench.cluster.run("sacctmgr", "-i", "modify", "user", "root", "set", f"qos+={QOS}")
    return QOS


def test_a_task_that_can_never_start_is_blocked_with_advice(bench: Bench, qos: str) -> None:
    source = posts.json_lines(bench.folder / "p.jsonl", 10)
    config = bench.config(source, sharding={"shards": 2}, cluster={"cpus": 2, "qos": qos})
    bench.document("submit", "--config", config)
    blocked = {0: ("blocked", None), 1: ("blocked", None)}
    wait_for(lambda: bench.states() == blocked, 60, "Slurm says why nothing starts")
    end = bench.document("supervise", code=1)
    assert end["state"] == "blocked"
    assert all("QOSMaxCpuPerJobLimit" in shard["message"] for shard in end["shards"])
    assert all("cluster.cpus" in shard["message"] for shard in end["shards"])
    assert bench.hpc("cancel").returncode == 0


def test_a_task_with_a_fresh_heartbeat_is_unknown_while_slurm_shows_no_job(bench: Bench) -> None:
    """As for a colleague under PrivateData=jobs: squeue and sacct succeed, and print nothing."""
    bench.script(0, "wait")
    source = posts.json_lines(bench.folder / "p.jsonl", 10)
    config = bench.config(source, sharding={"shards": 1})
    run = bench.document("submit", "--config", config)
    folder = bench.folder / "runs" / run["run_id"] / "work" / "00000"
    wait_for(lambda: list(folder.glob("*heartbeat*")), 60, "the task has a heartbeat")
    blind = bench.shim("squeue", before="exit 0")
    blind = bench.shim("sacct", before="exit 0", path=blind["PATH"])

    def state() -> str:
        shown = bench.hpc("status", "--json", env=blind)
        assert shown.returncode in (1, 3), shown.stderr
        return str(json.loads(shown.stdout)["shards"][0]["state"])

    wait_for(lambda: state() == "unknown", 60, "the heartbeat counts")
    canceled = bench.hpc("cancel", "--json", env=blind)
    assert canceled.returncode == 1
    assert json.loads(canceled.stdout)["unreached_jobs"] == run["array_jobs"]
    again = bench.hpc("resubmit", "--json", env=blind)
    assert json.loads(again.stdout)["array_jobs"] == []
    (bench.scripts / "go").touch()
    assert bench.document("supervise")["state"] == "complete"
    assert len(bench.asked()) == 10
