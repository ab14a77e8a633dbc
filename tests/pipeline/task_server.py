"""Start tasks without the quarter of a second that each takes to import everything.

`python -m tests.pipeline.task_server SOCKET pipeline.worker` has imported what tasks need. It forks
a task for each order, which becomes a child of the process that sent the order, as one that it has
started itself.
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
from typing import NamedTuple

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
# That of the whole test session: a test may have changed its own when it starts the first task.
_ENVIRONMENT = dict(os.environ)
PR_SET_CHILD_SUBREAPER = 36  # prctl(2)
_MAX_ORDER = 1 << 20


class ForkedTask:
    """What the local executor needs of a `subprocess.Popen`."""

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
        self._env = {**_ENVIRONMENT, "PYTHONPATH": module_path()}
        with theirs:
            self._server = subprocess.Popen(
                # Its forks have its command line, by which verbs find tasks.
                [sys.executable, "-m", "tests.pipeline.task_server", str(theirs.fileno()), MODULE],
                env=self._env,
                pass_fds=[theirs.fileno()],
                start_new_session=True,  # Ctrl-C is for the tests
            )

    def suits(self, env: Mapping[str, str]) -> bool:
        """Tell whether a fork of the server may become a process with this environment."""
        differing = {name for name, _ in self._env.items() ^ env.items()} - {"PYTHONPATH"}
        # Python imports sitecustomize when it starts.
        customized = any(Path(folder, "sitecustomize.py").exists() for folder in _folders(env))
        return not customized and not any(name.startswith(READ_AT_START) for name in differing)

    def start(
        self,
        arguments: Sequence[str],
        streams: tuple[int, int],
        env: Mapping[str, str],
        inherited: Sequence[int] = (),
    ) -> ForkedTask:
        """Fork `python -m pipeline.worker ARGUMENTS` in a session of its own.

        Args:
            arguments: the task's arguments.
            streams: the descriptors of its stdout and stderr.
            env: its whole environment.
            inherited: other descriptors that it has, under the same numbers.
        """
        order = Order([*arguments], str(Path.cwd()), dict(env), [1, 2, *inherited])
        with _adopting_orphans():
            socket.send_fds(self._ours, [json.dumps(order).encode()], [*streams, *inherited])
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
def task_server() -> TaskServer:
    """Return the server of this process, which is started when the first task is."""
    server = TaskServer()
    atexit.register(server.close)
    return server


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
    # As `python -m` has it: the working folder first.
    sys.path[:1] = [order.folder, *(path for path in _folders(order.env) if path not in sys.path)]
    sys.argv = [MODULE, *order.arguments]


def _folders(env: Mapping[str, str]) -> list[str]:
    return [folder for folder in env.get("PYTHONPATH", "").split(os.pathsep) if folder]


if __name__ == "__main__":
    _serve(socket.socket(fileno=int(sys.argv[1])))
