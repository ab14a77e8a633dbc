"""Run between a task and the server it starts, so that the server ends whenever the task does.

SIGKILL gives a task no time to end its server. The server would keep the GPU's memory, and the next
task could not start. The guard holds the end of a pipe that closes with the task. (PR_SET_PDEATHSIG
alone does not reach grandchildren, and fires when the thread ends that started the server.)

On stdin the guard reads one line, the order, and then nothing until stdin closes. On stdout it
writes one line, the report.
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

from pipeline.config.redaction import Redaction
from pipeline.system import processes

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
# A task has about 15 s to end before Slurm's SIGKILL, and must write its last checkpoint part too.
GRACE_SECONDS = 5.0
KILL_SECONDS = 5.0
POLL_SECONDS = 0.2
# A longer line is written in parts.
LONGEST_LINE_BYTES = 1 << 16


class RedactedLog:
    """Writes a server's output to a file, line by line, without the key in any form.

    A full disk does not end the server: what does not fit is dropped.
    """

    def __init__(self, stream: BinaryIO, key: str) -> None:
        """Redact `key`, unless it is empty."""
        self._stream = stream
        self._redact = Redaction(key) if key else str
        self._pending = b""

    def write(self, chunk: bytes) -> None:
        """Append a chunk, wherever the output was cut."""
        text = self._pending + chunk
        # A progress bar ends its lines with a carriage return.
        end = max(text.rfind(b"\n"), text.rfind(b"\r")) + 1
        if len(text) - end > LONGEST_LINE_BYTES:
            end = len(text)
        self._pending = text[end:]
        self._put(text[:end])

    def close(self) -> None:
        """Write what is pending, and close the file."""
        self._put(self._pending)
        self._stream.close()

    def _put(self, text: bytes) -> None:
        shown = self._redact(text.decode(errors="surrogateescape"))
        with contextlib.suppress(OSError):
            self._stream.write(shown.encode(errors="surrogateescape"))


class Guard:
    """Watches one server, from its start to the end of its last descendant."""

    def __init__(self, server: "subprocess.Popen[bytes]", log: RedactedLog) -> None:
        """Watch a server that has just been started."""
        assert server.stdout
        self._server = server
        self._log = log
        self._code: int | None = None
        self._task_is_gone = False
        self._selector = selectors.DefaultSelector()
        self._selector.register(sys.stdin, selectors.EVENT_READ)
        self._selector.register(server.stdout, selectors.EVENT_READ)

    def watch(self) -> int | None:
        """Return the server's exit code when it has ended; None when the task has ended first."""
        while not self._task_is_gone and self._code is None:
            self._poll(POLL_SECONDS)
        return None if self._task_is_gone else self._code

    def end(self) -> None:
        """Stop the server, and return when no process of it is left to hold a GPU's memory."""
        self._signal_all(signal.SIGTERM)
        self._until_gone(GRACE_SECONDS, lambda: None)
        self._until_gone(KILL_SECONDS, lambda: self._signal_all(signal.SIGKILL))

    def _until_gone(self, seconds: float, act: Callable[[], None]) -> None:
        deadline = time.monotonic() + seconds
        while processes.descendants(os.getpid()) and time.monotonic() < deadline:
            act()
            self._poll(0.05)
        self._poll(0.0)

    def _signal_all(self, number: int) -> None:
        """Signal every descendant, in whatever process group."""
        for process in processes.descendants(os.getpid()):
            processes.send_signal(process, number)

    def _poll(self, seconds: float) -> None:
        for key, _ in self._selector.select(seconds):
            chunk = os.read(key.fd, 1 << 16)
            if key.fileobj is self._server.stdout:
                self._log.write(chunk)
            elif not chunk:
                self._task_is_gone = True
            if not chunk:
                self._selector.unregister(key.fileobj)
        self._reap()

    def _reap(self) -> None:
        """Collect all children that have ended, orphans included: the guard is their subreaper."""
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
    """Run the server that stdin orders."""
    # Some clusters signal all processes of a step. The task decides what to do; the warning before
    # the time limit must not end the server. A signal with a handler is reset to its default in the
    # server, and an ignored one stays ignored.
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
    if order["key"]:
        processes.forbid_core_dumps()
    log = RedactedLog(open(order["log"], "ab", buffering=0), order["key"])  # noqa: SIM115, PTH123
    try:
        try:
            server = subprocess.Popen(
                order["command"],
                env=order["env"],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                # In case somebody kills the guard.
                preexec_fn=lambda: libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0),
            )
        except OSError as error:
            _report({"not_started": error.strerror or str(error), "errno": error.errno})
            return
        guard = Guard(server, log)
        # Before the slow part, so that requests learn at once that nobody listens.
        _report({"code": guard.watch()})
        guard.end()
    finally:
        log.close()


def _report(report: dict[str, Any]) -> None:
    with contextlib.suppress(BrokenPipeError):  # the task has gone
        os.write(sys.stdout.fileno(), json.dumps(report).encode())


if __name__ == "__main__":
    main()
