"""Ask Slurm and tell it what to do: one method per request, with typed values in and out."""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from hpc.executors.base import SubmitLimitError
from hpc.executors.slurm.answers import parse
from hpc.executors.slurm.answers.controller_settings import (
    ControllerSettings,
    parse_controller_settings,
)
from hpc.executors.slurm.answers.submission_answers import (
    may_have_been_sent,
    raise_if_held,
    unanswered_error,
)
from hpc.executors.slurm.commands import SlurmError, run_command, run_sbatch
from hpc.executors.slurm.limits import submit_limits
from hpc.executors.slurm.limits.partitions import SINFO_FORMAT, Partition, parse_partitions
from hpc.run.array_indices import TaskId, format_indices
from hpc.run.model.attempts import Phase, TaskRecord
from pipeline.errors import RunError
from pipeline.system.ownership import user_name

PATIENCE_S = 60.0
# The clocks of two machines, and sacct's window, never agree to a second.
BEFORE = timedelta(days=1)
# How far back an array of a run that somebody resumes may have been submitted.
_RECENT = timedelta(days=365)
_ACCOUNTING_OFF = "accounting storage is disabled"
Prefix = str | tuple[str, ...]
"""What the name of a job begins with, or several such beginnings."""


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

    def __init__(self, patience_s: float = PATIENCE_S, *, cluster_name: str | None = None) -> None:
        """Address one cluster.

        Args:
            patience_s: how long to wait for each command, in seconds.
            cluster_name: the cluster that all commands go to; None for that of this machine.
        """
        self._patience_s = patience_s
        self._cluster_name = cluster_name

    def array_size(self) -> int:
        """Return MaxArraySize: array indices go from 0 to one less."""
        size = self._controller_settings().max_array_size
        if not size or size < 2:
            raise RunError("this Slurm takes no job arrays (scontrol show config: MaxArraySize)")
        return size

    def submit(self, script: Path, job_name: str) -> int:
        """Submit a script and return its job id.

        Args:
            script: the batch script.
            job_name: the job's name in the script. It finds the job where a site's wrapper hides
                the id in sbatch's answer, or where no answer comes.

        Raises:
            SubmitLimitError: too many jobs are submitted; fewer may fit.
            SubmissionUnansweredError: nobody knows whether Slurm took the job.
            SlurmError: Slurm refused it.
        """
        command = ("sbatch", "--parsable", str(script))
        try:
            printed = self._sbatch(*command[1:])
        except SlurmError as error:
            is_limit = submit_limits.is_submit_limit(error.words)
            if is_limit or submit_limits.may_be_submit_limit(error.words):
                raise SubmitLimitError(str(error), error.words, is_certain=is_limit) from None
            if not may_have_been_sent(error):
                raise
            return self._find_submitted(job_name, error)
        job, cluster = parse.parse_sbatch_answer(printed)
        if job is not None and cluster is not None:
            self._check_cluster(command, job, cluster)
        if job is None:
            no_id = SlurmError(command, "it reported success, but no job id", printed, "")
            return self._find_submitted(job_name, no_id)
        return job

    def test_submission(self, script: Path) -> str:
        """Return what `sbatch --test-only` prints about a script. Nothing is submitted.

        Raises:
            SlurmError: Slurm would refuse it, or does not answer.
        """
        return self._sbatch("--test-only", str(script))

    def show(self, *what: str) -> str:
        """Return what `scontrol show` prints."""
        return self._run("scontrol", "show", *what)

    def accounts(self, *what: str) -> str:
        """Return what `sacctmgr show` prints of the accounts, a row a line."""
        return self._run("sacctmgr", "-n", "-P", "show", *what)

    def hides_jobs(self) -> bool:
        """Tell whether this user sees no jobs but their own.

        SlurmUser, root, operators and administrators see all (slurm.conf(5), PrivateData).
        """
        settings = self._controller_settings()
        uid = os.getuid()
        if not settings.keeps_jobs_private or uid in (0, settings.slurm_user_id):
            return False
        return not self._is_operator(user_name(uid))

    def _is_operator(self, user: str) -> bool:
        try:
            level = self.accounts("user", f"name={user}", "format=AdminLevel")
        except SlurmError:  # no accounting, so no operators
            return False
        return bool(re.search(r"operator|administrator", level, re.IGNORECASE))

    def every_job(self) -> str:
        """Return id, user's id and state of everybody's jobs, just ended ones included."""
        return self._run("squeue", "-h", "-a", "-t", "all", "-o", parse.COUNT_FORMAT)

    def release(self, job: int, delay_s: int = 0) -> None:
        """Let an array start that was submitted on hold; one that has started is left alone.

        Raises:
            ReleaseRefusedError: Slurm answered, and the array still begins in a year.
            SlurmError: Slurm did not answer, or knows no such array.
        """
        start = f"now+{delay_s}" if delay_s else "now"
        command = ("scontrol", "update", f"JobId={job}", f"StartTime={start}")
        refusal: SlurmError | None = None
        try:
            self._run(*command)
        except SlurmError as error:
            refusal = error
        try:
            shown = self._run("scontrol", "--oneliner", "show", "job", str(job))
        except SlurmError:
            # Canceled while it was on hold, or released by a submitter that died, and forgotten by
            # the controller since. Anything else that hides the array must not count as its end.
            if self._is_over(job):
                return
            raise
        raise_if_held(shown, command, refusal, datetime.now(UTC))

    def start_now(self, job: int, indices: Sequence[int]) -> None:
        """Let pending tasks of an array start that were submitted for later."""
        tasks = f"{job}_[{format_indices(indices)}]" if len(indices) > 1 else f"{job}_{indices[0]}"
        self._change([job], "scontrol", "update", f"JobId={tasks}", "StartTime=now")

    def cancel(self, jobs: Sequence[int]) -> None:
        """Cancel jobs, whatever their state."""
        if jobs:
            self._change(jobs, "scancel", *map(str, jobs))

    def cancel_waiting(self, jobs: Sequence[int]) -> None:
        """Cancel the tasks of these arrays that have not started."""
        if jobs:
            self._change(jobs, "scancel", "--state=PENDING", *map(str, jobs))

    def requeue(self, job: int, index: int | None = None) -> None:
        """End a job, or a running task of an array, and put it back into the queue as it was.

        It works also where the site (JobRequeue=0) or --no-requeue keeps Slurm from doing that by
        itself.
        """
        task = f"{job}" if index is None else f"{job}_{index}"
        self._change([job], "scontrol", "update", f"JobId={task}", "Requeue=1")
        self._change([job], "scontrol", "requeue", task)

    def partitions(self) -> dict[str, Partition]:
        """Return all partitions by name, with their limits and nodes."""
        return parse_partitions(self._run("sinfo", "-N", "-h", "-a", "-o", SINFO_FORMAT))

    def shown_nodes(self, form: str) -> str:
        """Return a line for each node of each partition, hidden ones included, as sinfo has it.

        Args:
            form: sinfo's format of a line.
        """
        return self._run("sinfo", "-N", "-h", "-a", "-o", form)

    def qos_flags(self, qos: str) -> frozenset[str]:
        """Return the flags of a quality of service, such as `PartitionTimeLimit`."""
        printed = self._run("sacctmgr", "-n", "-P", "show", "qos", qos, "format=Flags")
        return frozenset(printed.strip().split(","))

    def job_named(self, name: str) -> int | None:
        """Return the pending or running job of this name, the oldest if there are several."""
        return min(self.jobs_named(name), default=None)

    def jobs_named(self, *names: str, waiting: bool = False) -> frozenset[int]:
        """Return the pending and running jobs of these names.

        Args:
            names: whole names.
            waiting: return the pending ones only.
        """
        states = ("-t", "PENDING") if waiting else ()
        printed = self._run("squeue", "-h", "-a", *states, "-n", ",".join(names), "-o", "%F")
        return frozenset(int(job) for job in re.findall(r"^(\d+)", printed, re.MULTILINE))

    def jobs(self, prefix: Prefix) -> tuple[tuple[str, TaskId, TaskRecord], ...]:
        """Return name, id and record of the jobs whose names begin with one of these prefixes.

        Jobs that have just ended are included. squeue selects by whole names only, and fetches the
        whole queue for that too.
        """
        printed = self._run("squeue", "-h", "-a", "-t", "all", "-o", parse.NAMED_FORMAT)
        return _begin_with(prefix, printed)

    def queue_of_everybody(self) -> tuple[parse.Record, ...]:
        """Return the tasks of all jobs that the controller shows, just ended ones included.

        `squeue -j` fails for the whole list if it does not know one of the jobs.
        """
        printed = self._run("squeue", "-h", "-a", "-t", "all", "-o", parse.SQUEUE_FORMAT)
        return parse.parse_squeue(printed)

    def jobs_or_accounted(self, prefix: Prefix) -> tuple[tuple[str, TaskId, TaskRecord], ...]:
        """Return the same, from accounting where a wrapper of squeue does not know its options.

        Accounting has live jobs only, and lags by some seconds.
        """
        try:
            return self.jobs(prefix)
        except SlurmError as error:
            if error.timed_out:
                raise
            return _begin_with(prefix, self._accounted_names(error))

    def _accounted_names(self, refusal: SlurmError) -> str:
        """Return the live jobs as accounting has them, in the form of squeue.

        Raises:
            SlurmError: squeue's refusal, because the controller is down, or accounting is off.
        """
        since = datetime.now(UTC) - _RECENT
        try:
            self.local_name()  # or a job that was submitted just now would be in neither answer
            return self._run(
                "sacct", "-n", "-P", "-X", "-a", "-S", f"{since:%Y-%m-%dT%H:%M:%S}",
                "-s", "PENDING,RUNNING,SUSPENDED,REQUEUED", "-o", parse.SACCT_NAMED_FORMAT,
            )  # fmt: skip
        except SlurmError:
            raise refusal from None

    def queue(self, names: Sequence[str], caretakers: Sequence[str] = ()) -> QueryResult:
        """Return what the controller knows of the jobs of these names, just ended ones included.

        Args:
            names: of arrays.
            caretakers: names of jobs that supervise a run, which cost no call of their own.
        """
        every = ",".join((*names, *caretakers))
        printed = self._run(
            "squeue", "-h", "-a", "-t", "all", "-n", every, "-o", parse.SQUEUE_FORMAT
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
                "sacct", "-n", "-P", "--noconvert", "-S", f"{since - BEFORE:%Y-%m-%dT%H:%M:%S}",
                "-j", ",".join(map(str, jobs)), "-o", parse.SACCT_FORMAT,
            )  # fmt: skip
        except SlurmError as error:
            if _ACCOUNTING_OFF in error.words:
                return QueryResult(off=True)
            raise
        return QueryResult(records=parse.parse_sacct(printed))

    def _change(self, jobs: Sequence[int], *command: str) -> None:
        """Run a command that changes jobs; if it fails, add whose jobs they are.

        Slurm's own words ("Access/permission denied") name nobody.
        """
        try:
            self._run(*command)
        except SlurmError as error:
            note = self._describe_owners(jobs)
            if not note:
                raise
            raise SlurmError(
                error.command, error.code, error.stdout, error.stderr, note=note
            ) from None

    def _describe_owners(self, jobs: Sequence[int]) -> str:
        """Return whose jobs these are; empty if all are this user's, or unknown."""
        try:
            listed = ",".join(map(str, jobs))
            printed = self._run("squeue", "-h", "-a", "-j", listed, "-o", "%F|%U")
        except SlurmError:
            return ""
        owners = {int(uid) for uid in re.findall(r"^\d+\|(\d+)$", printed, re.MULTILINE)}
        names = sorted(user_name(uid) for uid in owners - {os.geteuid()})
        if not names:
            return ""
        who = " and ".join(names)
        return f"the job belongs to {who}: only {who} or an administrator can change it"

    def _sbatch(self, *arguments: str) -> str:
        return run_sbatch(self._command("sbatch", *arguments), self._patience_s)

    def _check_cluster(self, command: Sequence[str], job: int, cluster: str) -> None:
        """Cancel a job that went to another cluster than every later command would.

        A site's wrapper of sbatch, or a plugin, may choose the cluster.
        """
        expected = self._cluster_name or self.local_name()
        if cluster.lower() == expected.lower():
            return
        Slurm(self._patience_s, cluster_name=cluster).cancel([job])
        raise SlurmError(
            command,
            f"it sent the job to cluster {cluster}, not to {expected}. The job was canceled; to "
            f"run there, set cluster.cluster_name: {cluster}",
            "",
            "",
        )

    def local_name(self) -> str:
        """Return the name of this machine's cluster; of the chosen one, if there is one."""
        return self._controller_settings().cluster_name

    def _controller_settings(self) -> ControllerSettings:
        return parse_controller_settings(self._run("scontrol", "show", "config"))

    def _find_submitted(self, job_name: str, failure: SlurmError) -> int:
        """Return the id of a job that was submitted without an answer; nothing of it has started.

        Raises:
            SubmissionUnansweredError: squeue does not show it now, but may do so later.
        """
        try:
            jobs = self.jobs_named(job_name, waiting=True)
        except SlurmError:
            jobs = frozenset()
        if jobs:
            return max(jobs)
        raise unanswered_error(job_name, failure)

    def _is_over(self, job: int) -> bool:
        """Tell whether accounting has an end for every task of a recent job."""
        records = self.accounting([job], datetime.now(UTC) - _RECENT).records
        return bool(records) and all(record.phase is Phase.ENDED for _, record in records)

    def _command(self, program: str, *arguments: str) -> tuple[str, ...]:
        """Return a command that addresses this cluster. sacctmgr serves all clusters at once."""
        is_addressed = self._cluster_name and program != "sacctmgr"
        return (program, *(("-M", self._cluster_name) if is_addressed else ()), *arguments)

    def _run(self, program: str, *arguments: str) -> str:
        return run_command(self._command(program, *arguments), self._patience_s)


def _begin_with(prefix: Prefix, printed: str) -> tuple[tuple[str, TaskId, TaskRecord], ...]:
    """Return the jobs of a listing whose names begin with `prefix`."""
    return tuple(job for job in parse.parse_squeue_names(printed) if job[0].startswith(prefix))
