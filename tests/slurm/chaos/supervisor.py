"""`python -m hpc.supervise`, started again whenever it has ended or was killed."""

import pathlib
import subprocess
import sys
import time
from collections import Counter

from tests.slurm.private_cluster.commands import Bench

PAUSE_S = 0.3


class Supervisor:
    """`ended_early` counts what it said last when it ended by itself, though nothing was over."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._log = bench.folder / "supervise.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._not_before = 0.0
        self.started = 0
        self.ended_early: Counter[str] = Counter()

    def kill(self) -> bool:
        """False where none was at work."""
        process, self._process = self._process, None
        if process is None or process.poll() is not None:
            return False
        process.kill()
        process.wait()
        return True

    def keep(self, run: pathlib.Path) -> int | None:
        """Starts it again where it has ended; its exit code where it just has by itself."""
        if self._process is not None:
            code = self._process.poll()
            if code is not None:
                self._process = None
                self._not_before = time.monotonic() + PAUSE_S
            return code
        if time.monotonic() >= self._not_before:
            with self._log.open("ab") as log:
                self._process = subprocess.Popen(
                    [sys.executable, "-m", "hpc.supervise", str(run)],
                    cwd=self._bench.folder,
                    env=self._bench.env,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                )
            self.started += 1
        return None

    def last_words(self) -> str:
        lines = [line for line in self._log.read_text(errors="replace").splitlines() if line]
        return lines[-1] if lines else ""
