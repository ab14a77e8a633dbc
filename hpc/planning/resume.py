"""Runs of a name that a submitter left behind half begun: the next `submit` goes on with them."""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from hpc.database.gather_outputs import forget_run
from hpc.executors.base import Executor, ExecutorError
from hpc.planning.run_spec import RunSpec
from hpc.reconcile.look import look
from hpc.reconcile.submit import resume_submissions, submit_shards
from hpc.run import outputs, run_folder, submissions
from hpc.run.model import Run, Say
from hpc.run.plan import ShardSelection
from hpc.run.run_state import RunState, RunStatus
from hpc.run.selection import find_rejection, planned_shards
from pipeline.database import duckdb_file, history
from pipeline.errors import BusyError


def resume_runs(
    agreed: RunSpec, executor: Executor, held: ExitStack, say: Say
) -> tuple[list[tuple[Run, int]], list[Run]]:
    """Submits what was planned and never submitted; the runs, with the descriptors of their locks,
    which are entered into `held`, and those that somebody else holds, which are in good hands, and
    said to be. Where tasks end with their process: the runs that were interrupted.

    One that was never submitted, and that sbatch refuses now, is removed: its posts go into the
    next. One of another question is left as it is: its labels would be paid for and not wanted.
    """
    settings = agreed.config
    taken: list[tuple[Run, int]] = []
    elsewhere: list[Run] = []
    for run in run_folder.named(settings.storage.run_root, settings.name):
        if run.executor != executor.name:
            continue
        if not (_is_half_begun(run) if executor.runs_in_background else _is_unfinished(run)):
            continue
        if run.manifest.config_hash != agreed.label_spec.hash:
            say(
                f"run {run.folder} was left unfinished, and stays so: its labels answer the "
                "question of another configuration (python -m hpc.supervise goes on with it)"
            )
            continue
        try:
            lock = held.enter_context(run_folder.lock_run(run))
        except BusyError as error:
            say(str(error))
            elsewhere.append(run)
            continue
        drive = not executor.runs_in_background
        if drive and needs_a_person(look(run, executor, lock_is_ours=True)):
            say(f"run {run.folder} waits for a person, and its posts with it: see at the end")
        else:
            say(
                f"run {run.folder} was left unfinished: going on with it, as it was configured then"
            )
        if drive or _submitted(run, executor, say):
            taken.append((run, lock))
    return taken, elsewhere


def needs_a_person(now: RunStatus) -> bool:
    """Whether nothing of it goes on by itself, or by `supervise`."""
    if now.state is RunState.COMPLETE or now.is_under_way:
        return False
    return now.state is RunState.BLOCKED or find_rejection(now.observation) is not None


def unfinished(agreed: RunSpec, *, but: Sequence[Run]) -> list[Run]:
    """Runs of the name that still hold posts back."""
    named = run_folder.named(agreed.config.storage.run_root, agreed.config.name)
    known = {run.run_id for run in but}
    return [run for run in named if run.run_id not in known and _is_unfinished(run)]


def array_jobs(run: Run | None) -> list[int]:
    """The job ids of a run's arrays."""
    if run is None:
        return []
    return [
        one.array_job_id
        for one in submissions.read_submissions(run)
        if one.array_job_id is not None
    ]


def _submitted(run: Run, executor: Executor, say: Say) -> bool:
    try:
        now = look(run, executor)
        if resume_submissions(run, executor, now.observation.submissions, say):
            now = look(run, executor)
        if rest := planned_shards(now.judgements):
            submit_shards(now, executor, ShardSelection(shards=rest), say)
    except ExecutorError as error:
        if submissions.read_submissions(run):
            raise
        say(f"{error}\nnothing of that run was ever submitted: it is removed, its posts are free")
        forget_run(run)
        return False
    return True


def _is_half_begun(run: Run) -> bool:
    sent = submissions.read_submissions(run)
    named = {shard for one in sent for shard in one.plan.shards}
    return any(one.released_at is None for one in sent) or len(named) < len(run.manifest.shards)


def _is_unfinished(run: Run) -> bool:
    """Also one that died between its last output and the database."""
    if not all(verdict.verified for verdict in outputs.verify_outputs(run)):
        return True
    database = Path(run.manifest.database)
    if not database.exists():
        return True
    with duckdb_file.opened(database, read_only=True) as labels:
        return len(history.gathered_shards(labels, run.run_id)) < len(run.manifest.shards)
