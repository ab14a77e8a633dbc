"""What a user exports in .bashrc does not change what the product sees or does."""

import json

import pytest

from tests.slurm.private_cluster import posts
from tests.slurm.private_cluster.cluster import wait_for
from tests.slurm.private_cluster.commands import Bench

pytestmark = pytest.mark.slurm

# As sites document them: each filters what the command of its name shows, or acts on.
EXPORTED = {
    "SQUEUE_PARTITION": "high",
    "SQUEUE_USERS": "nobody",
    "SQUEUE_STATES": "SUSPENDED",
    "SINFO_PARTITION": "high",
    "SACCT_FORMAT": "JobID",
    "SCANCEL_PARTITION": "high",
    "SCANCEL_USER": "nobody",
    "SCANCEL_INTERACTIVE": "1",
    "SLURM_CLUSTERS": "other",
    "SBATCH_CLUSTERS": "other",
    "SLURM_NTASKS": "4",
    "SBATCH_ARRAY_INX": "0-99",
}


def test_a_run_is_seen_and_canceled_whatever_the_shell_exports(bench: Bench) -> None:
    for index in range(3):
        bench.script(index, "wait")
    source = posts.json_lines(bench.folder / "p.jsonl", 30)
    config = bench.config(source, sharding={"shards": 3}, cluster={"max_parallel": 2})
    submitted = bench.hpc("submit", "--config", config, "--json", env=EXPORTED)
    assert submitted.returncode == 0, submitted.stderr
    (job,) = json.loads(submitted.stdout)["array_jobs"]

    def states() -> list[str]:
        shards = json.loads(bench.hpc("status", "--json", env=EXPORTED).stdout)["shards"]
        return sorted(shard["state"] for shard in shards)

    wait_for(lambda: states() == ["queued", "running", "running"], 60, "two tasks run")
    canceled = bench.hpc("cancel", env=EXPORTED)
    assert canceled.returncode == 0, canceled.stderr
    assert bench.cluster.run("squeue", "-h", "-j", str(job), "-t", "R,PD", check=False) == ""


def test_an_array_that_slurm_does_not_release_is_reported(bench: Bench) -> None:
    """A wrapper may accept the change and not make it: the array would wait for a year."""
    source = posts.json_lines(bench.folder / "p.jsonl", 10)
    config = bench.config(source, sharding={"shards": 1})
    ignoring = bench.shim("scontrol", before='[ "$1" = update ] && exit 0')
    refused = bench.hpc("submit", "--config", config, env=ignoring)
    assert refused.returncode == 1
    assert "Traceback" not in refused.stderr
    assert bench.hpc("supervise").returncode == 0
    assert len(bench.asked()) == 10


@pytest.mark.parametrize(
    "after",
    [
        pytest.param("echo; echo 'You have 1,200 hours left.'", id="a-banner-after-the-id"),
        pytest.param("exec >/dev/null", id="no-answer-at-all"),
    ],
)
def test_an_array_is_found_whatever_a_wrapper_prints(bench: Bench, after: str) -> None:
    source = posts.json_lines(bench.folder / "p.jsonl", 10)
    config = bench.config(source, sharding={"shards": 1})
    before = "exec 3>&1; exec >/dev/null" if after.startswith("exec") else ""
    assert (
        bench.hpc("submit", "--config", config, env=bench.shim("sbatch", before, after)).returncode
        == 0
    )
    assert bench.hpc("supervise").returncode == 0
    assert len(bench.asked()) == 10
