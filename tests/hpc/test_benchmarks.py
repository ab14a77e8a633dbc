"""The benchmarks run. A script that no test runs breaks unnoticed.

Their children run in this process where they can: a process of its own takes a second to start.
"""

import contextlib
import importlib
import io
import json
import os
import runpy
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from benchmarks import __main__ as every
from benchmarks import audit, coverage, layouts, login_node, many_shards, paired, retries
from benchmarks.paired import Took
from benchmarks.worker import __main__ as worker
from benchmarks.worker import start, tasks, valence, zero_latency
from hpc.command_line import cli
from pipeline.worker import process

Figures = Callable[..., dict[str, dict[str, Any]]]


def run_here(
    command: Sequence[str],
    environment: Mapping[str, str] | None = None,
    *,
    exit_codes: frozenset[int] = frozenset({0}),
    folder: Path | None = None,
) -> Took:
    """Run a command of this interpreter in this process, as `run_child` does in one of its own."""
    interpreter, *words = command
    assert interpreter == sys.executable
    printed, code = io.StringIO(), 0
    with (
        mock.patch.dict(os.environ, environment or {}),
        contextlib.redirect_stdout(printed),
        contextlib.redirect_stderr(printed),
        contextlib.chdir(folder or Path.cwd()),
    ):
        try:
            interpret(words)
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else int(end.code is not None)
    assert code in exit_codes, printed.getvalue()
    now = time.monotonic()  # of two calls, the later one seems to take longer
    return Took(began=0.0, seconds=now, cpu_seconds=now, printed=printed.getvalue())


def interpret(words: Sequence[str]) -> None:
    """Do what `python WORDS` does."""
    kind, *arguments = words
    with mock.patch.object(sys, "argv", list(words)):
        if kind == "-c":
            sys.argv[:] = ["-c", *arguments[1:]]
            exec(arguments[0], {"__name__": "__main__"})  # noqa: S102 - a script of the benchmarks
        elif kind == "-m" and arguments[0] == "pipeline.worker":
            # The process would end with its task.
            with mock.patch.object(process, "run_process", process.run_task):
                process.main(arguments[1:])
        elif kind == "-m":
            module, *rest = arguments
            verb = importlib.import_module(
                module if module.startswith("hpc.") else f"hpc.{rest[0]}"
            )
            cli.main(verb.VERB, rest if module.startswith("hpc.") else rest[1:])
        else:
            sys.argv[:] = list(words)
            runpy.run_path(kind, run_name="__main__")


@pytest.fixture
def figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Figures:
    """Return a function that runs a benchmark in this process, and returns its figures by name."""

    def run(main: Callable[[], None], *arguments: object) -> dict[str, dict[str, Any]]:
        results = tmp_path / "results.json"
        words = ["benchmark", *map(str, arguments), "--rounds", "1", "--results", str(results)]
        monkeypatch.setattr(sys, "argv", words)
        main()
        listed = json.loads(results.read_text())["figures"]
        return {f"{figure['name']} x {figure['reference']}": figure for figure in listed}

    for module in (paired, many_shards, retries, tasks, valence, zero_latency, start):
        monkeypatch.setattr(module, "run_child", run_here)
    return run


@pytest.mark.parametrize("source", [(), ("--sqlite",)])
def test_the_login_node_benchmark_measures_every_step(
    source: tuple[str, ...], figures: Figures
) -> None:
    assert list(figures(login_node.main, "--posts", 40, "--shards", 2, *source)) == [
        "plan x bare COPY",
        "gather x bare INSERT",
        "plan 1 % new posts x first plan",
    ]


def test_the_audit_benchmark_compares_the_audit_with_bare_joins(figures: Figures) -> None:
    options = ("--shards", 3, "--published", 2, "--attempts", 2, "--posts", 2)
    assert list(figures(audit.main, *options)) == [
        "bare anti-joins x bare start",
        "audit x bare anti-joins",
    ]


def test_the_layouts_benchmark_compares_every_command_of_both_layouts(figures: Figures) -> None:
    assert list(figures(layouts.main, "--sizes", 40, "--shard", 20)) == [
        f"40 posts: {command}, layout parquet x layout duckdb"
        for command in ("gather", "audit", "plan the next run", "export")
    ]


@pytest.mark.parametrize(("executor", "calls"), [("slurm", 1), ("local", 0)])
def test_the_benchmark_of_many_shards_asks_slurm_once_a_look(
    executor: str, calls: int, figures: Figures
) -> None:
    options = ("--shards", 4, "--attempts", 2, "--executor", executor)
    looks = [
        (figure["details"]["calls of squeue"], figure["details"]["calls of sacct"])
        for name, figure in figures(many_shards.main, *options).items()
        if name.startswith("status")
    ]
    assert looks == [(calls, calls)] * 3


def test_the_worker_benchmark_measures_every_line(
    figures: Figures, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(zero_latency, "IN_FLIGHT", (4,))
    measured = figures(worker.main, "--posts", 4)
    assert list(measured) == [
        "valence: posts per CPU second x a bare loop",
        "valence: posts per CPU second x a bare process",
        "4 in flight: requests per CPU second x a pool of requests",
        "4 in flight: requests per CPU second x a pool of urllib3",
        "quota: requests a minute x the quota",
        "llm: to the first request x python -c pass",
        "llm with a quota: to the first request x python -c pass",
        "perspective with a quota: to the first request x python -c pass",
        "valence: a whole task x python -c pass",
    ]
    assert measured["quota: requests a minute x the quota"]["details"]["requests per post"] == 1


def test_the_retries_benchmark_compares_a_task_and_a_whole_run_with_a_bare_script(
    figures: Figures,
) -> None:
    assert list(figures(retries.main, "--posts", 20)) == [
        "classifier: seconds x bare script",
        "whole run: seconds x bare script",
    ]


def test_the_local_model_benchmark_measures_every_step(figures: Figures) -> None:
    if os.environ.get("CI") != "true":
        pytest.importorskip("torch")
    local_model = importlib.import_module("benchmarks.local_model")
    options = ("--posts", 8, "--layers", 1, "--hidden", 64)
    assert list(figures(local_model.main, *options)) == [
        "posts per second x bare forward",
        "posts per second x pipeline",
    ]


def test_the_coverage_benchmark_simulates_every_design(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    options = ("--studies", "3", "--resamples", "20", "--posts", "2000")
    monkeypatch.setattr(sys, "argv", ["coverage", *options])
    coverage.main()
    printed = capsys.readouterr().out
    assert printed.count("bias of the corrected share") == 6
    assert printed.count("  prevalence ") == 6


def test_one_command_runs_what_is_named_and_writes_all_figures_to_one_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A benchmark that fails keeps none of the others from being run."""
    asked: list[Sequence[str]] = []

    def run(command: Sequence[str]) -> Took:
        asked.append(command)
        results = Path(command[command.index("--results") + 1])
        if "benchmarks.audit" in command:
            raise SystemExit("the audit failed")
        results.write_text(json.dumps({"figures": [command[2]]}))
        return Took(began=0.0, seconds=1.0, cpu_seconds=1.0)

    monkeypatch.setattr(every, "run_child", run)
    monkeypatch.setattr(every, "describe_lack", lambda: "")
    results = tmp_path / "all.json"
    words = ["--only", "audit,worker,whole_job", "--snakemake", "sm", "--results", str(results)]
    monkeypatch.setattr(sys, "argv", ["benchmarks", *words])
    with pytest.raises(SystemExit) as end:
        every.main()
    document = json.loads(results.read_text())
    assert (end.value.code, document["failed"]) == (1, ["audit"])
    assert document["benchmarks"] == {
        "worker": {"figures": ["benchmarks.worker"]},
        "whole_job": {"figures": ["benchmarks.whole_job"]},
    }
    assert [("--snakemake" in command) for command in asked] == [False, False, True]


@pytest.mark.parametrize("name", every.BENCHMARKS)
def test_the_benchmark_exists(name: str) -> None:
    module = every.BENCHMARKS[name].module or name
    assert find_spec(f"benchmarks.{module}")
