"""A task's end on a real Slurm, as the screen shows it until no file can show up late."""

import json

import pytest

from tests.slurm.private_cluster import posts
from tests.slurm.private_cluster.cluster import wait_for
from tests.slurm.private_cluster.commands import Bench

pytestmark = pytest.mark.slurm


def test_killed_tasks_are_ending_until_the_grace_time_is_over(bench: Bench) -> None:
    for index in range(3):
        bench.script(index, "die")
    config = bench.config(
        posts.json_lines(bench.folder / "p.jsonl", 30),
        sharding={"shards": 3},
        cluster={"max_parallel": 3, "grace_seconds": 60, "poll_seconds": 1},
        retry={"max_attempts": 2},
    )
    bench.document("submit", "--config", config)
    ending = dict.fromkeys(range(3), ("ending", "crashed"))
    wait_for(lambda: bench.states() == ending, 60, "all three are ending, with their cause")

    shown = bench.hpc("status")
    assert shown.returncode == 3
    assert " to go" not in shown.stdout
    assert "posts/min" not in shown.stdout
    failed = json.loads(bench.hpc("logs", "--failed", "--json").stdout)["shards"]
    assert [shard["index"] for shard in failed] == [0, 1, 2]
    # Nothing acts on them yet, and no command calls that a success.
    assert bench.document("resubmit", code=3)["shards"] == []
    assert bench.document("resubmit", "--indices", "1", code=3)["shards"] == []
    assert bench.states() == ending

    # By force it waits for the rest of the grace time, and then submits.
    assert bench.document("resubmit", "--force")["shards"] == [0, 1, 2]
    assert bench.document("supervise")["state"] == "complete"
    assert len(bench.asked()) == 30
