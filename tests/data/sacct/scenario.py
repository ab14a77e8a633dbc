"""An array that is brought into some state, and what Slurm says of it, written down."""

import re
import shlex
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from hpc.executors.slurm.client import Slurm
from tests.slurm.private_cluster.cluster import SlurmCluster, wait_for

HERE = Path(__file__).parent
FIRST_JOB = 4001
# What hpc.executors.slurm.client sets for every query.
SETTLED = "SLURM_BITSTR_LEN=0 TZ=UTC SLURM_TIME_FORMAT=standard"


class Recorder(Slurm):
    """The door to Slurm as it is, with a copy of what comes through it."""

    def __init__(self) -> None:
        super().__init__()
        self.last = ("", "")

    def _run(self, *command: str, env: dict[str, str] | None = None) -> str:
        printed = super()._run(*command, env=env)
        self.last = (shlex.join(command), printed)
        return printed


class Scenario:
    """One array, or some, of one name; `record` may be called at several moments of its life."""

    def __init__(self, cluster: SlurmCluster, name: str, into: Path) -> None:
        self.cluster = cluster
        self.name = name
        self.into = into
        self.began = datetime.now(UTC)
        self.jobs: list[str] = []
        self._slurm = Recorder()

    def submit(self, *options: str) -> str:
        given = ("--parsable", "-o", "/dev/null", "-J", f"hpc-{self.name}", *options)
        self.jobs.append(self.cluster.run("sbatch", *given).strip())
        return self.jobs[-1]

    def queue(self) -> str:
        self._slurm.queue([f"hpc-{self.name}"])
        return self._slurm.last[1]

    def accounting(self) -> str:
        self._slurm.accounting([int(job) for job in self.jobs], self.began)
        return self._slurm.last[1]

    def until(self, ask: Callable[[], str], pattern: str, seconds: float = 90) -> None:
        """Waits until the answer to `ask` matches the whole of `pattern`."""

        def seen() -> object:
            return re.fullmatch(pattern, ask(), re.DOTALL | re.VERBOSE)

        wait_for(seen, seconds, f"{self.name}: {pattern}")

    def record(self, *, moment: str = "") -> None:
        self._write(self.queue(), f"{self.name}{moment}.squeue.txt")
        self._write(self.accounting(), f"{self.name}{moment}.sacct.txt")

    def record_cut(self) -> None:
        """Long index lists as sacct cuts them where SLURM_BITSTR_LEN is not 0."""
        query = ("sacct", "-n", "-P", "-j", ",".join(self.jobs), "-o", "JobID,State")
        self._write(self.cluster.run(*query), f"{self.name}.cut.txt", shlex.join(query), "TZ=UTC")

    def _write(self, printed: str, file: str, command: str = "", env: str = SETTLED) -> None:
        version = self.cluster.run("sinfo", "--version").strip().replace("slurm-wlm", "Slurm")
        text = f"# {version}: {env} {command or self._slurm.last[0]}\n{printed}"
        for nth, job in enumerate(self.jobs):
            text = re.sub(rf"\b{job}(?!\d)", str(FIRST_JOB + nth), text)
        text = re.sub(rf"\b{self.cluster.name}n", "n", text)
        text = re.sub(rf"\b{self.cluster.name}n?\[", "n[", text)
        (self.into / file).write_text(text, encoding="utf-8")
        print(f"wrote {file}", flush=True)
