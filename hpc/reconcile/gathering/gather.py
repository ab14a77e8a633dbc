"""Gather a run's outputs and report what came of it."""

import contextlib

from hpc.database.convert_database import convert_if_newer
from hpc.database.gather_outputs import Gathered, gather
from hpc.database.run_database import database_of
from hpc.display.gathered import describe_gathered, describe_left_out
from hpc.executors.base import Executor
from hpc.locks.run_lock import lock_run
from hpc.reconcile.checks.trust import check_run
from hpc.reconcile.gathering.pack import pack_and_report
from hpc.reconcile.look import look
from hpc.run.model.run import Run, Say
from hpc.run.run_state import RunStatus
from pipeline.database.duckdb_file import Patience
from pipeline.errors import RunError
from pipeline.progress import NO_PROGRESS, Progress

# How long `hpc gather` waits for another process that has the database open.
WAIT_S = 30.0


def gather_run(
    run: Run, executor: Executor, say: Say, progress: Progress = NO_PROGRESS
) -> tuple[Gathered, RunStatus]:
    """Look at a run and gather it, with the attempts of all its shards.

    Args:
        run: the run.
        executor: what runs its tasks.
        say: shows a message.
        progress: shows how many outputs were gathered.

    Returns:
        What was gathered, and the run as it is then.

    Raises:
        HeldDatabaseError: another process has the database open.
        RunError: the counts do not add up, or a column's type has changed.
    """
    status = look(run, executor, include_done=True)
    patience = Patience(seconds=WAIT_S, say=say)
    gathered = gather_and_report(status, say, patience=patience, progress=progress)
    if gathered.set_aside:
        # The shards of those outputs are no longer done, and the history should say so.
        status = look(run, executor, include_done=True)
        gather(run, status.observation, status.judgements)
    # Whoever holds the lock packs after its own gathering. A colleague may not write here.
    with contextlib.suppress(RunError, OSError), lock_run(run):
        pack_and_report(status, executor, say)
    return gathered, status


def gather_and_report(
    status: RunStatus,
    say: Say,
    *,
    patience: Patience | None = None,
    converts: bool = True,
    is_quiet: bool = False,
    progress: Progress = NO_PROGRESS,
) -> Gathered:
    """Copy the published outputs into the database, and say how many rows it has now.

    Args:
        status: the run as it is now.
        say: shows a message.
        patience: how to wait for another process that has the database open.
        converts: whether to convert a database that only DuckDB 2 can open.
        is_quiet: whether to say nothing if there was nothing to gather.
        progress: shows how many outputs were gathered.

    Raises:
        HeldDatabaseError: another process has the database open.
        InputError: others can write to the run, and it does not trust them.
        RunError: the counts do not add up, or a column's type has changed.
    """
    check_run(status.run)
    if converts:
        convert_if_newer(database_of(status.run), say, patience)
    gathered = gather(
        status.run, status.observation, status.judgements, patience=patience, progress=progress
    )
    if gathered.shards or not is_quiet:
        by_people = status.run.manifest.is_coded_by_people
        say(describe_gathered(gathered, coded_by_people=by_people))
    for line in describe_left_out(gathered):
        say(line)
    return gathered
