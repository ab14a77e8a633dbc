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
    "SQUEUE_FORMAT": "%u",
    "SLURM_TIME_FORMAT": "relative",
    "SLURM_BITSTR_LEN": "8",
    "SLURM_DEBUG": "2",
    "SLURM_NTASKS": "4",
    "SLURM_TRES_PER_TASK": "cpu=4",
    "SRUN_CPUS_PER_TASK": "4",
    "SLURM_CPUS_PER_TASK": "4",
    "SLURM_MEM_PER_CPU": "9000",
    "SBATCH_ARRAY_INX": "0-99",
    "SBATCH_EXPORT": "NONE",
    "SBATCH_TIMELIMIT": "1",
    "SBATCH_WAIT": "1",
}
# These say where a new run goes, and nothing about a run that is there.
ELSEWHERE = {"SLURM_CLUSTERS": "other", "SBATCH_CLUSTERS": "other", "SBATCH_PARTITION": "high"}


def test_a_run_is_seen_and_canceled_whatever_the_shell_exports(bench: Bench) -> None:
    shell = {**EXPORTED, **ELSEWHERE}
    for index in range(3):
        bench.script(index, "wait")
    source = posts.json_lines(bench.folder / "p.jsonl", 30)
    config = bench.config(source, sharding={"shards": 3}, cluster={"max_parallel": 2})
    submitted = bench.hpc("submit", "--config", config, "--json", env=EXPORTED)
    assert submitted.returncode == 0, submitted.stderr
    (job,) = json.loads(submitted.stdout)["array_jobs"]

    def states() -> list[str]:
        shards = json.loads(bench.hpc("status", "--json", env=shell).stdout)["shards"]
        return sorted(shard["state"] for shard in shards)

    wait_for(lambda: states() == ["queued", "running", "running"], 60, "two tasks run")
    canceled = bench.hpc("cancel", env=shell)
    assert canceled.returncode == 0, canceled.stderr
    assert bench.cluster.run("squeue", "-h", "-j", str(job), "-t", "R,PD", check=False) == ""


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param("exit 0", id="accepted-and-not-made"),
        pytest.param("echo 'Access/permission denied' >&2; exit 1", id="refused"),
    ],
)
def test_an_array_that_slurm_does_not_release_is_canceled(bench: Bench, answer: str) -> None:
    """Some sites forbid job updates (slurm_job_modify): the array would wait for a year."""
    source = posts.json_lines(bench.folder / "p.jsonl", 10)
    config = bench.config(source, sharding={"shards": 1})
    no_updates = bench.shim("scontrol", before=f'[ "$1" = update ] && {{ {answer}; }}')
    refused = bench.hpc("submit", "--config", config, env=no_updates)
    assert refused.returncode == 1
    assert "Traceback" not in refused.stderr
    assert list((bench.folder / "runs").glob("[0-9]*")) == []
    assert "test" not in bench.cluster.run("squeue", "-h", "-o", "%j")
    assert bench.hpc("submit", "--config", config, "--wait").returncode == 0
    assert len(bench.asked()) == 10


@pytest.mark.parametrize(
    "after",
    [
        pytest.param("echo; echo 'You have 1,200 hours left.'", id="a-banner-after-the-id"),
        pytest.param("exec >/dev/null", id="no-answer-at-all"),
        pytest.param(
            "exec >/dev/null; echo 'Socket timed out on send/recv operation' >&2; exit 1",
            id="a-time-out-after-the-array-was-accepted",
        ),
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
