"""A run whose tasks start servers, on one machine, by its verbs."""

from pathlib import Path

from hpc.run.model import State
from tests.hpc.cli_bench import Bench, said
from tests.hpc.conftest import Here
from tests.hpc.verbs.test_logs import HERE, said_here
from tests.pipeline.classifiers.llm.server import engines
from tests.servers.engine_program import OUT_OF_MEMORY


def configured(bench: Bench, *words: str, **sections: object) -> Path:
    (bench.folder / "prompt.txt").write_text("Is it civic?")
    classifier = {
        "type": "llm",
        "model": "stub",
        "prompt": "prompt.txt",
        "labels": [{"name": "civic", "type": "bool"}],
        "structured_output": "none",
        "server": engines.program(bench.folder / "engine", *words),
    }
    return bench.config(posts=8, classifier=classifier, **sections)


def test_two_tasks_at_once_with_a_server_each(bench: Bench) -> None:
    configured(bench)
    assert said(bench.submit()) == (0, "")
    (run,) = bench.runs()
    assert len({start["port"] for start in engines.starts(bench.folder / "engine")}) == 2
    assert bench.query("SELECT count(*), count(civic) FROM labels_test") == [(8, 8)]
    assert sorted(path.name for path in (run / "logs" / "0001").glob("*_server.log")) == [
        "00000_server.log",
        "00001_server.log",
    ]
    assert engines.alive(bench.folder / "engine") == []


def test_logs_shows_what_the_server_said_last_and_what_is_alike_once(
    bench: Bench, here: Here
) -> None:
    configured(bench, *["memory"] * 9, retry={"max_attempts": 1})
    assert said(bench.submit()) == (1, "")
    (run,) = bench.runs()
    message = (
        f"the server ended with exit code 1 while it started: {OUT_OF_MEMORY} (the GPU's memory: a "
        "smaller model, context or batch, or a larger GPU)"
    )
    assert said_here(here("logs", "--failed", "--lines", 4)) == (
        f"shard 0: {State.BLOCKED} (out_of_memory): {message}; attempts used up: 1\n"
        "\n"
        f"attempt 1: local process on {HERE}, submitted WHEN\n"
        "  process: failed, exit code 1\n"
        f"  out_of_memory: {message}\n"
        f"  | the end of {run}/logs/0001/00000_server.log:\n"
        "  | | this start: memory\n"
        f"  | | {OUT_OF_MEMORY}\n"
        "  | | RuntimeError: Engine core failed\n"
        f"  log: {run}/logs/0001/00000.log\n"
        f"  its server's log: {run}/logs/0001/00000_server.log\n"
        "\n"
        "shard 1: the same\n"
    )
