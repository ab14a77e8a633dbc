"""Run real OpenAI-compatible servers that need no GPU, each as a process."""

from __future__ import annotations

import os
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Self

import requests

PORT_ATTEMPTS = 3


class RealServer:
    """Runs `command` from `start()` to `stop()`; `{port}` in it is a free port of 127.0.0.1.

    `startup` is how many seconds it may take until it is ready.
    """

    def __init__(
        self, command: Sequence[str], *, startup: float, env: Mapping[str, str] | None = None
    ) -> None:
        self.command = tuple(command)
        self.startup = startup
        self.env = dict(env or {})
        self.port = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._log: IO[bytes] | None = None

    @property
    def url(self) -> str:
        if not self.port:
            raise RuntimeError("the server has no address before start()")
        return f"http://127.0.0.1:{self.port}"

    @property
    def base_url(self) -> str:
        """Return what a client's configuration calls `base_url`: with /v1."""
        return f"{self.url}/v1"

    def start(self) -> Self:
        """Return when it serves its model. The error of a failed start ends with its log."""
        for attempt in range(1, PORT_ATTEMPTS + 1):
            try:
                self._launch()
                self._wait_until_ready()
                return self
            except RuntimeError as error:
                # The port was free when asked for; another process may have been faster.
                if attempt == PORT_ATTEMPTS or "address already in use" not in str(error):
                    raise
        raise AssertionError("unreachable")

    def stop(self) -> None:
        """End the server's process. Doing so twice does no harm."""
        process, self._process = self._process, None
        if process is not None:
            process.terminate()
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if self._log is not None:
            self._log.close()
            self._log = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        self.stop()

    def log(self, last_bytes: int = 3000) -> str:
        """Return the end of what the server has printed so far."""
        if self._log is None:
            return ""
        # By its name: a position shared with the server's own writing would move under it.
        return Path(self._log.name).read_bytes()[-last_bytes:].decode(errors="replace")

    def _launch(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self._log = tempfile.NamedTemporaryFile(prefix="server-", suffix=".log")  # noqa: SIM115
        self._process = subprocess.Popen(
            [word.replace("{port}", str(self.port)) for word in self.command],
            env=os.environ | self.env,
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )

    def _wait_until_ready(self) -> None:
        assert self._process is not None
        deadline = time.monotonic() + self.startup
        while time.monotonic() < deadline:
            try:
                # Waits between two requests; ends at once if the process does.
                code = self._process.wait(timeout=0.05)
            except subprocess.TimeoutExpired:
                if self._answers():
                    return
                continue
            raise self._failure(f"ended with exit code {code}")
        raise self._failure(f"does not answer after {self.startup:g} s")

    def _answers(self) -> bool:
        """Ask both pages: llama-cpp-python has no /health, transformers may list no models."""
        try:
            for path in ("/health", "/v1/models"):
                if requests.get(self.url + path, timeout=2).status_code == 200:
                    return True
        except requests.RequestException:
            pass
        return False

    def _failure(self, event: str) -> RuntimeError:
        log = self.log()
        self.stop()
        return RuntimeError(f"{' '.join(self.command)} {event}; its log ends with:\n{log}")
