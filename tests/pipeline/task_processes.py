"""Tasks as processes of their own, as a node runs them."""

import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from dataclasses import astuple, fields
from pathlib import Path

from pipeline.model import WorkOrder
from pipeline.run_files.checkpoints import answer_journal
from pipeline.run_files.checkpoints.parts import rows_by_attempt
from tests.pipeline.module_path import module_path
from tests.pipeline.task_server import task_server
from tests.waiting import PATIENCE_S

# Makes the type `unpaced_perspective` known to tasks, as an installed package would.
ENTRY_POINTS = Path(__file__).parent / "entry_points"


SHORT_DRAIN = (
    "import sys; from pipeline.worker import classifier_thread, process as worker; "
    "classifier_thread.DRAIN_SECONDS = 0.5; "
)


def start(
    order: WorkOrder,
    *paths: Path,
    short_drain: bool = False,
    program: str | None = None,
    **environment: str,
) -> "subprocess.Popen[str]":
    """`python -m pipeline.worker` for this order, with `paths` on the module path.

    `program` comes before `worker.main`, which it must import; `short_drain` is one.
    """
    program = SHORT_DRAIN if short_drain else program
    called = ["-c", f"{program}worker.main(sys.argv[1:])"] if program else ["-m", "pipeline.worker"]
    return subprocess.Popen(
        [sys.executable, *called, *_arguments(order)],
        env=_environment(paths, environment),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _arguments(order: WorkOrder) -> list[str]:
    arguments: list[str] = []
    for field, value in zip(fields(order), astuple(order), strict=True):
        arguments += [f"--{field.name.replace('_', '-')}", str(value)]
    return arguments


def _environment(paths: Sequence[Path], more: Mapping[str, str]) -> dict[str, str]:
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("SLURM")}
    return {**inherited, "PYTHONPATH": module_path(ENTRY_POINTS, *paths), **more}


def run_forked(order: WorkOrder, *paths: Path, **environment: str) -> tuple[int, str, str]:
    """Run a task to its end, as `run` does, without the time that its imports take."""
    server, env = task_server(), _environment(paths, environment)
    if not server.suits(env):  # the test has changed what a process reads when it starts
        return run(order, *paths, **environment)
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        task = server.start(_arguments(order), (out.fileno(), err.fileno()), env)
        patience = threading.Timer(PATIENCE_S, os.kill, (task.pid, signal.SIGKILL))
        patience.start()
        code = os.waitstatus_to_exitcode(os.waitpid(task.pid, 0)[1])
        patience.cancel()
        out.seek(0)
        err.seek(0)
        return code, out.read().decode(), err.read().decode()


def finished(task: "subprocess.Popen[str]", *, within: float = PATIENCE_S) -> tuple[int, str, str]:
    """Its exit code, stdout and stderr."""
    try:
        out, err = task.communicate(timeout=within)
    except subprocess.TimeoutExpired:
        task.kill()
        raise
    return task.returncode, out, err


def run(order: WorkOrder, *paths: Path, **environment: str) -> tuple[int, str, str]:
    return finished(start(order, *paths, short_drain=False, **environment))


def kill(task: "subprocess.Popen[str]") -> None:
    task.kill()
    assert finished(task)[0] == -signal.SIGKILL


def already_answered(log: str) -> int:
    """How many posts a task found answered when it began, by its log."""
    match = re.search(r"posts?, (\d+) already answered$", log, re.MULTILINE)
    assert match, log
    return int(match[1])


def names_in(folder: Path) -> list[str]:
    """The names of the files in a folder; none where it does not exist."""
    return [path.name for path in folder.glob("*")]


def rows_in(folder: Path) -> int:
    """Answers in all of a shard's parts and journals."""
    names = names_in(folder)
    journals = answer_journal.needed_journals(names, names)
    in_journals = sum(answer_journal.count_rows(folder / name) for name in journals)
    return sum(rows_by_attempt(names).values()) + in_journals


def perspective(url: str, in_flight: int = 2) -> dict[str, object]:
    """The frozen options of a classifier that asks a stand-in, whose key is in TEST_KEY."""
    return {
        "type": "unpaced_perspective",
        "base_url": url,
        "attributes": ["TOXICITY"],
        "languages": ["en"],
        "requests_per_minute": None,  # no quota that a task would have to join
        "max_in_flight": in_flight,
        "timeout_seconds": 10.0,
        "api_key_env": "TEST_KEY",
    }
