"""`hpc init` asks a real Slurm for partitions and accounts, and its files can be submitted."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from hpc.executors.slurm.survey.read_survey import survey_cluster
from tests.slurm.private_cluster.cluster import ACCOUNT, SlurmCluster
from tests.slurm.private_cluster.commands import Bench

pytestmark = pytest.mark.slurm


def write_posts(folder: Path) -> None:
    with closing(sqlite3.connect(folder / "posts.db")) as connection:
        connection.execute("CREATE TABLE posts (id TEXT PRIMARY KEY, body TEXT, seen_at TEXT)")
        connection.executemany(
            "INSERT INTO posts VALUES (?, ?, ?)",
            [(f"u{i}", f"A lovely day, number {i}", "2024-05-31-13:00:00") for i in range(20)],
        )
        connection.commit()


def init(bench: Bench, *arguments: str) -> dict[str, Any]:
    done = bench.hpc("init", *arguments, "--json")
    assert done.returncode == 0, done
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def test_slurm_is_surveyed(cluster: SlurmCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in cluster.env.items():
        monkeypatch.setenv(name, value)
    survey = survey_cluster()
    assert (survey.problem, survey.accounting_problem) == ("", "")
    assert survey.name == cluster.name
    assert ACCOUNT in survey.accounts()
    assert survey.default_account == ACCOUNT
    normal, short = (
        next(each for each in survey.partitions if each.name == name)
        for name in ("normal", "short")
    )
    assert (normal.is_default, normal.is_up, normal.time_min) == (True, True, 2880)
    assert (short.is_default, short.time_min) == (False, 240)
    assert (normal.nodes, normal.cpus, normal.memory_mb) == (4, 8, 4000.0)


def test_a_newcomer_needs_no_option(bench: Bench) -> None:
    write_posts(bench.folder)
    found = init(bench)
    assert found["resources"] | {"setup": None} == {
        "account": ACCOUNT, "partition": "normal", "time": "1:00:00", "cpus": 1, "mem_gb": 2.0,
        "setup": None,
    }  # fmt: skip
    config = bench.folder / found["configuration"]
    assert bench.hpc("check", "--config", config).returncode == 0
    quick = ("--set", "cluster.grace_seconds=2", "--set", "cluster.poll_seconds=0.5")
    done = bench.hpc("submit", "--config", config, "--wait", *quick)
    assert done.returncode == 0, done


def test_a_controller_that_is_down_leaves_the_choice_to_slurm(
    bench: Bench,
) -> None:
    write_posts(bench.folder)
    broken = bench.folder / "slurm.conf"
    broken.write_text("ClusterName=gone\nSlurmctldHost=localhost\nSlurmctldPort=1\n")
    bench.env = {**bench.env, "SLURM_CONF": str(broken)}
    found = init(bench, "--account", "mine")
    assert found["executor"] == "slurm"
    assert found["resources"]["account"] == "mine"
    assert "partition" not in found["resources"]
