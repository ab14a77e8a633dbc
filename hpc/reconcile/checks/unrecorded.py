"""Check, before anything is submitted, that no unrecorded array or task of the run is alive."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from hpc.display.next_step import command
from hpc.executors.base import (
    Executor,
    ExecutorError,
    UnknownJobsError,
    UnrecordedJob,
    UnrecordedJobs,
)
from hpc.locks import run_lock
from hpc.run.judge import is_fresh
from hpc.run.model.arrays import Submission
from hpc.run.model.run import Run, Say
from hpc.run.submissions import find_traces, record_path
from pipeline.errors import InputError, RunError
from pipeline.run_files import heartbeat
from pipeline.system.ownership import user_name
from pipeline.text import format_duration


class UnrecordedError(RunError):
    """An array or a task of the run that no record names is alive, or may be."""


def check_unrecorded(
    run: Run, executor: Executor, recorded: Sequence[Submission], lock: int, say: Say
) -> int:
    """Check that no unrecorded array or task of the run can be alive.

    It would work on the same shards as the next submission, and every post would be paid for
    twice. The executor is asked once.

    Args:
        run: the run to submit.
        executor: what runs its tasks.
        recorded: every submission of the run.
        lock: file descriptor of the run's lock.
        say: shows a message.

    Returns:
        The highest number that a submission of the run ever had, recorded or not.

    Raises:
        UnrecordedError: such an array or task is alive, or may be.
        LockLostError: this process no longer holds the run's lock.
        UnreadableError: a folder of the run cannot be listed now.
        UnknownJobsError: the executor does not answer.
    """
    run_lock.check_lock(run, lock)
    traces = find_traces(run)
    known = {submission.number for submission in recorded}
    lost = {number: paths for number, paths in traces.items() if number not in known and paths}
    try:
        jobs = executor.find_unrecorded(run, recorded)
    except ExecutorError as error:
        message = (
            f"nothing was submitted, because it is unknown which jobs of the run are alive: {error}"
        )
        raise UnknownJobsError(message, error.words) from error
    _report_canceled(jobs, say)
    if jobs.alive:
        raise UnrecordedError(_describe_jobs(run, jobs.alive))
    unseen = {number: paths for number, paths in lost.items() if number not in jobs.ended}
    _check_heartbeats(run, unseen)
    for submission in recorded:
        if not submission.released_at:
            _check_visible(run, executor, submission.submitter, submission.job_name)
    for number, paths in unseen.items():
        _check_visible(run, executor, _owner(paths), f"submission {number}, whose record is gone,")
    return max([jobs.last_number, *traces, *known], default=0)


def cancel_unrecorded(
    run: Run, executor: Executor, recorded: Sequence[Submission], say: Say
) -> None:
    """Cancel and report arrays that the executor accepted late and that no record names.

    The caller holds the run's lock. If the executor does not answer, they are left to the next
    command.
    """
    try:
        jobs = executor.find_unrecorded(run, recorded)
    except ExecutorError:
        return
    _report_canceled(jobs, say)


def _report_canceled(jobs: UnrecordedJobs, say: Say) -> None:
    if jobs.canceled:
        say(
            f"canceled array job{'s' if jobs.canceled[1:] else ''} "
            f"{', '.join(map(str, jobs.canceled))}: "
            "accepted after sbatch had given up; no task had started"
        )


def _describe_jobs(run: Run, jobs: Sequence[UnrecordedJob]) -> str:
    """Return which jobs keep the run from being submitted, and what to type."""
    if lost := [job for job in jobs if job.lost_folder]:
        return _describe_lost_runs(run, lost)
    lines = [
        f"run {run.run_id}: nothing was submitted, because Slurm has live jobs of this run that "
        "are not recorded, and every post would be paid for twice:"
    ]
    for job in jobs:
        whose = f", submitted for the copy {job.copy}" if job.copy else ""
        lines.append(f"  array job {job.job} ({job.name}){whose}")
    ids = " ".join(str(job.job) for job in jobs)
    if all(job.copy for job in jobs):
        lines.append(f"wait until they have ended, or run: scancel {ids}")
    else:
        lines.append(
            f"restore the missing records in {record_path(run, 1).parent} from a backup, or end "
            f"the jobs, which keeps the answers that are paid for: scancel {ids}"
        )
    lines.append(f"then run: {command('status', run)}")
    return "\n".join(lines)


def _describe_lost_runs(run: Run, jobs: Sequence[UnrecordedJob]) -> str:
    """Return which arrays of runs whose folders are missing keep a new run from being submitted."""
    lines = [
        f"run {run.run_id}: nothing was submitted, because earlier runs of the name "
        f"{run.manifest.name} are at work whose folders are missing, and every post would be paid "
        "for twice:"
    ]
    lines += [f"  array job {job.job} ({job.name}): {job.lost_folder} is missing" for job in jobs]
    ids = " ".join(str(job.job) for job in jobs)
    lines.append(
        "put the folders back, from a backup for example, or, if nothing of these runs is worth "
        f"keeping, end the jobs: scancel {ids}"
    )
    lines.append("then type the same command again")
    return "\n".join(lines)


def _check_heartbeats(run: Run, lost: Mapping[int, Sequence[Path]]) -> None:
    """Check that no task of an unrecorded submission has shown a sign of life.

    Slurm may not show such a task, because it hides the jobs of others or is another cluster.
    """
    now = datetime.now(UTC)
    for number, paths in lost.items():
        for folder in {path.parent for path in paths}:
            try:
                beat = heartbeat.read(folder, number)
            except InputError:  # damaged, or of another version
                continue
            if beat and is_fresh(beat, now, timedelta(seconds=run.cluster.grace_seconds)):
                age = format_duration(max(0.0, (now - beat.written_at).total_seconds()))
                raise UnrecordedError(
                    f"run {run.run_id}: nothing was submitted, because a task of submission "
                    f"{number} is running, whose record {record_path(run, number)} is missing: "
                    f"{heartbeat.path_of(folder, number)} is {age} old. Restore the record from a "
                    "backup, or wait until the task has ended"
                )


def _check_visible(run: Run, executor: Executor, uid: int | None, what: str) -> None:
    if uid is None or not executor.hides_jobs_of(uid):
        return
    owner = user_name(uid)
    raise UnrecordedError(
        f"run {run.run_id}: nothing was submitted, because only {owner} can see whether "
        f"{what} is alive: this cluster shows jobs only to their owners (PrivateData). Ask {owner} "
        f"to run {command('supervise', run, '--once')}"
    )


def _owner(paths: Sequence[Path]) -> int | None:
    try:
        return paths[0].stat().st_uid
    except OSError:
        return None
