"""A run whose tasks start servers, on one machine, by its verbs."""

from pathlib import Path

from hpc.run.model.shards import State
from tests.hpc.cli_bench import Bench, outcome
from tests.pipeline.classifiers.llm.server import started_servers
from tests.servers.misbehaving_server import OUT_OF_MEMORY


def configured(bench: Bench, *words: str, **sections: object) -> Path:
    (bench.folder / "prompt.txt").write_text("Is it civic?")
    classifier = {
        "type": "llm",
        "model": "stub",
        "prompt": "prompt.txt",
        "labels": [{"name": "civic", "type": "bool"}],
        "structured_output": "none",
        "server": started_servers.program(bench.folder / "server", *words),
    }
    return bench.config(posts=8, classifier=classifier, **sections)


def test_two_tasks_at_once_each_have_their_own_server(bench: Bench) -> None:
    configured(bench)
    assert outcome(bench.submit()) == (0, "")
    (run,) = bench.runs()
    assert len({start["port"] for start in started_servers.starts(bench.folder / "server")}) == 2
    assert bench.query("SELECT count(*), count(civic) FROM labels_test") == [(8, 8)]
    server_logs = [
        shard["attempts"][0]["server_log"] for shard in bench.document("logs", "0-1")["shards"]
    ]
    assert server_logs == [f"{run}/logs/0000{shard}.log" for shard in (0, 1)]
    assert started_servers.alive(bench.folder / "server") == []


def test_logs_shows_the_end_of_the_servers_log(bench: Bench) -> None:
    configured(bench, *["memory"] * 9, sharding={"shards": 1}, retry={"max_attempts": 1})
    assert outcome(bench.submit()) == (1, "")
    (run,) = bench.runs()
    (shard,) = bench.document("logs", "--failed", "--lines", 3)["shards"]
    (attempt,) = shard["attempts"]
    assert (shard["state"], shard["cause"]) == (State.BLOCKED, "out_of_memory")
    assert OUT_OF_MEMORY in attempt["words"]["message"]
    assert attempt["log"] == f"{run}/logs/0001/00000.log"
    assert attempt["server_log"] == f"{run}/logs/0001/00000_server.log"
    assert attempt["tail"] == [
        "| this start: memory", f"| {OUT_OF_MEMORY}", "| RuntimeError: Engine core failed",
    ]  # fmt: skip
