"""Call Slurm's commands: sbatch, sacct, squeue, scontrol, scancel, sinfo. The only door to them.

A failed command is reported with its exit code, stdout and stderr: Slurm's own words, not a guess
at what they mean.
"""

import os
import re
import shlex
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from hpc.executors.base import ExecutorError
from hpc.executors.slurm import parse
from hpc.executors.slurm.environment import query_environment, sbatch_environment
from hpc.run.array_indices import TaskId
from hpc.run.model import Limits, TaskRecord
from pipeline.errors import RunError

PATIENCE_S = 60.0
# The clocks of two machines, and sacct's window, never agree to a second.
_BEFORE = timedelta(days=1)
# An array that was not released begins in a year; Slurm's own estimates look ahead by days.
_NOT_RELEASED = timedelta(days=180)
_ACCOUNTING_OFF = "accounting storage is disabled"


class SlurmError(ExecutorError):
    """A command of Slurm failed. `words` is what the command itself printed."""

    def __init__(self, command: Sequence[str], code: str, stdout: str, stderr: str) -> None:
        """Describe the failure, with stdout and stderr labeled where there is any."""
        lines = [f"{shlex.join(command)} failed: {code}"]
        for label, text in (("stdout", stdout), ("stderr", stderr)):
            lines += [f"  {label}: {line}" for line in text.strip().splitlines()]
        super().__init__("\n".join(lines), words=stderr.strip() or stdout.strip() or code)


@dataclass(frozen=True, kw_only=True, slots=True)
class QueryResult:
    """The records that one query returned, by task id."""

    records: tuple[tuple[TaskId, TaskRecord], ...] = ()
    off: bool = False
    """Whether this cluster keeps no accounting."""


class Slurm:
    """Calls Slurm's commands, in an environment that the user's shell cannot bend.

    Every method raises SlurmError if Slurm refuses, or does not answer in time.
    """

    def __init__(self, patience_s: float = PATIENCE_S) -> None:
        """Wait at most `patience_s` seconds for each command."""
        self._patience_s = patience_s

    def array_size(self) -> int:
        """Return MaxArraySize: array indices go from 0 to one less."""
        match = re.search(
            r"^MaxArraySize\s*=\s*(\d+)", self._run("scontrol", "show", "config"), re.MULTILINE
        )
        if not match or int(match[1]) < 2:
            raise RunError("this Slurm takes no job arrays (scontrol show config: MaxArraySize)")
        return int(match[1])

    def submit(self, script: Path, job_name: str) -> int:
        """Submit a script and return its job id.

        Args:
            script: the batch script.
            job_name: the job's name in the script. It finds the job where a site's wrapper hides
                the id in sbatch's answer.
        """
        command = ("sbatch", "--parsable", str(script))
        printed = self._run(*command, environment=sbatch_environment(os.environ))
        job = parse.job_id_of_sbatch(printed)
        if job is None:
            job = self.job_named(job_name)
        if job is None:
            raise SlurmError(
                command,
                f"it reported success, but no job id, and squeue knows no job {job_name}; "
                "the same command, typed again, finds the job if it appears",
                printed,
                "",
            )
        return job

    def release(self, job: int, delay_s: int = 0) -> None:
        """Let an array start that was submitted on hold; one that has started is left alone.

        Raises:
            SlurmError: Slurm refused, or the array still begins in a year afterwards.
        """
        start = f"now+{delay_s}" if delay_s else "now"
        command = ("scontrol", "update", f"JobId={job}", f"StartTime={start}")
        try:
            self._run(*command)
        except SlurmError:
            # The array may be over: canceled while it was on hold, or released by a submitter that
            # died right after. Then accounting has the rest of its story. An array of which
            # nothing has started was not released, whatever else it is waiting for.
            if self._states(job) == {"PENDING"}:
                raise
            return
        shown = self._run("scontrol", "--oneliner", "show", "job", str(job))
        begins = parse.begin_of_pending(shown)
        if begins is not None and begins - datetime.now(UTC) > _NOT_RELEASED:
            raise SlurmError(command, f"the array still begins on {begins:%Y-%m-%d}", "", "")

    def cancel(self, jobs: Sequence[int]) -> None:
        """Cancel jobs, whatever their state."""
        if jobs:
            self._run("scancel", *map(str, jobs))

    def cancel_waiting(self, jobs: Sequence[int]) -> None:
        """Cancel the tasks of these arrays that have not started."""
        if jobs:
            self._run("scancel", "--state=PENDING", *map(str, jobs))

    def requeue(self, job: int, index: int) -> None:
        """End a running task of an array and put it back into the queue under the same id.

        It works also where the site (JobRequeue=0) or --no-requeue keeps Slurm from doing that by
        itself.
        """
        task = f"{job}_{index}"
        self._run("scontrol", "update", f"JobId={task}", "Requeue=1")
        self._run("scontrol", "requeue", task)

    def limits(self, partition: str | None) -> Limits:
        """Return how far tasks may grow.

        Args:
            partition: a name or a comma list, of which the most generous counts; None for the
                default partition.
        """
        printed = self._run("sinfo", "-N", "-h", "-a", "-o", parse.SINFO_FORMAT)
        return parse.parse_sinfo_limits(printed, partition)

    def job_named(self, name: str) -> int | None:
        """Return the pending or running job of this name, the oldest if there are several."""
        return min(self.jobs_named(name), default=None)

    def jobs_named(self, name: str, *, waiting: bool = False) -> frozenset[int]:
        """Return the pending and running jobs of this name.

        Args:
            name: the whole name.
            waiting: return the pending ones only.
        """
        states = ("-t", "PENDING") if waiting else ()
        printed = self._run("squeue", "-h", "-a", *states, "-n", name, "-o", "%F")
        return frozenset(int(job) for job in re.findall(r"^(\d+)", printed, re.MULTILINE))

    def jobs(self, prefix: str) -> tuple[tuple[str, TaskId, TaskRecord], ...]:
        """Return name, id and record of the jobs whose names begin with `prefix`.

        Jobs that have just ended are included. squeue selects by whole names only, and fetches the
        whole queue for that too.
        """
        printed = self._run("squeue", "-h", "-a", "-t", "all", "-o", parse.NAMED_FORMAT)
        return tuple(job for job in parse.parse_squeue_names(printed) if job[0].startswith(prefix))

    def queue(self, names: Sequence[str]) -> QueryResult:
        """Return what the controller knows of the jobs of these names, just ended ones included."""
        printed = self._run(
            "squeue", "-h", "-a", "-t", "all", "-n", ",".join(names), "-o", parse.SQUEUE_FORMAT
        )
        return QueryResult(records=parse.parse_squeue(printed))

    def accounting(self, jobs: Sequence[int], since: datetime) -> QueryResult:
        """Return what accounting knows of the tasks of these arrays, by one call.

        Args:
            jobs: the arrays' job ids.
            since: when the first of them was submitted (UTC). Job ids are reused, after MaxJobId
                or by a new controller, and older jobs of the same ids must not answer.
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

    def _states(self, job: int) -> set[str]:
        printed = self._run("squeue", "-h", "-a", "-t", "all", "-o", "%F|%T")
        rows = (line.partition("|") for line in printed.splitlines())
        return {state for number, _, state in rows if number == str(job)}

    def _run(self, *command: str, environment: Mapping[str, str] | None = None) -> str:
        try:
            done = subprocess.run(
                command,
                env=environment or query_environment(os.environ),
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
        except subprocess.TimeoutExpired as expired:
            # sbatch says why it waits ("temporarily unable to accept job, sleeping and retrying").
            code = f"no answer in {self._patience_s:g} s"
            raise SlurmError(
                command, code, _decoded(expired.stdout), _decoded(expired.stderr)
            ) from None
        if done.returncode:
            raise SlurmError(command, f"exit code {done.returncode}", done.stdout, done.stderr)
        return done.stdout


def _decoded(output: str | bytes | None) -> str:
    """Return what a command had printed before its time ran out; Python leaves it undecoded."""
    return output.decode(errors="replace") if isinstance(output, bytes) else output or ""
