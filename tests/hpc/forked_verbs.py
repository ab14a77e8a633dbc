"""Run `hpc …` in processes of their own, without the second that each takes to import everything.

`python -m tests.hpc.forked_verbs` reads an order for each command, as a line of JSON. It forks, and
answers with the process's id and then, once it has ended, with its exit code.
The words `-m MODULE …` run a module, as `python -m` does.
"""

import ctypes
import gc
import importlib
import json
import os
import runpy
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from hpc.command_line import cli
from tests.waiting import PATIENCE_S

PIPE = "a pipe that nobody reads"


class Order(NamedTuple):
    """A command to run."""

    words: list[str]
    out: str
    """The file of its stdout, or PIPE: a pipe that nobody reads."""
    err: str
    """The same of its stderr."""
    folder: str | None
    """Its working folder; None for the server's."""
    env: dict[str, str] | None
    """Its whole environment; None for the server's."""


class ForkedVerbs:
    """Runs commands, each as the shell of an environment would."""

    def __init__(self, folder: Path, env: Mapping[str, str]) -> None:
        self._server = subprocess.Popen(
            [sys.executable, "-m", "tests.hpc.forked_verbs"],
            cwd=folder,
            env=dict(env),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(
        self,
        words: list[str],
        out: Path | str,
        err: Path | str,
        *,
        folder: Path | None = None,
        env: Mapping[str, str] | None = None,
    ) -> int:
        """Return the exit code of `hpc WORDS`, with its streams connected to files or a pipe.

        It is -SIGKILL if the command took more than PATIENCE_S seconds, and was killed.
        """
        order = Order(
            words, str(out), str(err), str(folder) if folder else None, dict(env) if env else None
        )
        assert self._server.stdin and self._server.stdout
        print(json.dumps(order), file=self._server.stdin, flush=True)
        process = int(self._server.stdout.readline())
        patience = threading.Timer(PATIENCE_S, os.killpg, (process, signal.SIGKILL))
        patience.start()
        code = int(self._server.stdout.readline())
        patience.cancel()
        return code

    def close(self) -> None:
        """End the server."""
        self._server.communicate()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def _serve() -> None:
    for verb in cli.VERBS:
        importlib.import_module(f"hpc.{verb}")
    # Otherwise each process looks through all that was imported when it ends, and copies it.
    gc.freeze()
    for line in sys.stdin:
        order = Order(*json.loads(line))
        process = os.fork()
        if process == 0:
            _become(order)
            _run(order.words)
        print(process, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]), flush=True)


def _run(words: list[str]) -> None:
    if words[0] == "-m":
        sys.argv = words[1:]
        sys.modules.pop(words[1], None)  # it is run, not imported
        runpy.run_module(words[1], run_name="__main__", alter_sys=True)
        sys.exit("the module has ended without an exit code")
    sys.argv = ["hpc", *words]
    cli.run_from_shell()


def _become(order: Order) -> None:
    """Turn the forked process into one as a shell starts it."""
    os.setsid()
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for number, place in ((1, order.out), (2, order.err)):
        if place == PIPE:
            reading, writing = os.pipe()
            os.close(reading)
        else:
            writing = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(writing, number)
        os.close(writing)
    if order.folder:
        os.chdir(order.folder)
    if order.env is not None:
        os.environ.clear()
        os.environ.update(order.env)
        paths = order.env.get("PYTHONPATH", "").split(os.pathsep)
        sys.path[:0] = [path for path in paths if path and path not in sys.path]
    if "FAULT_TABLE" in os.environ:
        # The server was started with the injector, but with no faults or with those of others.
        command = " ".join(["hpc", *order.words])
        injector = ctypes.CDLL(None)
        injector.use_fault_table(os.fsencode(os.environ["FAULT_TABLE"]), os.fsencode(command))


if __name__ == "__main__":
    _serve()
