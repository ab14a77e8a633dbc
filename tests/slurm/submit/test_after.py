"""`submit --after`: tasks start once a job of others has succeeded, and never without it."""

import pathlib

import pytest

from tests.slurm.private_cluster import posts
from tests.slurm.private_cluster.cluster import SlurmCluster, wait_for
from tests.slurm.private_cluster.commands import Bench

pytestmark = pytest.mark.slurm


def upstream(cluster: SlurmCluster, script: str, *options: str) -> str:
    """Submit a job of somebody's own, and return its id."""
    return cluster.run(
        "sbatch", "--parsable", "--mem=50", "-o", "/dev/null", *options, f"--wrap={script}"
    ).strip()


def ended_as(cluster: SlurmCluster, job: str, state: str) -> None:
    def states() -> set[str]:
        shown = cluster.run("sacct", "-n", "-P", "-X", "-j", job, "-o", "State")
        return set(shown.split())

    wait_for(lambda: state in states(), 60, f"accounting has job {job} as {state}")


@pytest.fixture
def config(bench: Bench) -> pathlib.Path:
    source = posts.json_lines(bench.folder / "p.jsonl", 12)
    return bench.config(source, sharding={"shards": 3}, cluster={"max_submitted": 100})


def test_tasks_start_once_the_job_has_succeeded_and_later_attempts_do_not_wait(
    bench: Bench, config: pathlib.Path
) -> None:
    gate = bench.folder / "gate"
    job = upstream(bench.cluster, f"until [ -e {gate} ]; do sleep 0.1; done")
    bench.script(1, "fail")
    made = bench.document("submit", "--config", config, "--after", job)
    wait_for(
        lambda: "Dependency" in bench.hpc("status").stdout, 30, "Slurm says what the tasks wait for"
    )
    assert {state for state, _ in bench.states().values()} == {"queued"}
    gate.touch()
    end = bench.document("supervise")
    assert end["state"] == "complete"
    assert [shard["attempts"] for shard in end["shards"]] == [1, 2, 1]
    folder = bench.folder / "runs" / made["run_id"]
    scripts = [path.read_text() for path in sorted(folder.glob("logs/*/sbatch.sh"))]
    first, second = (made["array_jobs"][0], end["shards"][1]["array_job_id"])
    assert first != second
    assert f"#SBATCH --dependency=afterok:{job}\n" in scripts[0]
    assert "afterok" not in scripts[1]


def test_a_run_whose_job_fails_is_blocked_and_starts_by_force(
    bench: Bench, config: pathlib.Path
) -> None:
    job = upstream(bench.cluster, "sleep 4; exit 1")
    bench.document("submit", "--config", config, "--after", job)
    end = bench.document("supervise", code=1)
    assert end["state"] == "blocked"
    assert all("DependencyNeverSatisfied" in shard["message"] for shard in end["shards"])
    assert all("--force" in shard["message"] for shard in end["shards"])
    assert bench.asked() == []
    assert bench.hpc("cancel").returncode == 0
    wait_for(
        lambda: set(bench.states().values()) == {("blocked", "cancelled")}, 60, "tasks are gone"
    )
    assert bench.hpc("resubmit", "--force").returncode == 0
    assert bench.document("supervise")["state"] == "complete"


@pytest.mark.parametrize(
    ("script", "options", "state", "suffix"),
    [
        ("exit 3", (), "FAILED", ""),
        ("exit $SLURM_ARRAY_TASK_ID", ("--array=0-1",), "FAILED", ""),
        ("exit $SLURM_ARRAY_TASK_ID", ("--array=0-1",), "FAILED", "_1"),
        ("exit 0", ("--array=0-1",), "COMPLETED", "_7"),  # Slurm takes it for satisfied
        ("exit 0", (), "COMPLETED", "_0"),
        ("exit 0", (), "COMPLETED", "999"),
    ],
)
def test_a_job_that_has_failed_or_is_unknown_is_rejected_before_anything_is_submitted(
    bench: Bench,
    config: pathlib.Path,
    script: str,
    options: tuple[str, ...],
    state: str,
    suffix: str,
) -> None:
    job = upstream(bench.cluster, script, *options)
    ended_as(bench.cluster, job, state)
    refused = bench.hpc("submit", "--config", config, "--after", f"{job}{suffix}")
    assert refused.returncode == 2, refused
    assert f"job {job}" in refused.stderr
    assert list((bench.folder / "runs").glob("[0-9]*")) == []


def test_what_has_succeeded_already_is_not_waited_for(bench: Bench, config: pathlib.Path) -> None:
    array = upstream(bench.cluster, "exit $SLURM_ARRAY_TASK_ID", "--array=0-1")
    job = upstream(bench.cluster, "exit 0")
    ended_as(bench.cluster, array, "FAILED")
    ended_as(bench.cluster, job, "COMPLETED")
    after = ("--config", config, "--after", f"{job},{array}_0")
    assert "dependency" not in bench.document("submit", *after, "--dry-run")["script"]
    submitted = bench.hpc("submit", *after)
    assert submitted.returncode == 0
    assert submitted.stdout.count(" have succeeded") == 1, submitted.stdout
    assert bench.document("supervise")["state"] == "complete"


def test_a_site_that_cancels_what_can_never_start_leaves_a_blocked_run_that_names_the_job(
    tmp_path_factory: pytest.TempPathFactory, tmp_path: pathlib.Path
) -> None:
    extra = ("DependencyParameters=kill_invalid_depend",)
    with SlurmCluster(tmp_path_factory.mktemp("slurm"), nodes=1, extra_conf=extra) as site:
        bench = Bench(site, tmp_path)
        config = bench.config(posts.json_lines(tmp_path / "p.jsonl", 12), sharding={"shards": 3})
        job = upstream(site, "sleep 3; exit 1")
        bench.document("submit", "--config", config, "--after", job)
        end = bench.document("supervise", code=1)
        assert {(shard["state"], shard["cause"]) for shard in end["shards"]} == {
            ("blocked", "cancelled")
        }
        assert all(f"sacct -j {job}" in shard["message"] for shard in end["shards"])
        assert bench.asked() == []
        assert bench.hpc("resubmit", "--force").returncode == 0
        assert bench.document("supervise")["state"] == "complete"
