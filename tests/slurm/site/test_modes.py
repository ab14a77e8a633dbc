"""What tasks on nodes write, and Slurm for them, is closed to everybody but owner and group."""

import pathlib

import pytest

from tests.slurm.private_cluster import posts
from tests.slurm.private_cluster.commands import Bench

pytestmark = pytest.mark.slurm


def test_tasks_in_slurm_write_nothing_that_others_can_read(bench: Bench) -> None:
    source = posts.json_lines(bench.folder / "p.jsonl", 8)
    # Long enough that no log is packed yet, however long the machine takes.
    config = bench.config(source, sharding={"shards": 2}, cluster={"grace_seconds": 3600})
    run = pathlib.Path(bench.document("submit", "--config", config)["run_dir"])
    assert bench.document("supervise")["state"] == "complete"
    written = [run, *run.rglob("*")]
    assert {path.parent.name for path in written} >= {"0001", "outputs", "shards", "submissions"}
    assert [path for path in written if path.stat().st_mode & 0o007] == []
    # One file of orders for the array, and a log for each task.
    attempt = sorted(path.suffix for path in (run / "logs" / "0001").iterdir())
    assert attempt == [".json", ".out", ".out", ".sh"]
