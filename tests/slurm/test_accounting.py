"""Accounting that is off or away: squeue and the outputs carry on, and nothing is guessed."""

import pathlib
import re

import pytest

from tests.slurm.private_cluster import posts
from tests.slurm.private_cluster.cluster import wait_for
from tests.slurm.private_cluster.commands import Bench

pytestmark = pytest.mark.slurm


def test_without_slurmdbd_ended_tasks_are_unknown_and_not_resubmitted(bench: Bench) -> None:
    bench.script(0, "wait")
    bench.script(1, "die")
    config = bench.config(posts.json_lines(bench.folder / "p.jsonl", 30), sharding={"shards": 3})
    bench.document("submit", "--config", config)
    bench.cluster.stop_slurmdbd()
    # The controller remembers ended tasks for MinJobAge; a restart makes it forget them.
    expected = {0: ("running", None), 1: ("failed", "crashed"), 2: ("done", None)}
    wait_for(lambda: bench.states() == expected, 90, "squeue tells the states")
    (bench.scripts / "go").touch()
    wait_for(lambda: bench.states()[0] == ("done", None), 60, "shard 0 is done")
    assert bench.hpc("status").returncode == 1
    bench.cluster.start_slurmdbd()
    assert bench.document("supervise")["state"] == "complete"


def test_with_both_daemons_down_a_shard_is_unknown_since_the_last_answer(
    bench: Bench,
) -> None:
    bench.script(0, "wait")
    config = bench.config(posts.json_lines(bench.folder / "p.jsonl", 10), sharding={"shards": 1})
    run = pathlib.Path(bench.document("submit", "--config", config)["run_dir"])
    wait_for(lambda: bench.states()[0] == ("running", None), 60, "shard 0 runs")
    # Slurm calls it running before srun has asked the controller for its step.
    wait_for(lambda: list(run.glob("work/*/*.heartbeat.json")), 60, "the worker has begun")
    bench.cluster.stop_slurmctld()  # it would wait for slurmdbd
    bench.cluster.stop_slurmdbd()
    (shard,) = bench.document("status", code=3)["shards"]
    assert shard["state"] == "unknown"
    assert re.search(r"\b20\d\d-\d\d-\d\d\b", shard["message"]), shard
    assert bench.hpc("resubmit", "--indices", "0").returncode == 1
    assert bench.hpc("supervise", "--once").returncode == 3
    (bench.scripts / "go").touch()
    wait_for(lambda: bench.states()[0] == ("done", None), 60, "the output tells the end")
    bench.cluster.start_slurmdbd()
    bench.cluster.start_slurmctld()
    assert bench.document("supervise")["state"] == "complete"


def test_a_cluster_without_accounting_is_observed_through_squeue(bench: Bench) -> None:
    bench.script(1, "die")
    config = bench.config(posts.json_lines(bench.folder / "p.jsonl", 30))
    with bench.cluster.without_accounting():
        bench.document("submit", "--config", config)
        end = bench.document("supervise")
    assert end["state"] == "complete"
    assert [shard["attempts"] for shard in end["shards"]] == [1, 2, 1, 1]
