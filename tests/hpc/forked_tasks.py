"""Start the local executor's tasks without the quarter of a second that each takes to import all.

`python -m tests.hpc.forked_tasks SOCKET` has imported what tasks need. For each order it forks a
task, which becomes a child of the process that ordered it, as one that `subprocess` has started.
"""

import atexit
import ctypes
import functools
import gc
import importlib
import json
import os
import runpy
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import IO, NamedTuple

import pytest

from hpc.executors.local import tasks
from tests.pipeline.module_path import module_path

MODULE = "pipeline.worker"
IMPORTED = (
    "pipeline.worker.process",
    "psutil",
    "pyarrow.compute",
    "pyarrow.parquet",
    "ssl",
    "tests.hpc.scripted_tasks",
)
# Variables that a process obeys from its start, or never.
READ_AT_START = ("LD_", "PYTHON", "TZ", "COVERAGE")
PR_SET_CHILD_SUBREAPER = 36  # prctl(2)
_MAX_ORDER = 1 << 20


class ForkedTask:
    """What `hpc.executors.local.tasks` needs of a `subprocess.Popen`."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None


class Order(NamedTuple):
    """A task to fork."""

    arguments: list[str]
    folder: str
    env: dict[str, str]
    inherited: list[int]
    """The numbers under which the task has the descriptors that come with the order."""


class TaskServer:
    """Forks tasks for this process."""

    def __init__(self) -> None:
        self._ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._env = {**os.environ, "PYTHONPATH": module_path()}
        with theirs:
            self._server = subprocess.Popen(
                [sys.executable, "-m", "tests.hpc.forked_tasks", str(theirs.fileno())],
                env=self._env,
                pass_fds=[theirs.fileno()],
                start_new_session=True,  # Ctrl-C is for the tests
            )

    def suits(self, env: Mapping[str, str]) -> bool:
        """Tell whether a fork of the server may become a process with this environment."""
        differing = {name for name, _ in self._env.items() ^ env.items()} - {"PYTHONPATH"}
        return not any(name.startswith(READ_AT_START) for name in differing)

    def start(
        self, arguments: Sequence[str], log: int, inherited: Sequence[int], env: Mapping[str, str]
    ) -> ForkedTask:
        """Fork `python -m pipeline.worker ARGUMENTS` in a session of its own.

        Args:
            arguments: the task's arguments.
            log: the descriptor of its stdout and stderr.
            inherited: other descriptors that it has, under the same numbers.
            env: its whole environment.
        """
        order = Order([*arguments], str(Path.cwd()), dict(env), [1, 2, *inherited])
        with _adopting_orphans():
            socket.send_fds(self._ours, [json.dumps(order).encode()], [log, log, *inherited])
            return ForkedTask(int(self._ours.recv(64)))

    def close(self) -> None:
        """End the server."""
        self._ours.close()
        self._server.wait()


@contextmanager
def _adopting_orphans() -> Iterator[None]:
    """Become the parent of the processes below this one whose parents end."""
    library = ctypes.CDLL(None)
    library.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    try:
        yield
    finally:
        library.prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)


@functools.cache
def _server() -> TaskServer:
    server = TaskServer()
    atexit.register(server.close)
    return server


def _popen(
    command: Sequence[str],
    *,
    stdin: int,
    stdout: IO[bytes],
    stderr: int,
    start_new_session: bool,
    pass_fds: Sequence[int],
) -> "ForkedTask | subprocess.Popen[bytes]":
    """Start a task as `subprocess.Popen` does with these arguments."""
    assert command[:3] == [sys.executable, "-m", MODULE]
    assert (stdin, stderr, start_new_session) == (subprocess.DEVNULL, subprocess.STDOUT, True)
    if not _server().suits(os.environ):
        return subprocess.Popen(
            command, stdin=stdin, stdout=stdout, stderr=stderr, start_new_session=True,
            pass_fds=pass_fds,
        )  # fmt: skip
    return _server().start(command[3:], stdout.fileno(), pass_fds, os.environ)


@contextmanager
def forked_tasks() -> Iterator[None]:
    """Let the local executor of this process fork its tasks."""
    instead = SimpleNamespace(Popen=_popen, DEVNULL=subprocess.DEVNULL, STDOUT=subprocess.STDOUT)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tasks, "subprocess", instead)
        yield


def _serve(orders: socket.socket) -> None:
    for module in IMPORTED:
        importlib.import_module(module)
    gc.freeze()
    while True:
        words, descriptors, _, _ = socket.recv_fds(orders, _MAX_ORDER, 16)
        if not words:
            return
        order = Order(*json.loads(words))
        reading, writing = os.pipe()
        between = os.fork()
        if between == 0:
            task = os.fork()
            if task == 0:
                os.close(reading)
                os.close(writing)
                orders.close()
                _become(order, descriptors)
                runpy.run_module(MODULE, run_name="__main__", alter_sys=True)
                sys.exit()
            os.write(writing, str(task).encode())
            os._exit(0)
        for descriptor in (writing, *descriptors):
            os.close(descriptor)
        os.waitpid(between, 0)  # whoever ordered the task is its parent from here on
        orders.send(os.read(reading, 64))
        os.close(reading)


def _become(order: Order, descriptors: Sequence[int]) -> None:
    """Turn the forked process into one as the local executor starts it."""
    os.setsid()
    # First out of the way of the numbers that they get.
    high = [os.dup2(fd, 1000 + place) for place, fd in enumerate(descriptors)]
    for fd in descriptors:
        os.close(fd)
    for number, fd in zip(order.inherited, high, strict=True):
        os.dup2(fd, number)
        os.close(fd)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.chdir(order.folder)
    os.environ.clear()
    os.environ.update(order.env)
    paths = order.env.get("PYTHONPATH", "").split(os.pathsep)
    # As `python -m` has it: the working folder first.
    sys.path[:1] = [order.folder, *(path for path in paths if path and path not in sys.path)]
    sys.argv = [MODULE, *order.arguments]


if __name__ == "__main__":
    _serve(socket.socket(fileno=int(sys.argv[1])))
