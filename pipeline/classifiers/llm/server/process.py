"""One start of a server: a port of its own, a folder of its own, a guard around it."""

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

from pipeline import processes
from pipeline.classifiers.llm.server.options import ServerOptions
from pipeline.config.secret import Secret
from pipeline.model import JsonObject

HOST = "127.0.0.1"
# The guard's own patience with a server that ignores SIGTERM, and some.
END_SECONDS = 15.0
# By default shared by the tasks of a user, on a shared file system too, where engines that compile
# at the same time break one another's files (vllm#24601).
CACHES = {
    "VLLM_CACHE_ROOT": "vllm",
    "TORCHINDUCTOR_CACHE_DIR": "inductor",
    "TRITON_CACHE_DIR": "triton",
}


class Ports:
    """Free ports that no two tasks of this program take on one node, even before their servers
    bind them: a name in the network's own namespace holds each, and goes with the process."""

    def __init__(self) -> None:
        self._held: list[socket.socket] = []

    def take(self) -> int:
        """Never the same one twice."""
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
        for name in self._held:
            name.close()


class ServerProcess:
    """A server at work, in a `with`: it and all that it has started have ended after the block."""

    def __init__(self, guard: "subprocess.Popen[bytes]", *, log_start: int) -> None:
        self._guard = guard
        self._kills = processes.out_of_memory_kills()
        self.log_start = log_start

    def ended(self, within: float) -> bool:
        """Whether it ends by itself within so many seconds."""
        assert self._guard.stdout
        ready, _, _ = select.select([self._guard.stdout], [], [], within)
        return bool(ready)

    def shares_port(self, port: int) -> bool:
        ours = (process.pid for process in processes.descendants(self._guard.pid))
        return processes.has_foreign_listener(port, ours)

    def report(self) -> JsonObject:
        """The guard's, after the end; nothing where the guard was killed."""
        assert self._guard.stdout
        with self._guard.stdout as stream, contextlib.suppress(ValueError):
            found: Any = json.loads(stream.read())
            return found if isinstance(found, dict) else {}
        return {}

    def memory_kill(self) -> bool:
        return processes.out_of_memory_kills() > self._kills


@contextlib.contextmanager
def started(
    options: ServerOptions, port: int, log: Path, secret: Secret
) -> Iterator[ServerProcess]:
    scratch = tempfile.mkdtemp(prefix="server-")
    try:
        order = _order(options, port, log, secret, scratch)
        start = _headed(log, secret.redact(" ".join(order["command"])))
        guard = subprocess.Popen(
            [sys.executable, "-m", "pipeline.classifiers.llm.server.guard"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
    except OSError:
        shutil.rmtree(scratch, ignore_errors=True)  # the guard's to remove, once it runs
        raise
    assert guard.stdin
    try:
        with contextlib.suppress(BrokenPipeError):
            guard.stdin.write(json.dumps(order).encode() + b"\n")
            guard.stdin.flush()
        yield ServerProcess(guard, log_start=start)
    finally:
        with contextlib.suppress(BrokenPipeError):
            guard.stdin.close()
        try:
            guard.wait(END_SECONDS)
        except subprocess.TimeoutExpired:  # there is a process that the kernel cannot end
            guard.kill()


def _order(
    options: ServerOptions, port: int, log: Path, secret: Secret, scratch: str
) -> JsonObject:
    values = {"port": str(port), "host": HOST, "scratch": scratch}
    caches = {name: f"{scratch}/{folder}" for name, folder in CACHES.items()}
    given = {name: options.filled(value, **values) for name, value in options.env.items()}
    return {
        "command": [options.filled(word, **values) for word in options.command],
        "env": {**caches, **os.environ, **given},
        "log": str(log),
        "key": secret.kept_out,
        "scratch": scratch,
    }


def _headed(log: Path, command: str) -> int:
    """Begins a start's part of the log; returns where that is."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as stream:
        stream.write(f"== {datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC: {command}\n".encode())
        return stream.tell()
