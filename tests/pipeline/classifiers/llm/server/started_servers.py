"""Configure servers that misbehave, and look at the processes that they start."""

import json
import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests

from pipeline.classifiers.llm.server.failure import failure_from_report
from pipeline.classifiers.llm.server.log import LogEnd
from pipeline.classifiers.llm.server.server import ModelServer
from pipeline.config.secret import NO_KEY
from pipeline.errors import TaskError
from tests.pipeline.command_lines import command_lines

ROOT = Path(__file__).parents[5]
NEVER = threading.Event()
"""A stop event that is never set."""

MakeServer = Callable[..., ModelServer]


def program(folder: Path, *words: str) -> dict[str, Any]:
    """Return `classifier.server` of a program whose starts do as the words say, one by one."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "script").write_text(" ".join(words))
    command = [sys.executable, "-m", "tests.servers.misbehaving_server"]
    return {
        "command": [*command, "--port", "{port}", "--folder", str(folder)],
        "env": {"PYTHONPATH": str(ROOT)},
    }


def starts(folder: Path) -> list[dict[str, Any]]:
    """Return what each start saw: pid, port, further arguments, environment."""
    path = folder / "starts"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def alive(name: Path) -> list[list[str]]:
    """Return the command lines of the living processes that have this name in theirs."""
    return list(alive_by_pid(name).values())


def alive_by_pid(name: Path) -> dict[int, list[str]]:
    """Return the command lines of `alive` by process id."""
    return {pid: words for pid, words in command_lines().items() if str(name) in words}


def kill(folder: Path, number: signal.Signals = signal.SIGKILL) -> None:
    """Signal the server that was started last."""
    os.kill(starts(folder)[-1]["pid"], number)


def guard_of(folder: Path) -> int:
    """Return the pid of the guard of the server that was started first."""
    return psutil.Process(starts(folder)[0]["pid"]).ppid()


def failure(server: ModelServer) -> TaskError:
    """Return the error with which the server fails."""
    with pytest.raises(TaskError) as raised:
        server.address(NEVER)
    return raised.value


def message_of(
    report: dict[str, Any],
    *,
    log: LogEnd,
    program: str = "",
    served: bool = False,
    restarted: bool = False,
) -> str:
    """Return the message about a server with this report; `test_failure` has the wording."""
    end = failure_from_report(report, program=program, log=log, served=served, memory_kill=False)
    return str(end.to_error(NO_KEY, Path(), restarted=restarted))


def not_started(number: int) -> dict[str, Any]:
    """Return the guard's report of a server that could not be started with this errno."""
    return {"not_started": os.strerror(number), "errno": number}


def status_of(address: str) -> int:
    """Return the HTTP status with which a server lists its models."""
    return requests.get(f"{address}/models", timeout=10).status_code
