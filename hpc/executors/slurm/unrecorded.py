"""Find the jobs of a run that Slurm has and no record names.

A record may be lost, or a folder may have been put back from a backup while its array runs. The
names of the jobs carry the run's id, also where another copy of the run has submitted them.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from hpc.executors.base import UnrecordedJob, UnrecordedJobs
from hpc.executors.slurm.answers import parse
from hpc.executors.slurm.answers.submission_answers import NOT_RELEASED
from hpc.executors.slurm.client import Slurm
from hpc.executors.slurm.commands import SlurmError
from hpc.naming.job_names import parse_job_name
from hpc.naming.run_ids import parse_run_id
from hpc.run.array_indices import TaskId
from hpc.run.model.arrays import Submission
from hpc.run.model.attempts import Phase, TaskRecord
from hpc.run.model.run import Run
from hpc.run.submissions import job_prefixes
from pipeline.run_files import manifest


def find_unrecorded(run: Run, slurm: Slurm, recorded: Sequence[Submission]) -> UnrecordedJobs:
    """Ask squeue once, and cancel the arrays of this folder that never began.

    Before the first submission of a run, look also for arrays of earlier runs of its name whose
    folders are missing. All their posts may be in the new run.

    Slurm accepted those after the submitter had stopped waiting. They would stay on hold for a
    year, and count against the user's limit of submitted jobs. The caller holds the run's lock.

    Raises:
        SlurmError: squeue does not answer, or an array on hold cannot be canceled.
    """
    queue = slurm.jobs_or_accounted("")
    ours = {submission.array_job_id for submission in recorded}
    begun = {submission.job_name for submission in recorded if submission.array_job_id is None}
    of_lost_runs = {} if recorded else _of_lost_runs(run, queue)
    numbers: set[int] = set()
    not_ended: set[int] = set()
    phases: dict[tuple[int, str], set[Phase]] = {}
    for name, task, record in queue:
        parsed = parse_job_name(name)
        if parsed is None or parsed.run_id != run.run_id or parsed.number is None:
            continue
        numbers.add(parsed.number)
        if record.phase is Phase.ENDED:
            continue
        not_ended.add(parsed.number)
        if task.job not in ours and name not in begun:
            phases.setdefault((task.job, name), set()).add(record.phase)
    canceled: list[int] = []
    alive: list[UnrecordedJob] = []
    for (job, name), seen in sorted(phases.items()):
        shown = _show(slurm, job)
        may_cancel = name.startswith(job_prefixes(run)) and seen <= {Phase.WAITING, Phase.HELD}
        if may_cancel and _is_on_hold(shown):
            canceled.append(job)
        else:
            alive.append(UnrecordedJob(job=job, name=name, copy=_find_copy(run, shown)))
    for (job, name), folder in sorted(of_lost_runs.items()):
        if _run_folder(_show(slurm, job)) == folder:
            alive.append(UnrecordedJob(job=job, name=name, lost_folder=folder))
    slurm.cancel_waiting(canceled)
    return UnrecordedJobs(
        canceled=tuple(canceled),
        alive=tuple(alive),
        ended=frozenset(numbers - not_ended),
        last_number=max(numbers, default=0),
    )


def _of_lost_runs(
    run: Run, queue: Sequence[tuple[str, TaskId, TaskRecord]]
) -> dict[tuple[int, str], Path]:
    """Return the arrays that may be of other runs of this name, and where their folders are not."""
    found: dict[tuple[int, str], Path] = {}
    for name, task, record in queue:
        job = parse_job_name(name)
        if job is None or job.number is None or record.phase is Phase.ENDED:
            continue
        run_id = parse_run_id(job.run_id)
        if run_id is None or run_id.name != run.manifest.name:
            continue
        folder = run.folder.with_name(job.run_id)
        if folder != run.folder and not folder.exists():
            found[task.job, name] = folder
    return found


def _show(slurm: Slurm, job: int) -> str:
    try:
        return slurm.show("--oneliner", "job", str(job))
    except SlurmError:  # forgotten since, or closed to this user
        return ""


def _is_on_hold(shown: str) -> bool:
    """Tell whether an array was never released, so that nothing of it has begun."""
    begins = parse.begin_of_pending(shown)
    is_far = begins is not None and begins - datetime.now(UTC) > NOT_RELEASED
    return is_far and parse.states_of_job(shown) == {"PENDING"}


def _find_copy(run: Run, shown: str) -> Path | None:
    """Return the other folder of this run that a job works on; None if there is none."""
    folder = _run_folder(shown)
    if folder is None or folder.resolve() == run.folder.resolve():
        return None
    return folder if (folder / manifest.FILE_NAME).is_file() else None


def _run_folder(shown: str) -> Path | None:
    """Return the folder of the run that a job works on, by its script logs/0002/sbatch.sh."""
    script = parse.script_of_job(shown)
    return Path(script).parent.parent.parent if script else None
