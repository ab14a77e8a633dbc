"""Define what the rest of `hpc` may ask of an executor, which runs the tasks of a run.

Slurm and the local machine implement the same protocol. No other code asks which one it has.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Protocol

import msgspec

from hpc.executors.node_jobs import NodeJobs, SubmissionTest
from hpc.run.cluster.resources import Cluster, ExecutorName, Resources
from hpc.run.model.arrays import Limits, Submission, SubmitLimit
from hpc.run.model.attempts import Attempt, Records
from hpc.run.model.run import Run, Say
from hpc.run.model.shards import CaretakerJob
from pipeline.errors import RunError


class ExecutorError(RunError):
    """The executor refused a request or did not answer.

    Args:
        message: all that a person needs to know of the request and the answer.
        words: the answer alone.
    """

    def __init__(self, message: str, words: str) -> None:
        """Keep the answer beside the message."""
        super().__init__(message)
        self.words = words

    @property
    def brief(self) -> str:
        """Return what the answer comes down to: its last line, without the name of a program."""
        lines = [line.strip() for line in self.words.splitlines() if line.strip()]
        of_program = r"^(?:[\w-]+: (?:error|fatal): |\w+ error: )+"
        return re.sub(of_program, "", lines[-1]) if lines else self.words


class UnknownJobsError(ExecutorError):
    """The executor does not say whether jobs of a run are alive, so nothing was submitted."""


class UnansweredError(ExecutorError):
    """It is unknown whether the executor took a submission. It may still appear."""


class CopySubmittedError(ExecutorError):
    """Another copy of the run submitted at the same moment and goes first, so this one withdrew."""


class SubmitLimitError(ExecutorError):
    """The executor takes no more jobs for now, or fewer than were submitted.

    Args:
        message: all that a person needs to know of the request and the answer.
        words: the answer alone.
        is_certain: whether the answer says so; if not, another limit may be exceeded.
    """

    def __init__(self, message: str, words: str, *, is_certain: bool) -> None:
        """Keep the answer, and how far it can be trusted, beside the message."""
        super().__init__(message, words)
        self.is_certain = is_certain


class UpstreamError(ExecutorError):
    """A job that has to succeed before a run has failed, or nobody knows of it."""


BLAMES_NO_SETTING = (SubmitLimitError, UnansweredError, CopySubmittedError, UpstreamError)
"""The errors of a submission after which no other setting, and no other array, would help."""


class TaskQuery(msgspec.Struct, frozen=True, kw_only=True):
    """What an executor knows of the tasks of some submissions."""

    records: Records
    """The tasks that it knows, by submission number and array index."""
    trouble: str | None = None
    """What kept the executor from answering in full; None if nothing did."""
    last_answer: datetime | None = None
    """When it last answered in full (UTC); None if it never did, or never fails to."""
    hidden: Mapping[int, str] = {}
    """By submission number, why tasks without a record may be alive all the same."""
    caretaker: CaretakerJob | None = None
    """The job that supervises the run, if the executor was asked and has one."""


class Cancellation(msgspec.Struct, frozen=True, kw_only=True):
    """What `Executor.cancel` ended."""

    jobs: tuple[int, ...] = ()
    """Job ids of everything that was alive, caretakers included."""
    arrays: tuple[int, ...] = ()
    """Job ids of the arrays that were alive."""
    unreached: tuple[int, ...] = ()
    """Job ids that may be alive, and that the executor did not cancel."""
    is_complete: bool = True
    """Whether everything is known to have ended by now."""


class ResourceCheck(msgspec.Struct, frozen=True, kw_only=True):
    """What a request for resources has against it before anything is submitted."""

    problems: Mapping[str, str] = {}
    """What the cluster can never give: why, by key."""
    note: str = ""
    """What a person should know, although the cluster may accept it."""


class UnrecordedJob(msgspec.Struct, frozen=True, kw_only=True):
    """An array of a run that is alive and on no record."""

    job: int
    """Its job id."""
    name: str
    """Its name, which carries the run's id."""
    copy: Path | None = None
    """The folder of the other copy of the run that it works on; None if none is known."""
    lost_folder: Path | None = None
    """Where the folder of another run of the same name is missing that it works on; None if it is
    an array of this run."""


class UnrecordedJobs(msgspec.Struct, frozen=True, kw_only=True):
    """What an executor has of a run that no record names."""

    canceled: tuple[int, ...] = ()
    """Arrays on hold that it had accepted late, and that were canceled just now."""
    alive: tuple[UnrecordedJob, ...] = ()
    """Arrays that may have begun, or may begin."""
    ended: frozenset[int] = frozenset()
    """Numbers of the submissions that the executor remembers, and of which nothing is alive."""
    last_number: int = 0
    """The highest number of a submission that the executor remembers; 0 for none."""


class CaretakerRole(StrEnum):
    """The two jobs that look after a run between its arrays."""

    CARETAKER = "caretaker"
    UNDERSTUDY = "understudy"


class CaretakerJobs(Protocol):
    """The jobs that look after a run, which an executor runs beside the tasks."""

    def own_job(self) -> int | None:
        """Return the id of the job that this process is; None outside a job."""

    def submit(
        self,
        run: Run,
        role: CaretakerRole,
        *,
        failures: int = 0,
        after: Sequence[str] = (),
        if_fails: int | None = None,
        delay_s: int = 0,
    ) -> int:
        """Submit a job that supervises the run, and return its id.

        Args:
            run: the run to supervise.
            role: what the job is for.
            failures: how many caretakers in a row failed before this one.
            after: jobs or tasks that have to end first, however they end.
            if_fails: the job after whose failure this one starts; if that job succeeds, this one
                is removed.
            delay_s: how long the job waits before it starts, in seconds.

        Raises:
            ExecutorError: the executor refused the job.
        """

    def pending(self, run: Run, role: CaretakerRole) -> frozenset[int]:
        """Return the ids of the jobs with this role that have not started yet."""

    def cancel(self, job: int) -> None:
        """End a job."""

    def requeue(self, job: int) -> None:
        """End a running job and start it again some minutes later, under the same id."""


class Executor(Protocol):
    """Runs the tasks of a run.

    Every method raises ExecutorError if the executor refuses or does not answer, unless it says
    otherwise.
    """

    @property
    def name(self) -> ExecutorName:
        """Return the value of `cluster.executor` that selects this executor."""

    @property
    def runs_in_background(self) -> bool:
        """Tell whether tasks run without this process. If not, they end with `run_to_end`."""

    @property
    def reserves_resources(self) -> bool:
        """Tell whether tasks have what they request to themselves, and no more than that."""

    def array_size(self) -> int:
        """Return the number of array indices, which begin at 0."""

    def query(
        self, run: Run, submissions: Sequence[Submission], *, lock_is_ours: bool
    ) -> TaskQuery:
        """Return what is known of the tasks of released submissions.

        A missing answer is a value here, not an error.

        Args:
            run: the run of the submissions.
            submissions: the submissions to ask about; nothing is asked if there are none.
            lock_is_ours: whether the caller holds the run's lock.
        """

    def has_live_jobs(self, run: Run) -> bool:
        """Tell whether any job of the run is pending or running, recorded or not."""

    def limits(self, run: Run) -> Limits:
        """Return how far the resources of the run's tasks can grow."""

    def time_limit(self, resources: Resources) -> int | None:
        """Return the minutes after which a task is ended; None if no limit is enforced."""

    def submit_limits(self, cluster: Cluster) -> tuple[SubmitLimit, ...]:
        """Return the known limits on how many jobs may be submitted. Raises nothing."""

    def check_upstream(self, jobs: Sequence[str]) -> tuple[str, ...]:
        """Return those of these jobs that tasks have to wait for, because they are still under way.

        Args:
            jobs: ids of jobs of others, such as `4711` or `4711_3`.

        Raises:
            UpstreamError: one of them has failed, or nobody knows of it, so no task can ever start.
            InputError: tasks of this executor cannot wait for jobs.
        """

    def check_resources(self, resources: Resources) -> ResourceCheck:
        """Compare what a task requests with what the cluster can give."""

    def render_script(self, run: Run, submission: Submission) -> str:
        """Return the script that `submit` would hand over; '' if there is none. Asks nobody.

        The run need not exist on the disk.
        """

    def test_submission(self, run: Run, submission: Submission) -> SubmissionTest:
        """Ask whether a submission would be taken, and submit nothing.

        Raises:
            ExecutorError: the executor did not answer.
        """

    def node_jobs(self) -> NodeJobs | None:
        """Return the jobs that can look at a node; None if the tasks run on this machine."""

    def submit(
        self, run: Run, intents: Sequence[Submission], recorded: Sequence[Submission], lock: int
    ) -> tuple[Submission, ...]:
        """Submit arrays, all or none, and return their records.

        If a limit of submitted jobs ends the series, the arrays before that remain submitted, and
        only their records are returned. The caller holds the run's lock.

        Args:
            run: the run of the submissions.
            intents: records that are written already and name no job yet.
            recorded: every submission that the run had before.
            lock: file descriptor of the run's lock, which is checked before each step.

        Raises:
            LockLostError: it is not this process's any more. The records stay, and `resume`
                finishes them.
            UnansweredError: nobody knows whether the executor took an array. The records stay, and
                `resume` finishes them.
            SubmitLimitError: even the first array exceeds a limit of submitted jobs. None of
                `intents` is recorded then.
            CopySubmittedError: another copy of the run goes first. None of `intents` is recorded.
            ExecutorError: the executor refused an array. None of `intents` is recorded then,
                except those that it has released already.
        """

    def resume(self, run: Run, recorded: Sequence[Submission], lock: int) -> tuple[Submission, ...]:
        """Finish the submissions that an interrupted process had begun, and return them.

        The caller holds the run's lock.

        Args:
            run: the run of the submissions.
            recorded: every submission of the run.
            lock: file descriptor of the run's lock, which is checked before each step.
        """

    def find_unrecorded(self, run: Run, recorded: Sequence[Submission]) -> UnrecordedJobs:
        """Return the arrays of the run that no record names; cancel those that never began.

        Such an array is a submission that the executor accepted late, one whose record was lost,
        or one of another copy of the run. The caller holds the run's lock.

        Args:
            run: the run.
            recorded: every submission of the run.
        """

    def hides_jobs_of(self, uid: int) -> bool:
        """Tell whether this user cannot see the jobs of that one, so that no answer is no proof."""

    def check_programs(self) -> None:
        """Check that the executor's commands are installed.

        Raises:
            InputError: one is missing.
        """

    def run_to_end(
        self,
        run: Run,
        submissions: Sequence[Submission],
        lock: int,
        say: Say,
        meanwhile: Callable[[], None] = lambda: None,
    ) -> bool:
        """Run the tasks of submissions to their end, if nothing else does.

        Args:
            run: the run of the submissions.
            submissions: what `submit` returned.
            lock: file descriptor of the run's lock.
            say: shows a message.
            meanwhile: called again and again while the tasks run.

        Returns:
            True once the tasks have ended; False where they run in the background.
        """

    def requeue(self, attempt: Attempt) -> None:
        """End a running task and start it again later, under the same id and attempt."""

    def start_now(self, attempts: Sequence[Attempt]) -> None:
        """Let pending tasks of one array start that were submitted for later."""

    def cancel_pending(self, jobs: Sequence[int]) -> None:
        """Cancel the tasks of these arrays that have not started."""

    def cancel(self, run: Run, say: Say) -> Cancellation:
        """End everything of the run that is alive, and report it.

        Works with or without the run's lock.
        """

    def log_file(self, run: Run, shard: int, attempt: Attempt) -> Path | None:
        """Return where a task's stdout and stderr go; None if its job is unknown."""

    def task_files(self, run: Run, shard: int, attempt: Attempt) -> tuple[Path, ...]:
        """Return the files beside the log that nobody needs once the task has ended.

        What they say is in the task's record by then.
        """

    def caretaker_jobs(self) -> CaretakerJobs:
        """Return the jobs that can look after a run.

        Raises:
            InputError: the tasks do not run in the background, so a run needs no caretaker.
        """
