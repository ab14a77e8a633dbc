"""Finding and awaiting the processes that a test has started itself."""

from pathlib import Path

from tests.hpc.cli_bench import Bench, Process
from tests.pipeline.command_lines import command_lines
from tests.waiting import wait_until


def tasks_of(folder: Path) -> dict[int, list[str]]:
    """The local executor's tasks whose run lies in `folder`: command line by process id."""
    return {
        pid: words
        for pid, words in command_lines().items()
        if "pipeline.worker" in words and any(word.startswith(f"{folder}/") for word in words)
    }


def started(bench: Bench, tasks: int, *arguments: object) -> Process:
    """Return a submit, as a process, once `tasks` of its tasks are labeling."""
    driver = bench.start("submit", "--config", bench.path, *arguments)
    alive = bench.shard_scripts / "alive"
    wait_until(lambda: alive.exists() and alive.read_text().count("+") >= tasks, f"{tasks} tasks")
    return driver
