"""Runs that commit 6f9faab made, stored as text, go on with this version."""

import base64
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import duckdb
import pytest
from submitit.core.utils import DelayedSubmission

from hpc.run import run_folder
from hpc.run.model.run import Run
from pipeline.model import WorkOrder
from pipeline.worker.submitit_task import ShardTask
from tests.hpc.cli_bench import Bench

DATA = Path(__file__).parents[2] / "data" / "runs_of_6f9faab"
# A task's order names the folder of a user; the copy is elsewhere.
RUN_ORDER = """
import dataclasses, sys
from submitit.core.utils import DelayedSubmission
order = DelayedSubmission.load(sys.argv[1])
order.function(dataclasses.replace(order.args[0], run_dir=sys.argv[2]))
"""
ENDED = "2024-06-01T13:17:00|2024-06-01T13:17:00|2024-06-01T13:18:00|60||n1|"
PROGRAMS = {
    "squeue": "true",
    "sacct": f"echo '4711_0|FAILED|1:0|{ENDED}'; echo '4711_1|FAILED|1:0|{ENDED}'",
    "sbatch": "echo 4712",
    "scontrol": "true",
    "sinfo": "echo 'normal*|4:00:00|4000|n1'; echo 'normal*|4:00:00|4000|n2'",
}
LABELED = {"1": "positive", "2": "negative", "3": "positive", "4": None}


def unpack(scenario: str, folder: Path) -> Run:
    """Write the files of a stored run below `folder`, as its user had them."""
    source = DATA / scenario
    run_id = json.loads((source / "manifest.json").read_text())["run_id"]
    target = folder / "runs" / run_id
    for path in source.rglob("*.*"):
        copy = target / path.relative_to(source)
        copy.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".b64":
            copy.with_suffix("").write_bytes(base64.b64decode(path.read_text()))
        else:
            text = path.read_text().replace("@FOLDER@", str(folder))
            copy.write_text(text.replace("@PYTHON@", sys.executable))
    for name in ("outputs", "work"):
        (target / name).mkdir(exist_ok=True)
    return run_folder.load(target)


def states(bench: Bench, run: Run) -> list[tuple[str, str | None]]:
    document = json.loads(bench.hpc("status", run.folder, "--json").stdout)
    return [(shard["state"], shard["cause"]) for shard in document["shards"]]


def labels(run: Run) -> dict[str, Any]:
    with duckdb.connect(run.manifest.database, read_only=True) as database:
        rows = database.execute(
            f"SELECT right(uri, 1), valence_label FROM labels_{run.manifest.name} ORDER BY uri"
        ).fetchall()
    return dict(rows)


@pytest.mark.parametrize(
    ("scenario", "expected"),
    [
        ("complete", [("done", None), ("done", None)]),
        ("failed", [("done", None), ("failed", "node")]),
        ("interrupted", [("done", None), ("failed", "lost")]),
    ],
)
def test_a_local_run_is_judged_resubmitted_and_gathered(
    tmp_path: Path, bench: Bench, scenario: str, expected: list[tuple[str, str | None]]
) -> None:
    run = unpack(scenario, tmp_path)
    assert states(bench, run) == expected
    if scenario != "complete":
        resubmitted = bench.hpc("resubmit", run.folder)
        assert (resubmitted.returncode, resubmitted.stderr) == (0, "")
    assert states(bench, run) == [("done", None), ("done", None)]
    gathered = bench.hpc("gather", run.folder)
    assert (gathered.returncode, gathered.stderr) == (0, "")
    assert labels(run) == LABELED
    counts = bench.document("status", run.folder)
    assert (counts["labeled"], counts["unlabelable"]) == (3, {"text_too_short": 1})


def test_a_local_run_is_supervised_to_its_end(tmp_path: Path, bench: Bench) -> None:
    run = unpack("interrupted", tmp_path)
    assert bench.hpc("supervise", run.folder).returncode == 0
    assert labels(run) == LABELED


@pytest.fixture
def slurm_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """A run whose two tasks failed, on a Slurm that takes whatever is submitted."""
    programs = tmp_path / "programs"
    programs.mkdir()
    for name, lines in PROGRAMS.items():
        (programs / name).write_text(f"#!/bin/sh\n{lines}\n")
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    return unpack("slurm", tmp_path)


def test_a_run_on_slurm_is_judged_and_resubmitted(slurm_run: Run, bench: Bench) -> None:
    # Neither of them left a file of its own.
    assert states(bench, slurm_run) == [("failed", "node"), ("failed", "node")]
    resubmitted = bench.hpc("resubmit", slurm_run.folder, "--json")
    assert resubmitted.returncode == 0
    assert json.loads(resubmitted.stdout) == {
        "run_id": slurm_run.run_id, "shards": [0, 1], "array_jobs": [4712], "changes": [],
    }  # fmt: skip
    record = json.loads((slurm_run.folder / "submissions" / "0002.json").read_text())
    assert (record["array"], record["crashed"]) == ("0-1", {})


def test_a_queued_work_order_runs_and_is_gathered(slurm_run: Run, bench: Bench) -> None:
    """It was pickled as `hpc.executors.ShardTask`, which is elsewhere by now."""
    folder = slurm_run.folder
    orders = sorted((folder / "logs" / "0001").glob("*_submitted.pkl"))
    for index, path in enumerate(orders):
        order = DelayedSubmission.load(path)
        assert isinstance(order.function, ShardTask)
        assert order.args == (
            WorkOrder(
                run_dir=f"/study/runs/{slurm_run.run_id}",
                shard_index=index,
                array_task_index=index,
                attempt=1,
                parallel_tasks=2,
            ),
        )
        subprocess.run([sys.executable, "-c", RUN_ORDER, path, folder], check=True)
    assert states(bench, slurm_run) == [("done", None), ("done", None)]
    assert bench.hpc("gather", folder).returncode == 0
    assert labels(slurm_run) == LABELED
