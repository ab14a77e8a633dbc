"""Runs of a name that a submitter left behind half begun: the next `submit` goes on with them."""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from hpc import drive, outputs, plan, records, rundir
from hpc.collect import forget
from hpc.drive import Look, Say, begin, look, unsubmitted
from hpc.model import Run
from hpc.slurm import Slurm, SlurmError
from hpc.summary import RunState
from hpc.terms import Terms
from pipeline import chronicle, store
from pipeline.errors import BusyError


def take_up(
    agreed: Terms, slurm: Slurm | None, held: ExitStack, say: Say
) -> tuple[list[tuple[Run, int]], list[Run]]:
    """Submits what was planned and never submitted; the runs, with the descriptors of their locks,
    which are entered into `held`, and those that somebody else holds, which are in good hands, and
    said to be. Without a Slurm: the local runs that were interrupted.

    One that was never submitted, and that sbatch refuses now, is removed: its posts go into the
    next. One of another question is left as it is: its labels would be paid for and not wanted.
    """
    settings = agreed.config
    taken: list[tuple[Run, int]] = []
    elsewhere: list[Run] = []
    for run in rundir.named(settings.storage.run_root, settings.name):
        if run.is_local != (slurm is None):
            continue
        if not (_is_unfinished(run) if slurm is None else _is_half_begun(run)):
            continue
        if run.manifest.config_hash != agreed.question.hash:
            say(
                f"run {run.folder} was left unfinished, and stays so: its labels answer the "
                "question of another configuration (python -m hpc.supervise goes on with it)"
            )
            continue
        try:
            lock = held.enter_context(rundir.lock_run(run))
        except BusyError as error:
            say(str(error))
            elsewhere.append(run)
            continue
        if slurm is None and waits_for_a_person(look(run, None, lock_is_ours=True)):
            say(f"run {run.folder} waits for a person, and its posts with it: see at the end")
        else:
            say(
                f"run {run.folder} was left unfinished: going on with it, as it was configured then"
            )
        if slurm is None or _submitted(run, slurm, say):
            taken.append((run, lock))
    return taken, elsewhere


def waits_for_a_person(now: Look) -> bool:
    """Whether nothing of it goes on by itself, or by `supervise`."""
    if now.state is RunState.COMPLETE or now.is_going_on:
        return False
    return now.state is RunState.BLOCKED or plan.refusal(now.observation) is not None


def unfinished(agreed: Terms, *, but: Sequence[Run]) -> list[Run]:
    """Runs of the name that still hold posts back."""
    named = rundir.named(agreed.config.storage.run_root, agreed.config.name)
    known = {run.run_id for run in but}
    return [run for run in named if run.run_id not in known and _is_unfinished(run)]


def array_jobs(run: Run | None) -> list[int]:
    """The job ids of a run's arrays."""
    if run is None:
        return []
    return [one.array_job_id for one in records.submissions(run) if one.array_job_id is not None]


def _submitted(run: Run, slurm: Slurm, say: Say) -> bool:
    try:
        drive.take_up(run, slurm, say)
        now = look(run, slurm)
        if rest := unsubmitted(now):
            begin(run, slurm, rest, now, say)
    except SlurmError as error:
        if records.submissions(run):
            raise
        say(f"{error}\nnothing of that run was ever submitted: it is removed, its posts are free")
        forget(run)
        return False
    return True


def _is_half_begun(run: Run) -> bool:
    sent = records.submissions(run)
    named = {shard for one in sent for shard in one.plan.shards}
    return any(one.released_at is None for one in sent) or len(named) < len(run.manifest.shards)


def _is_unfinished(run: Run) -> bool:
    """Also one that died between its last output and the database."""
    if not all(verdict.verified for verdict in outputs.look(run)):
        return True
    database = Path(run.manifest.database)
    if not database.exists():
        return True
    with store.opened(database, read_only=True) as labels:
        return len(chronicle.gathered(labels, run.run_id)) < len(run.manifest.shards)
