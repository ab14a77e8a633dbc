"""A caretaker's job and a person's supervise see the same end of a run, and report it once."""

import json
import pathlib

import pytest

from tests.slurm.private_cluster import posts
from tests.slurm.private_cluster.cluster import wait_for
from tests.slurm.private_cluster.commands import Bench

pytestmark = pytest.mark.slurm


def test_a_caretaker_and_supervise_report_the_same_end_once(bench: Bench) -> None:
    events = bench.folder / "events"
    config = bench.config(
        posts.json_lines(bench.folder / "p.jsonl", 40),
        notify={"command": f"cat >> {events}"},
        cluster={"caretaker": {"mem_gb": 0.4}},
    )
    run = pathlib.Path(bench.document("submit", "--config", config, "--caretaker")["run_dir"])
    wait_for(lambda: events.exists() and events.read_text(), 120, "somebody is notified")
    wait_for(lambda: bench.cluster.run("squeue", "-h") == "", 60, "the caretaker has ended")
    assert bench.hpc("supervise", run).returncode == 0
    assert bench.hpc("supervise", "--once", run).returncode == 0
    (event,) = map(json.loads, events.read_text().splitlines())
    assert (event["event"], event["posts_done"], event["run_id"]) == ("done", 40, run.name)
