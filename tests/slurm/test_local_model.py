"""A model that runs in the task, on a real Slurm, and is killed on its way."""

import os
import pathlib
import re
import signal

import duckdb
import pytest

from pipeline.run_files.manifest import work_path
from tests.pipeline import task_processes
from tests.pipeline.command_lines import command_lines
from tests.slurm.private_cluster import posts
from tests.slurm.private_cluster.cluster import wait_for
from tests.slurm.private_cluster.commands import Bench

if os.environ.get("CI") != "true":
    pytest.importorskip("torch")
    pytest.importorskip("transformers")

from tests.pipeline.classifiers.transformers import tiny_model

pytestmark = pytest.mark.slurm

POSTS = 900


def worker(run_dir: pathlib.Path) -> int | None:
    """The pid of the Python that works at the run's only shard."""
    for pid, (program, *arguments) in command_lines().items():
        if pathlib.Path(program).name.startswith("python") and any(
            argument.startswith(str(run_dir)) for argument in arguments
        ):
            return pid
    return None


def test_a_killed_task_resumes_from_its_parts_and_no_post_is_lost(bench: Bench) -> None:
    folder = tiny_model.save(bench.folder / "model", size=(256, 4))
    config = bench.config(
        posts.json_lines(bench.folder / "p.jsonl", POSTS),
        sharding={"shards": 1},
        classifier={
            "type": "transformers",
            "model": "model",
            "labels": {"toxic": "prob_toxic"},
            "max_tokens_per_batch": 512,
        },
        checkpoint={"rows": 40},
        cluster={"cpus": 2, "mem_gb": 1.5},
    )
    run_dir = pathlib.Path(bench.document("submit", "--config", config)["run_dir"])
    kept = lambda: task_processes.rows_in(work_path(run_dir, 0))  # noqa: E731
    wait_for(lambda: kept() > 0, 120, "the first part is written")
    pid = worker(run_dir)
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    end = bench.document("supervise")
    assert (end["state"], end["shards"][0]["attempts"]) == ("complete", 2)
    paths = (*run_dir.glob("logs/0002/*_log.out"), *run_dir.glob("logs/*.log"))
    logs = "".join(path.read_text() for path in paths)
    answered = re.findall(rf"shard 0: {POSTS} posts, (\d+) already answered", logs)
    assert 0 < max(map(int, answered)) < POSTS
    rows = labeled(bench)
    assert [uri for uri, *_ in rows] == [uri for uri, *_ in posts.rows(POSTS)]
    assert {(reason, truncated) for *_, reason, truncated in rows} == {(None, False)}
    some = rows[::50]
    plain = tiny_model.plain(folder, [text for _, text, *_ in some])
    expected = [probabilities[0] for probabilities in plain]
    assert [toxic for _, _, toxic, *_ in some] == pytest.approx(expected, abs=1e-4)


def labeled(bench: Bench) -> list[tuple[str, str, float, str | None, bool]]:
    with duckdb.connect(str(bench.folder / "labels.duckdb"), read_only=True) as database:
        return database.execute(
            "SELECT uri, text, prob_toxic, reason, was_truncated FROM labels_test ORDER BY uri"
        ).fetchall()
