"""Tasks that end before their first line, on a real Slurm: a bad node, and a broken environment."""

import pathlib
import sys

import duckdb
import pytest

from tests.slurm.private_cluster import posts
from tests.slurm.private_cluster.commands import Bench

pytestmark = pytest.mark.slurm


def attempts(bench: Bench) -> list[tuple[int, int, str, str | None]]:
    """Shard, attempt, node and cause, as the history has them."""
    with duckdb.connect(str(bench.folder / "labels.duckdb"), read_only=True) as labels:
        return labels.execute(
            "SELECT shard_index, attempt, node, cause FROM attempts ORDER BY ALL"
        ).fetchall()


def test_a_node_that_ends_every_task_at_once_is_avoided(bench: Bench) -> None:
    """It is always the idle one: of 20 shards, most would use up all attempts there."""
    bad = bench.cluster.node_names[-1]
    config = bench.config(
        posts.json_lines(bench.folder / "p.jsonl", 40),
        sharding={"shards": 20},
        cluster={
            "setup": [f'test "$SLURMD_NODENAME" != {bad} || exit 127', "sleep 2"],
            "max_parallel": 8,
            # Slurm then begins with the bad node.
            "cpus": 4,
        },
    )
    bench.document("submit", "--config", config)
    assert bench.document("supervise")["state"] == "complete"
    ended_early = [row for row in attempts(bench) if row[3] is not None]
    assert ended_early, "no task ran on the bad node"
    assert {(node, cause) for _, _, node, cause in ended_early} == {(bad, "node")}
    shards = [shard for shard, *_ in ended_early]
    assert len(shards) == len(set(shards)), "a shard was sent to the bad node twice"


def test_a_broken_environment_costs_one_array_and_stops_the_run(bench: Bench) -> None:
    python = bench.folder / "environment" / "python"
    python.parent.mkdir()
    python.write_text(
        '#!/bin/sh\nsleep 2\necho "$0: libpython3 is not on this node" >&2\nexit 127\n'
    )
    python.chmod(0o755)
    config = bench.config(
        posts.json_lines(bench.folder / "p.jsonl", 12),
        sharding={"shards": 6},
        # A node each, so that one array shows that it is not the node.
        cluster={"python": str(python), "extra": {"exclusive": True}},
    )
    run = bench.document("submit", "--config", config)
    stopped = bench.document("supervise", code=1)
    assert stopped["state"] == "blocked"
    assert bench.states() == dict.fromkeys(range(6), ("blocked", "environment"))
    assert [shard["attempts"] for shard in stopped["shards"]] == [1] * 6
    (message,) = {shard["message"] for shard in stopped["shards"]}
    assert str(python) in message
    shown = bench.hpc("status")
    assert str(python) in shown.stdout, shown
    assert bench.hpc("resubmit").returncode == 1
    submissions = pathlib.Path(run["run_dir"]) / "submissions"
    assert len(list(submissions.iterdir())) == 1
    python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    bench.document("resubmit", "--force")
    assert bench.document("supervise")["state"] == "complete"
    causes = {(attempt, cause) for _, attempt, _, cause in attempts(bench)}
    assert causes == {(1, "environment"), (2, None)}


def test_a_setup_line_that_ends_the_script_is_tried_elsewhere_once(bench: Bench) -> None:
    config = bench.config(
        posts.json_lines(bench.folder / "p.jsonl", 2),
        sharding={"shards": 1},
        cluster={"setup": ["exit 0"]},
    )
    bench.document("submit", "--config", config)
    stopped = bench.document("supervise", code=1)
    assert bench.states() == {0: ("blocked", "environment")}
    assert "cluster.setup" in stopped["shards"][0]["message"]
    assert bench.document("gather", code=1)["rows_added"] == 0
    (first, second) = attempts(bench)
    assert (first[3], second[3]) == ("node", "environment")
    assert first[2] != second[2]
