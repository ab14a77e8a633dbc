"""What Slurm records of tasks becomes advice for the next run."""

import pathlib
from typing import Any

import pytest

from hpc.efficiency import sampled_memory
from tests.slurm.private_cluster import posts
from tests.slurm.private_cluster.cluster import SlurmCluster, wait_for
from tests.slurm.private_cluster.commands import Bench

pytestmark = pytest.mark.slurm


def efficiency(bench: Bench) -> dict[str, Any]:
    """What status says once accounting has heard of every end."""

    def measured() -> dict[str, Any] | None:
        found: dict[str, Any] = bench.document("status", "--efficiency")["efficiency"]
        return found if found["published"] == 4 and not found["unknown"] else None

    return wait_for(measured, 60, "accounting knows how all tasks ended")


def await_samples(bench: Bench, job: int, *indices: int) -> None:
    """Wait until Slurm has measured the memory of running tasks, which it does every 2 s."""

    def are_measured() -> bool:
        steps = [f"{job}_{index}.0" for index in indices]
        rows = [
            bench.cluster.run("sstat", "-nPo", "MaxRSS", "-j", step, check=False) for step in steps
        ]
        return all(row.strip() not in ("", "0") for row in rows)

    wait_for(are_measured, 90, "the memory of the tasks is measured")


def test_the_tasks_of_a_run_are_measured(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampled_memory, "LEAST_SAMPLED_S", 1)  # this cluster samples every 2 s
    for index, steps in enumerate(["wait", "memory wait", "wait", "wait"]):
        bench.script(index, steps)
    config = bench.config(
        posts.json_lines(bench.folder / "p.jsonl", 40),
        cluster={"time_min": 60, "max_parallel": 4, "grace_seconds": 0.1},
    )
    document = bench.document("submit", "--config", config)
    run = pathlib.Path(document["run_dir"])
    await_samples(bench, document["array_jobs"][0], 0, 2, 3)
    wait_for(lambda: bench.states()[1] == ("failed", "out_of_memory"), 60, "a task failed")
    bench.hpc("supervise", "--once")
    await_samples(bench, bench.document("status", code=3)["shards"][1]["array_job_id"], 1)
    (bench.scripts / "go").touch()
    assert bench.document("supervise")["efficiency"]["failed"] == 1
    found = efficiency(bench)
    assert (found["published"], found["failed"]) == (4, 1)
    assert found["wasted_node_hours_by_cause"].keys() == {"out_of_memory"}
    memory, minutes, cpus = found["mem_gb"], found["minutes"], found["cpus"]
    assert (memory["least_requested"], memory["most_requested"]) == (0.4, 0.8)
    assert 0 < memory["median"] <= memory["most"] < 0.4
    assert (minutes["least_requested"], cpus["allocated"]) == (60, 1)
    assert 0 < cpus["most"] <= 1
    assert 0 < found["core_hours"]["used"] < found["core_hours"]["allocated"]
    # 0.4 GiB was too little for one task, whatever the others used.
    assert found["template"] == "mem_gb: 0.5\ntime: 00:10:00\ncpus: 1\n"
    # It is remembered after Slurm has forgotten it.
    bench.document("gather")
    assert (run / "logs" / "packed.jsonl").exists()
    assert efficiency(bench) == found


def test_a_site_that_measures_nothing_gets_no_advice_on_cpus(
    tmp_path: pathlib.Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    extra = ["JobAcctGatherType=jobacct_gather/none"]
    folder = tmp_path_factory.mktemp("slurm")
    with SlurmCluster(folder, nodes=1, threads_per_core=2, extra_conf=extra) as cluster:
        bench = Bench(cluster, tmp_path)
        config = bench.config(posts.json_lines(bench.folder / "p.jsonl", 40))
        bench.document("submit", "--config", config)
        bench.document("supervise")
        found = efficiency(bench)
    assert (found["cpus"], found["core_hours"]) == (None, None)
    assert found["mem_gb_source"] == sampled_memory.OWN_COUNT
    assert [line["key"] for line in found["advice"]] == ["mem_gb", "time"]
    assert any("up to 2 CPUs where 1" in note for note in found["notes"])
