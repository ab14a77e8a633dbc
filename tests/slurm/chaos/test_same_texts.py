"""A sample with equal texts on a real Slurm: a killed task pays for no text twice."""

import json
import os
import pathlib
import signal

import duckdb
import pytest

from tests.slurm.private_cluster.cluster import wait_for
from tests.slurm.private_cluster.commands import Bench

pytestmark = pytest.mark.slurm

SIZE, SHARED = 30, 6


def backlog(path: pathlib.Path) -> pathlib.Path:
    """Forty posts; those with even numbers share a few texts, which differ only at their ends."""
    lines = [
        json.dumps(
            {
                "uri": f"at://{number:02d}",
                "text": f"a shared text{' ' * (number // 2 % SHARED)}" if number % 2 == 0
                else f"a text of its own, number {number}",
                "preprocessing_timestamp": f"2026-03-01T00:{number:02d}:00Z",
            }
        )
        for number in range(40)
    ]  # fmt: skip
    path.write_text("\n".join(lines))
    return path


def living_task(bench: Bench) -> pathlib.Path | None:
    """Return what the task that is still at work was asked; None if there is none."""
    for path in bench.scripts.glob("asked-*"):
        if pathlib.Path("/proc", path.name.removeprefix("asked-")).exists():
            return path
    return None


def has_answers(path: pathlib.Path | None) -> bool:
    return path is not None and len(path.read_text().splitlines()) > 1


def test_the_sample_gets_all_rows_and_asks_about_each_text_once(bench: Bench) -> None:
    config = bench.config(backlog(bench.folder / "p.jsonl"), sharding={"shards": 2})
    bench.script(0, "slow")
    drawn = ("--config", config, "--sample", str(SIZE), "--seed", "8")
    run = bench.document("submit", *drawn)
    assert run["sample"]["population"] == 40
    wait_for(lambda: bench.states()[1] == ("done", None), 60, "the other task has ended")
    wait_for(lambda: has_answers(living_task(bench)), 60, "the slow task has answers")
    task = living_task(bench)
    assert task
    os.kill(int(task.name.removeprefix("asked-")), signal.SIGKILL)
    (bench.scripts / "go").touch()
    assert bench.document("supervise")["state"] == "complete"
    with duckdb.connect(str(bench.folder / "labels.duckdb"), read_only=True) as labels:
        rows, texts, copies, without_row, differing = labels.execute(
            "SELECT count(*), count(DISTINCT text), count(copied_from), "
            "(SELECT count(*) FROM samples ANTI JOIN labels_test USING (uri)), "
            "(SELECT count(*) FROM labels_test AS copy JOIN labels_test AS asked "
            "ON copy.copied_from = asked.uri WHERE copy.text <> asked.text) FROM labels_test"
        ).fetchall()[0]
        assert (rows, without_row, differing) == (SIZE, 0, 0)
        assert copies == rows - texts > SHARED
        originals = {
            uri
            for (uri,) in labels.execute(
                "SELECT uri FROM labels_test WHERE copied_from IS NULL"
            ).fetchall()
        }
    assert set(bench.asked()) == originals
    assert len(bench.asked()) <= texts + 1, "more than the post in flight was asked about again"
    again = bench.document("submit", *drawn)
    assert (again["posts"], again["sample"]["is_new"]) == (0, False)
