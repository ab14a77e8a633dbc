"""A cluster's own processes: daemons in the foreground, their ports, and waiting for them."""

import contextlib
import os
import pathlib
import random
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from tests.slurm.private_cluster import watchdog
from tests.waiting import wait_until

T = TypeVar("T")
LOG_LINES = 30
FIRST_PORT = 10_000
SLOWNESS = 3


def wait_for(predicate: Callable[[], T], timeout: float, what: str, poll: float = 0.2) -> T:
    """Return the first true answer of `predicate`, within SLOWNESS times `timeout` seconds.

    `timeout` is what it may take on a machine that has nothing else to do.
    """
    return wait_until(predicate, what, seconds=timeout * SLOWNESS, poll_seconds=poll)


def reserve_ports(count: int) -> list[socket.socket]:
    """Bind sockets to free ports. Keep them open as long as a daemon may need its port.

    The ports are below the range from which the kernel gives ports to clients. No other process
    can bind one, because it was bound without SO_REUSEADDR. A Slurm daemon can, because it sets
    that option, as the reserving socket does afterwards, and the reserving socket never listens.
    So a port is never free in between: not while the daemons before it boot, nor while a test has
    its daemon stopped.
    """
    text = pathlib.Path("/proc/sys/net/ipv4/ip_local_port_range").read_text()
    candidates = list(range(FIRST_PORT, int(text.split()[0])))
    random.SystemRandom().shuffle(candidates)
    reserved: list[socket.socket] = []
    for port in candidates:
        if len(reserved) == count:
            return reserved
        probe = socket.socket()
        try:
            probe.bind(("", port))  # every address: slurmdbd can't be told to listen on one
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            reserved.append(probe)
        except OSError:
            probe.close()
    raise RuntimeError(f"fewer than {count} free ports from {FIRST_PORT} to {text.split()[0]}")


def accepts(path: pathlib.Path) -> bool:
    """Whether something listens on a unix socket."""
    with socket.socket(socket.AF_UNIX) as client, contextlib.suppress(OSError):
        client.connect(str(path))
        return True
    return False


class Watchdog:
    """The process that ends the daemons when this one can't; see watchdog.py."""

    def __init__(self, cluster_name: str, folders: Sequence[pathlib.Path], log: pathlib.Path):
        with log.open("a") as out:
            # A session of its own, like the daemons: Ctrl-C is for pytest, whose fixtures then
            # stop the cluster in good order.
            self._process = subprocess.Popen(
                [sys.executable, "-I", watchdog.__file__, cluster_name, *map(str, folders)],
                stdin=subprocess.PIPE,
                stdout=out,
                stderr=out,
                start_new_session=True,
                text=True,
            )

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process.poll() is None else None

    def heed(self, pid: int) -> None:
        """Have this daemon ended with the rest."""
        assert self._process.stdin is not None
        print(pid, file=self._process.stdin, flush=True)

    def dismiss(self) -> None:
        """Everything has been ended: the watchdog looks once more, and leaves."""
        with contextlib.suppress(BrokenPipeError):
            self._process.communicate(timeout=60)


class Daemon:
    """A program in the foreground as a child of ours; may be stopped and started many times."""

    def __init__(
        self,
        name: str,
        argv: Sequence[str | os.PathLike[str]],
        *,
        folder: pathlib.Path,
        env: Mapping[str, str],
    ) -> None:
        self.name = name
        self.log = folder / "log" / f"{name}.log"
        self._argv = [os.fspath(part) for part in argv]
        self._folder = folder
        self._env = dict(env)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """The running process's id; None where there is none."""
        return self._process.pid if self._process and self._process.poll() is None else None

    def start(self, guard: Watchdog) -> None:
        assert self.pid is None, f"{self.name} runs already as pid {self.pid}"
        with self.log.open("ab") as out:
            self._process = subprocess.Popen(
                self._argv,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                cwd=self._folder,
                env=self._env,
                start_new_session=True,
            )
        guard.heed(self._process.pid)

    def wait(self, timeout: float) -> int:
        """The exit code of a program that ends by itself."""
        assert self._process is not None, f"{self.name} has not been started"
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self._process.wait(timeout)
        raise self.trouble(f"not within {timeout:g} s")

    def stop(self, timeout: float = 20) -> None:
        """As an administrator stops it: SIGTERM; SIGKILL where that does not help."""
        if self._process is not None:
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout)
        self.kill()

    def kill(self) -> None:
        """As a crash ends it."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def trouble(self, what: str) -> RuntimeError:
        """An error that shows the end of the log."""
        state = "runs" if self.pid else "has ended"
        if self._process is not None and not self.pid:
            state += f" with code {self._process.returncode}"
        lines = self.log.read_text(errors="replace").splitlines() if self.log.exists() else []
        end = "\n".join(lines[-LOG_LINES:])
        return RuntimeError(f"{what}: {self.name} {state}; the end of {self.log}:\n{end}")

    def await_ready(self, ready: Callable[[], object], timeout: float, what: str) -> None:
        """Wait until `ready()`, and no longer than this daemon lives.

        Raises:
            RuntimeError: it ended or took too long; shows the end of its log.
        """
        try:
            wait_for(lambda: ready() or not self.pid, timeout, what)
        except TimeoutError as error:
            raise self.trouble(str(error)) from None
        if not self.pid:
            raise self.trouble(what)
