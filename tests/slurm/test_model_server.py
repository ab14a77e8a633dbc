"""A server in each task of a real array: the real llama-cpp-python's, and one that misbehaves."""

import json
import os
import pathlib
import signal
import sys
from typing import Any

import duckdb
import pytest

from pipeline.errors import Cause
from pipeline.run_files import last_words, manifest
from tests.pipeline.classifiers.llm.server import started_servers
from tests.pipeline.task_processes import rows_in
from tests.servers import engines as real_engines
from tests.servers import tiny_llm
from tests.servers.gguf_model import write_model
from tests.slurm.private_cluster import posts
from tests.slurm.private_cluster.cluster import wait_for
from tests.slurm.private_cluster.commands import Bench

pytestmark = pytest.mark.slurm


def classifier(bench: Bench, server: dict[str, Any], **keys: Any) -> dict[str, Any]:
    (bench.folder / "prompt.txt").write_text("Is the post about politics?")
    return {
        "type": "llm",
        "model": "tiny",
        "prompt": "prompt.txt",
        "labels": [{"name": "is_political", "type": "bool"}],
        "max_in_flight": 2,
        "server": server,
        **keys,
    }


@pytest.fixture
def gguf_model(bench: Bench) -> pathlib.Path:
    """Its name, of this test alone, stands in the servers' command lines."""
    if os.environ.get("CI") != "true":
        pytest.importorskip("llama_cpp")
    return write_model(bench.folder / "tiny.gguf")


def llama(model: pathlib.Path) -> dict[str, Any]:
    command = [sys.executable, "-m", "llama_cpp.server", "--model", str(model)]
    return {
        "command": [*command, "--host", "{host}", "--port", "{port}", "--n_ctx", 2048],
        "tuning": ["--n_threads", 1],
    }


def submitted(bench: Bench, count: int, options: dict[str, Any], **cluster: Any) -> pathlib.Path:
    config = bench.config(
        posts.json_lines(bench.folder / "p.jsonl", count),
        sharding={"shards": 2},
        checkpoint={"rows": 10},
        classifier=options,
        cluster={"max_parallel": 2, "cpus": 1, "mem_gb": 1, **cluster},
    )
    return pathlib.Path(bench.document("submit", "--config", config)["run_dir"])


def labeled(bench: Bench) -> list[tuple[Any, ...]]:
    with duckdb.connect(str(bench.folder / "labels.duckdb"), read_only=True) as database:
        return database.execute(
            "SELECT was_successfully_labeled, count(*), count(DISTINCT uri) FROM labels_test "
            "GROUP BY ALL"
        ).fetchall()


def nodes(bench: Bench) -> set[str]:
    with duckdb.connect(str(bench.folder / "labels.duckdb"), read_only=True) as database:
        return {node for (node,) in database.execute("SELECT node FROM attempts").fetchall()}


@pytest.mark.llama
def test_of_two_tasks_on_one_node_one_resumes_after_its_server_was_killed(
    bench: Bench, gguf_model: pathlib.Path
) -> None:
    node = bench.cluster.node_names[0]
    run = submitted(bench, 600, classifier(bench, llama(gguf_model)), extra={"nodelist": node})
    both = [manifest.work_path(run, index) for index in range(2)]
    wait_for(lambda: all(rows_in(work) for work in both), 120, "both tasks have answers")
    servers = started_servers.alive_by_pid(gguf_model)
    ports = {words[words.index("--port") + 1] for words in servers.values()}
    assert len(ports) == len(servers) == 2
    os.kill(min(servers), signal.SIGKILL)
    assert bench.document("supervise")["state"] == "complete"
    assert labeled(bench) == [(True, 600, 600)]
    assert nodes(bench) == {node}
    assert started_servers.alive(gguf_model) == []
    # Their logs may be packed by now, into one a shard.
    logs = [next(run.glob(f"logs/**/{index:05d}*.log")).read_text() for index in range(2)]
    assert sorted(f"\n{log}".count("\n== ") for log in logs) == [1, 2]
    status = bench.document("status")
    assert [shard["attempts"] for shard in status["shards"]] == [1, 1]


@pytest.mark.llama
@pytest.mark.parametrize("how", ["cancel", "scancel --signal=KILL"])
def test_canceled_tasks_leave_no_server_behind(
    bench: Bench, gguf_model: pathlib.Path, how: str
) -> None:
    run = submitted(bench, 4000, classifier(bench, llama(gguf_model)))
    both = [manifest.work_path(run, index) for index in range(2)]
    wait_for(lambda: all(rows_in(work) for work in both), 120, "both tasks have answers")
    assert len(started_servers.alive(gguf_model)) == 2
    if how == "cancel":
        assert bench.hpc("cancel").returncode == 0
    else:
        array = bench.document("status", code=3)["shards"][0]["array_job_id"]
        bench.cluster.run("scancel", "--signal=KILL", str(array))
    wait_for(lambda: started_servers.alive(gguf_model) == [], 60, "no server is left")
    assert all(rows_in(work) for work in both)


def test_a_server_that_exceeds_the_tasks_memory_is_out_of_memory(bench: Bench) -> None:
    """The kernel kills the server alone; the task says why, and the next attempt has more."""
    server = started_servers.program(bench.folder / "server", *["hog"] * 9)
    run = submitted(
        bench, 20, classifier(bench, server, structured_output="none"), mem_gb=0.4, max_parallel=1
    )

    def words() -> last_words.LastWords | None:
        return last_words.read(run, 1, 0)

    wait_for(words, 120, "the first task has ended")
    ended = words()
    assert ended
    assert (ended.cause, "this start: hog" in ended.message) == (Cause.OUT_OF_MEMORY, True)
    assert bench.hpc("cancel").returncode == 0
    wait_for(lambda: started_servers.alive(bench.folder / "server") == [], 60, "no server is left")


@pytest.mark.engines
def test_each_task_has_its_own_vllm(bench: Bench) -> None:
    """On two nodes, for the memory's sake; here one machine, so with ports that must differ."""
    model = tiny_llm.write_model(bench.folder / "tiny")
    server = real_engines.vllm_in_a_task(model)
    run = submitted(bench, 400, classifier(bench, server, scores=True), mem_gb=3.8)
    assert bench.document("supervise")["state"] == "complete"
    assert labeled(bench) == [(True, 400, 400)]
    assert len(nodes(bench)) == 2
    assert started_servers.alive(model) == []
    (note,) = (run / "notes").iterdir()
    noted = json.loads(note.read_text())
    assert (noted["mode"], noted["top_logprobs"]) == ("json_schema", 20)
    with duckdb.connect(str(bench.folder / "labels.duckdb"), read_only=True) as database:
        lowest, highest = database.execute(
            "SELECT min(is_political_prob), max(is_political_prob) FROM labels_test"
        ).fetchall()[0]
    assert 0 < lowest <= highest < 1
    assert [shard["attempts"] for shard in bench.document("status")["shards"]] == [1, 1]


@pytest.mark.engines
def test_a_vllm_with_too_little_memory_gets_more(bench: Bench) -> None:
    """The kernel kills one of its processes, not the one that the task knows."""
    model = tiny_llm.write_model(bench.folder / "tiny")
    server = real_engines.vllm_in_a_task(model)
    run = submitted(bench, 20, classifier(bench, server), mem_gb=1, max_parallel=1)
    assert bench.document("supervise")["state"] == "complete"
    assert labeled(bench) == [(True, 20, 20)]
    words = last_words.read(run, 1, 0)
    assert words
    assert words.cause is Cause.OUT_OF_MEMORY
