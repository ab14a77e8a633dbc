"""The only door to Slurm: sbatch, sacct, squeue, scontrol, scancel.

A refusal shows command, exit code, stdout and stderr: Slurm's own words, never a guess at them.
"""

import os
import re
import shlex
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from hpc.executors.base import ExecutorError
from hpc.executors.slurm import parse
from hpc.run.array_indices import TaskId
from hpc.run.model import Limits, TaskRecord
from pipeline.errors import RunError

PATIENCE_S = 60.0
_BEFORE = timedelta(days=1)  # clocks of two machines, and sacct's window, never agree to a second
_ACCOUNTING_OFF = "accounting storage is disabled"


class SlurmError(ExecutorError):
    """A command of Slurm's failed. `words` is what it said itself."""

    def __init__(self, command: Sequence[str], code: str, stdout: str, stderr: str) -> None:
        super().__init__(
            f"{shlex.join(command)} failed: {code}"
            + "".join(f"\n  {line}" for line in (stdout + stderr).strip().splitlines()),
            words=stderr.strip() or stdout.strip() or code,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class QueryResult:
    """What one query brought: records by task id. `off`: this cluster keeps no accounting."""

    records: tuple[tuple[TaskId, TaskRecord], ...] = ()
    off: bool = False


class Slurm:
    """Raises SlurmError from every method where Slurm refuses or does not answer in time."""

    def __init__(self, patience_s: float = PATIENCE_S) -> None:
        self._patience_s = patience_s

    def array_size(self) -> int:
        """MaxArraySize: array indices go from 0 to one less."""
        found = re.search(
            r"^MaxArraySize\s*=\s*(\d+)", self._run("scontrol", "show", "config"), re.MULTILINE
        )
        if not found or int(found[1]) < 2:
            raise RunError("this Slurm takes no job arrays (scontrol show config: MaxArraySize)")
        return int(found[1])

    def submit(self, script: Path) -> int:
        """sbatch; the job id."""
        printed = self._run("sbatch", "--parsable", str(script), env=_for_sbatch())
        # "id" or "id;cluster", after whatever a site's wrapper prints.
        found = re.fullmatch(r"(\d+)(?:;.*)?", printed.strip().splitlines()[-1])
        if not found:
            raise RunError(f"sbatch took the array, but its answer holds no job id: {printed!r}")
        return int(found[1])

    def release(self, job: int, delay_s: int = 0) -> None:
        """Lets an array start that was submitted to wait; one that has started is left alone."""
        start = f"now+{delay_s}" if delay_s else "now"
        try:
            self._run("scontrol", "update", f"JobId={job}", f"StartTime={start}")
        except SlurmError:
            # It may be over: cancelled while it waited, or released by a submitter that died right
            # after. Then accounting has the rest of its story. One of which nothing has started
            # was not released, whatever else it waits for beside its time.
            printed = self._run("squeue", "-h", "-a", "-t", "all", "-o", "%F|%T")
            states = {line.partition("|")[2] for line in printed.splitlines()
                      if line.startswith(f"{job}|")}  # fmt: skip
            if states == {"PENDING"}:
                raise

    def cancel(self, jobs: Sequence[int]) -> None:
        if jobs:
            self._run("scancel", *map(str, jobs))

    def cancel_waiting(self, jobs: Sequence[int]) -> None:
        """Takes back what of these arrays has not started."""
        if jobs:
            self._run("scancel", "--state=PENDING", *map(str, jobs))

    def requeue(self, job: int, index: int) -> None:
        """Ends a running task of an array and puts it back under the same id; also where the site
        (JobRequeue=0) or --no-requeue keeps Slurm from doing that by itself."""
        task = f"{job}_{index}"
        self._run("scontrol", "update", f"JobId={task}", "Requeue=1")
        self._run("scontrol", "requeue", task)

    def limits(self, partition: str | None) -> Limits:
        """How far tasks of a partition (of the default one, or of the best of a list) may grow."""
        printed = self._run("sinfo", "-N", "-h", "-a", "-o", parse.SINFO_FORMAT)
        return parse.parse_sinfo_limits(printed, partition)

    def job_named(self, name: str) -> int | None:
        """The job of that name that waits or runs; ended ones do not count."""
        return min(self.jobs_named(name), default=None)

    def jobs_named(self, name: str, *, waiting: bool = False) -> frozenset[int]:
        """The jobs of that name that wait or run, or only those that wait."""
        states = ("-t", "PENDING") if waiting else ()
        printed = self._run("squeue", "-h", "-a", *states, "-n", name, "-o", "%F")
        return frozenset(int(job) for job in re.findall(r"^(\d+)", printed, re.MULTILINE))

    def jobs(self, prefix: str) -> tuple[tuple[str, TaskId, TaskRecord], ...]:
        """Name, id and record of whatever waits or runs, or has just ended, under a name that
        begins so. squeue selects by whole names only, and fetches the whole queue for that too."""
        printed = self._run("squeue", "-h", "-a", "-t", "all", "-o", parse.NAMED_FORMAT)
        found = parse.parse_squeue_names(printed)
        return tuple(one for one in found if one[0].startswith(prefix))

    def queue(self, names: Sequence[str]) -> QueryResult:
        """What the controller knows of the jobs of these names, the ones just ended included."""
        printed = self._run(
            "squeue", "-h", "-a", "-t", "all", "-n", ",".join(names), "-o", parse.SQUEUE_FORMAT
        )
        return QueryResult(records=parse.parse_squeue(printed))

    def accounting(self, jobs: Sequence[int], since: datetime) -> QueryResult:
        """What accounting knows of these arrays' tasks, in one call.

        Args:
            since: when the first of them was submitted (UTC): job ids are used again, after
                MaxJobId or a new controller, and older namesakes must not answer.
        """
        try:
            printed = self._run(
                "sacct", "-n", "-P", "--noconvert", "-S", f"{since - _BEFORE:%Y-%m-%dT%H:%M:%S}",
                "-j", ",".join(map(str, jobs)), "-o", parse.SACCT_FORMAT,
            )  # fmt: skip
        except SlurmError as error:
            if _ACCOUNTING_OFF in error.words:
                return QueryResult(off=True)
            raise
        return QueryResult(records=parse.parse_sacct(printed))

    def _run(self, *command: str, env: dict[str, str] | None = None) -> str:
        # SLURM_BITSTR_LEN=0: else a long index list is cut. TZ: all our times are UTC.
        settled = {"SLURM_BITSTR_LEN": "0", "TZ": "UTC", "SLURM_TIME_FORMAT": "standard"}
        try:
            done = subprocess.run(
                command,
                env=env or {**os.environ, **settled},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=self._patience_s,
            )
        except FileNotFoundError:
            raise SlurmError(
                command,
                f"there is no {command[0]} here: run this on a login node of the cluster, "
                "or set cluster.executor: local",
                "",
                "",
            ) from None
        except subprocess.TimeoutExpired:
            raise SlurmError(command, f"no answer in {self._patience_s:g} s", "", "") from None
        if done.returncode:
            raise SlurmError(command, f"exit code {done.returncode}", done.stdout, done.stderr)
        return done.stdout


def _for_sbatch() -> dict[str, str]:
    """The user's environment without what would overrule the script (SBATCH_ARRAY_INX, …) or, when
    submitting from within a job, pass that job's memory and CPU binding on to ours."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("SBATCH_", "SLURM_")) or name == "SLURM_CONF"
    }
