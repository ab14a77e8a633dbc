"""A real OpenAI-compatible server without a GPU: llama-cpp-python's, as a process of its own."""

from __future__ import annotations

import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import IO, Self

import requests

STARTUP_S = 60.0  # 2 to 3 s on an idle machine, most of it imports
PORT_ATTEMPTS = 3


class LlamaServer:
    """`python -m llama_cpp.server` on a free port of 127.0.0.1, from `start()` to `stop()`.

    `arguments` are further ones of its command line, such as `"--logits_all", "true"` for logprobs.
    """

    def __init__(self, model: Path, *arguments: str, context: int = 4096) -> None:
        self.model = model
        self.context = context
        self.arguments = arguments
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
        """What a client's configuration calls `base_url`: with /v1."""
        return f"{self.url}/v1"

    def start(self) -> Self:
        """Return once it serves its model; the error of a failed start ends with its log."""
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
        """End this server's process and no other; twice does no harm."""
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
        """The end of what the server has printed so far."""
        if self._log is None:
            return ""
        # By its name: a position shared with the server's own writing would move under it.
        return Path(self._log.name).read_bytes()[-last_bytes:].decode(errors="replace")

    def _launch(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        command = [sys.executable, "-m", "llama_cpp.server", "--model", str(self.model)]
        command += ["--host", "127.0.0.1", "--port", str(self.port), "--n_ctx", str(self.context)]
        self._log = tempfile.NamedTemporaryFile(prefix="llama-", suffix=".log")  # noqa: SIM115
        self._process = subprocess.Popen(
            [*command, *self.arguments],
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )

    def _wait_until_ready(self) -> None:
        assert self._process is not None
        deadline = time.monotonic() + STARTUP_S
        while time.monotonic() < deadline:
            try:
                # The wait between two questions, which ends at once if the process does.
                code = self._process.wait(timeout=0.05)
            except subprocess.TimeoutExpired:
                if self._answers():
                    return
                continue
            raise self._failure(f"ended with exit code {code}")
        raise self._failure(f"does not answer after {STARTUP_S:g} s")

    def _answers(self) -> bool:
        try:
            return requests.get(f"{self.base_url}/models", timeout=2).status_code == 200
        except requests.RequestException:
            return False

    def _failure(self, what: str) -> RuntimeError:
        log = self.log()
        self.stop()
        return RuntimeError(f"llama_cpp.server of {self.model} {what}; its log ends with:\n{log}")
