"""A process between a task and the server that it starts: when the task has gone, however it went,
the server goes too.

SIGKILL gives a task no time to end its server, which would keep the GPU's memory and the next
task from starting. The guard holds the end of a pipe that closes with the task. (PR_SET_PDEATHSIG
alone reaches no grandchildren, and fires when the thread ends that started the server.)

On stdin: one line, the order; then nothing, until it closes. On stdout: one line, the report.
"""

import contextlib
import ctypes
import json
import os
import selectors
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any, BinaryIO

import psutil

from pipeline import processes

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
# A task has some 15 s for its end before Slurm's SIGKILL, its last checkpoint part included.
GRACE_SECONDS = 5.0
KILL_SECONDS = 5.0
TURN_SECONDS = 0.2


class Log:
    """A server's output, without the key, appended to a file. A disk that is full ends no server:
    what does not fit is left out."""

    def __init__(self, stream: BinaryIO, key: bytes) -> None:
        self._stream = stream
        self._key = key
        self._held = b""

    def write(self, chunk: bytes) -> None:
        text = self._held + chunk
        if self._key:
            text = text.replace(self._key, b"[key]")
        ends = (n for n in range(len(self._key) - 1, 0, -1) if text.endswith(self._key[:n]))
        keep = next(ends, 0)  # it may go on in the next chunk
        self._held = text[len(text) - keep :]
        self._put(text[: len(text) - keep])

    def close(self) -> None:
        self._put(self._held)
        self._stream.close()

    def _put(self, text: bytes) -> None:
        try:
            self._stream.write(text)
        except OSError:
            return


class Guard:
    """One server, from its start to the end of its last descendant."""

    def __init__(self, server: "subprocess.Popen[bytes]", log: Log) -> None:
        assert server.stdout
        self._server = server
        self._log = log
        self._code: int | None = None
        self._told = False
        self._selector = selectors.DefaultSelector()
        self._selector.register(sys.stdin, selectors.EVENT_READ)
        self._selector.register(server.stdout, selectors.EVENT_READ)

    def watch(self) -> int | None:
        """Returns the server's exit code when it has ended, None when the task wants its end."""
        while not self._told and self._code is None:
            self._turn(TURN_SECONDS)
        return None if self._told else self._code

    def end(self) -> None:
        """Returns when nothing is left of it, such as workers that hold a GPU's memory."""
        self._signal_all(signal.SIGTERM)
        self._until_gone(GRACE_SECONDS, lambda: None)
        self._until_gone(KILL_SECONDS, lambda: self._signal_all(signal.SIGKILL))

    def _until_gone(self, seconds: float, again: Callable[[], None]) -> None:
        deadline = time.monotonic() + seconds
        while processes.descendants(os.getpid()) and time.monotonic() < deadline:
            again()
            self._turn(0.05)
        self._turn(0.0)

    def _signal_all(self, number: int) -> None:
        """Signal every descendant, in whatever process group."""
        for process in processes.descendants(os.getpid()):
            with contextlib.suppress(psutil.Error):
                process.send_signal(number)

    def _turn(self, seconds: float) -> None:
        for key, _ in self._selector.select(seconds):
            chunk = os.read(key.fd, 1 << 16)
            if key.fileobj is self._server.stdout:
                self._log.write(chunk)
            elif not chunk:
                self._told = True
            if not chunk:
                self._selector.unregister(key.fileobj)
        self._reap()

    def _reap(self) -> None:
        """Orphans come to the guard: it is their subreaper."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                return
            if pid == self._server.pid:
                self._code = self._server.returncode = os.waitstatus_to_exitcode(status)


def main() -> None:
    # Some clusters signal all processes of a step: the task decides, and the server must not be
    # ended by the warning of the time limit. What has a handler is back to its default in the
    # server; what is ignored stays so.
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: None)
    for number in (signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, signal.SIG_IGN)
    line = sys.stdin.readline()
    if not line:  # the task has gone already
        return
    order = json.loads(line)
    try:
        _run(order)
    finally:
        shutil.rmtree(order["scratch"], ignore_errors=True)


def _run(order: dict[str, Any]) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    log = Log(open(order["log"], "ab", buffering=0), order["key"].encode())  # noqa: SIM115, PTH123
    try:
        try:
            server = subprocess.Popen(
                order["command"],
                env=order["env"],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                # Should somebody kill the guard.
                preexec_fn=lambda: libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0),
            )
        except OSError as error:
            _report({"not_started": error.strerror or str(error), "errno": error.errno})
            return
        guard = Guard(server, log)
        # Before what takes its time: requests should know at once that nobody listens.
        _report({"code": guard.watch()})
        guard.end()
    finally:
        log.close()


def _report(report: dict[str, Any]) -> None:
    with contextlib.suppress(BrokenPipeError):  # the task has gone
        os.write(sys.stdout.fileno(), json.dumps(report).encode())


if __name__ == "__main__":
    main()
