"""Accounting that is off or away: squeue and the outputs carry on, and nothing is guessed."""

import pathlib
import re

import pytest

from tests.slurm import posts
from tests.slurm.cluster import SlurmCluster, wait_for
from tests.slurm.commands import Bench

pytestmark = pytest.mark.slurm


@pytest.fixture
def lone_bench(lone_cluster: SlurmCluster, tmp_path: pathlib.Path) -> Bench:
    lone_cluster.start()
    return Bench(lone_cluster, tmp_path)


def test_without_slurmdbd_what_ended_is_unknown_and_not_submitted_again(lone_bench: Bench) -> None:
    lone_bench.script(0, "wait")
    lone_bench.script(1, "die")
    config = lone_bench.config(
        posts.json_lines(lone_bench.folder / "p.jsonl", 30), sharding={"shards": 3}
    )
    lone_bench.document("submit", "--config", config)
    lone_bench.cluster.stop_slurmdbd()
    # The controller remembers ended tasks for MinJobAge; a restart makes it forget them.
    expected = {0: ("running", None), 1: ("failed", "crashed"), 2: ("done", None)}
    wait_for(lambda: lone_bench.states() == expected, 90, "squeue tells the states")
    (lone_bench.scripts / "go").touch()
    wait_for(lambda: lone_bench.states()[0] == ("done", None), 60, "shard 0 is done")
    assert lone_bench.hpc("status").returncode == 1
    lone_bench.cluster.start_slurmdbd()
    assert lone_bench.document("supervise")["state"] == "complete"


def test_with_neither_daemon_a_shard_is_unknown_with_the_time_of_the_last_answer(
    lone_bench: Bench,
) -> None:
    lone_bench.script(0, "wait")
    config = lone_bench.config(
        posts.json_lines(lone_bench.folder / "p.jsonl", 10), sharding={"shards": 1}
    )
    lone_bench.document("submit", "--config", config)
    wait_for(lambda: lone_bench.states()[0] == ("running", None), 60, "shard 0 runs")
    lone_bench.cluster.stop_slurmdbd()
    lone_bench.cluster.stop_slurmctld()
    (shard,) = lone_bench.document("status", code=3)["shards"]
    assert shard["state"] == "unknown"
    assert re.search(r"\b20\d\d-\d\d-\d\d\b", shard["message"]), shard
    assert lone_bench.hpc("resubmit", "--indices", "0").returncode == 1
    assert lone_bench.hpc("supervise", "--once").returncode == 3
    (lone_bench.scripts / "go").touch()
    wait_for(lambda: lone_bench.states()[0] == ("done", None), 60, "the output tells the end")
    lone_bench.cluster.start_slurmctld()
    lone_bench.cluster.start_slurmdbd()
    assert lone_bench.document("supervise")["state"] == "complete"


def test_a_cluster_without_accounting_is_driven_by_squeue(lone_bench: Bench) -> None:
    lone_bench.cluster.turn_off_accounting()
    lone_bench.script(1, "die")
    config = lone_bench.config(posts.json_lines(lone_bench.folder / "p.jsonl", 30))
    lone_bench.document("submit", "--config", config)
    end = lone_bench.document("supervise")
    assert end["state"] == "complete"
    assert [shard["attempts"] for shard in end["shards"]] == [1, 2, 1, 1]
