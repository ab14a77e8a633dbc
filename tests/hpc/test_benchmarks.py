"""The benchmarks run. A script that no test runs breaks unnoticed."""

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("source", [(), ("--sqlite",)])
def test_the_login_node_benchmark_measures_every_step(
    source: tuple[str, ...], tmp_path: Path
) -> None:
    results = tmp_path / "results.json"
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.login_node", "--posts", "400", "--shards", "4",
         "--rounds", "1", "--results", results, *source],
        capture_output=True, text=True, timeout=300, cwd=ROOT,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    figures = json.loads(results.read_text())["figures"]
    assert [(figure["name"], figure["reference"]) for figure in figures] == [
        ("plan", "bare COPY"),
        ("gather", "bare INSERT"),
        ("plan 1 % new posts", "first plan"),
    ]


def test_the_audit_benchmark_compares_the_audit_with_bare_joins(tmp_path: Path) -> None:
    results = tmp_path / "results.json"
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.audit", "--shards", "4", "--published", "3",
         "--attempts", "2", "--posts", "5", "--rounds", "1", "--results", results],
        capture_output=True, text=True, timeout=300, cwd=ROOT,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    figures = json.loads(results.read_text())["figures"]
    assert [(figure["name"], figure["reference"]) for figure in figures] == [
        ("bare anti-joins", "bare start"),
        ("audit", "bare anti-joins"),
    ]


@pytest.mark.parametrize("executor", ["slurm", "local"])
def test_the_benchmark_of_many_shards_asks_slurm_once_a_look(executor: str) -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "benchmarks" / "many_shards.py", "--shards", "20", "--attempts",
         "3", "--rounds", "1", "--executor", executor],
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    calls = "squeue 1, sacct 1" if executor == "slurm" else "squeue 0, sacct 0"
    looks = [line for line in done.stdout.splitlines() if line.startswith("  status")]
    assert len(looks) == 3
    assert [line for line in looks if calls not in line] == []


def test_the_local_model_benchmark_measures_every_step() -> None:
    if os.environ.get("CI") != "true":
        pytest.importorskip("torch")
    done = subprocess.run(
        [sys.executable, ROOT / "benchmarks" / "local_model.py", "--posts", "40", "--rounds", "1",
         "--layers", "1", "--hidden", "64"],
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    for step in ("bare forward", "ours", "pipeline", "ours / bare forward", "ours / pipeline"):
        assert f"  {step}" in done.stdout


def test_the_worker_benchmark_measures_every_line(tmp_path: Path) -> None:
    figures = tmp_path / "figures.json"
    done = subprocess.run(
        [sys.executable, ROOT / "benchmarks" / "worker", "--posts", "300", "--rounds", "1",
         "--json", figures],
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    lines = json.loads(figures.read_text())
    assert list(lines) == ["valence", "requests", "quota", "start"]
    assert lines["quota"]["requests / post"] == 1
    # With so few posts, what is left of a task's CPU time without its start may be below zero.
    assert all(math.isfinite(value) for line in lines.values() for value in line.values())


def test_the_coverage_benchmark_simulates_every_design() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "benchmarks" / "coverage.py", "--studies", "5", "--resamples",
         "50", "--posts", "2000"],
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("bias of the corrected share") == 6
    assert done.stdout.count("  prevalence ") == 6
