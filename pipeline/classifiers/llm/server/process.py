"""Start a server once, with its own port, its own scratch folder and a guard around it."""

import contextlib
import errno
import json
import os
import select
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pipeline.classifiers.llm.server.options import ServerOptions
from pipeline.config.secret import Secret
from pipeline.model import JsonObject
from pipeline.system import processes

HOST = "127.0.0.1"
# The guard's own patience with a server that ignores SIGTERM, and a little more.
END_SECONDS = 15.0
# By default these caches are shared by all tasks of a user, on a shared file system too. Servers
# that compile at the same time break one another's files there (vllm#24601).
CACHES = {
    "VLLM_CACHE_ROOT": "vllm",
    "TORCHINDUCTOR_CACHE_DIR": "inductor",
    "TRITON_CACHE_DIR": "triton",
}


class Ports:
    """Reserves free ports, so that no two tasks of this program on one node use the same one.

    A port is reserved even before the server binds it: a socket in the network namespace's abstract
    name space holds it, and disappears with the process.
    """

    def __init__(self) -> None:
        """Reserve nothing yet."""
        self._held: list[socket.socket] = []

    def take(self) -> int:
        """Reserve a port and return it; no port is returned twice."""
        while True:
            with socket.create_server((HOST, 0)) as free:
                port: int = free.getsockname()[1]
            name = socket.socket(socket.AF_UNIX)
            try:
                name.bind(f"\0server-in-a-task-{port}")
            except OSError as error:
                name.close()
                if error.errno == errno.EADDRINUSE:
                    continue
                raise
            self._held.append(name)
            return port

    def close(self) -> None:
        """Release all ports."""
        for name in self._held:
            name.close()


class ServerProcess:
    """A running server."""

    def __init__(self, guard: "subprocess.Popen[bytes]", *, log_start: int) -> None:
        """Watch a server through its guard; its log begins at byte `log_start`."""
        self._guard = guard
        self._proven: frozenset[int] = frozenset()
        self._kills_before = processes.out_of_memory_kills()
        self.log_start = log_start

    def has_ended(self, within: float) -> bool:
        """Wait up to `within` seconds, and report whether the server has ended by itself."""
        assert self._guard.stdout
        # select() fails where a process has more than 1,024 descriptors.
        poll = select.poll()
        poll.register(self._guard.stdout)
        return bool(poll.poll(within * 1000))

    def listeners(self, port: int) -> frozenset[int]:
        """Return the sockets that listen on a port, all of them of the server and its children.

        Raises:
            ForeignListener: another process listens there, too or alone.
            OSError: nobody listens, or the kernel does not show who.
        """
        # A socket that was ours once is ours as long as it exists, and asking is slow.
        sockets = frozenset(processes.listening_sockets(port))
        if not sockets or not sockets <= self._proven:
            ours = (process.pid for process in processes.descendants(self._guard.pid))
            self._proven = processes.prove_listeners(port, ours)
        return sockets

    def report(self) -> JsonObject:
        """Return the guard's report of the end; it is empty where the guard was killed."""
        assert self._guard.stdout
        with self._guard.stdout as stream, contextlib.suppress(ValueError):
            report: Any = json.loads(stream.read())
            return report if isinstance(report, dict) else {}
        return {}

    def memory_kill(self) -> bool:
        """Report whether the kernel has killed a process of the task since the server started."""
        return processes.out_of_memory_kills() > self._kills_before


@contextlib.contextmanager
def start_server(
    options: ServerOptions, port: int, log: Path, secret: Secret
) -> Iterator[ServerProcess]:
    """Start a server. After the block, it and everything that it has started have ended.

    Args:
        options: the command and its environment.
        port: the port that it should listen on.
        log: the file that its output is appended to.
        secret: the key to keep out of the log.

    Raises:
        OSError: the guard cannot be started, or the log cannot be written.
    """
    scratch = tempfile.mkdtemp(prefix="server-")
    try:
        order = _order(options, port, log, secret, scratch)
        log_start = _write_heading(log, secret.redact(" ".join(order["command"])))
        guard = subprocess.Popen(
            [sys.executable, "-m", "pipeline.classifiers.llm.server.guard"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
    except OSError:
        shutil.rmtree(scratch, ignore_errors=True)  # the guard removes it, once it runs
        raise
    assert guard.stdin
    try:
        with contextlib.suppress(BrokenPipeError):
            guard.stdin.write(json.dumps(order).encode() + b"\n")
            guard.stdin.flush()
        yield ServerProcess(guard, log_start=log_start)
    finally:
        with contextlib.suppress(BrokenPipeError):
            guard.stdin.close()
        try:
            guard.wait(END_SECONDS)
        except subprocess.TimeoutExpired:  # a process that the kernel cannot end
            guard.kill()


def _order(
    options: ServerOptions, port: int, log: Path, secret: Secret, scratch: str
) -> JsonObject:
    values = {"port": str(port), "host": HOST, "scratch": scratch}
    caches = {name: f"{scratch}/{folder}" for name, folder in CACHES.items()}
    env = {name: options.fill_placeholders(value, **values) for name, value in options.env.items()}
    return {
        "command": [options.fill_placeholders(word, **values) for word in options.command],
        "env": {**caches, **os.environ, **env},
        "log": str(log),
        "key": secret.kept_out,
        "scratch": scratch,
    }


def _write_heading(log: Path, command: str) -> int:
    """Begin the log of one start, and return the byte at which it begins."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as stream:
        stream.write(f"== {datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC: {command}\n".encode())
        return stream.tell()
