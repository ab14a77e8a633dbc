"""Build the whole database again from the run folders, which are the truth."""

import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from hpc.database import gather_outputs
from hpc.database.gather_outputs import Gathered
from hpc.database.run_database import database_of
from hpc.executors.factory import executor_of
from hpc.reconcile.look import look
from hpc.report.gathered import describe_gathered
from hpc.run import run_folder
from hpc.run.model import Run
from pipeline.database import duckdb_file, history
from pipeline.errors import RunError
from pipeline.text import counted


def rebuild(run: Run, say: Callable[[str], None]) -> Gathered:
    """Gather all runs beside this one that share its database, oldest first, into a new file.

    The new file replaces the database; the old one is kept under another name.

    Raises:
        RunError: the database has rows of runs whose folders are gone; they would be lost.
        BusyError: a submit or another rebuild is running under the run root.
    """
    database = database_of(run)
    # `run` may have been given another database than its manifest names.
    configured = run_folder.load(run.folder).manifest.database
    root = run.folder.parent
    busy = f"another submit or rebuild is running under {root}: wait for it"
    with run_folder.locked(root, busy):
        runs = [
            other
            for other in map(run_folder.load, run_folder.all_runs(root))
            if other.manifest.database == configured
        ]
        _refuse_to_lose(database, runs)
        fresh = database.with_name(f"{database.name}.rebuilding-{uuid.uuid4().hex[:8]}")
        try:
            total = _gather_all(runs, fresh, say)
            if database.exists():
                stamp = f"{datetime.now(UTC):%Y%m%dT%H%M%S}"
                old = database.with_name(f"{database.name}.replaced-{stamp}")
                database.rename(old)
                say(f"the old database is kept as {old}")
            fresh.rename(database)
        finally:
            fresh.unlink(missing_ok=True)
    return total


def _refuse_to_lose(database: Path, runs: list[Run]) -> None:
    if not database.exists():
        return
    here = {run.run_id for run in runs}
    with duckdb_file.opened(database) as labels:  # for writing: nobody may be gathering now
        gone = {
            run_id: count
            for run_id, count in history.rows_by_run(labels).items()
            if run_id not in here
        }
    if gone:
        listed = ", ".join(
            f"{run_id} ({counted(count, 'row')})" for run_id, count in sorted(gone.items())
        )
        raise RunError(
            f"{database} has rows of runs whose folders are gone, and a rebuild would lose them: "
            f"{listed}; put the folders back first"
        )


def _gather_all(runs: list[Run], database: Path, say: Callable[[str], None]) -> Gathered:
    done: list[Gathered] = []
    for run in runs:
        now = look(run, executor_of(run), include_done=True)
        done.append(gather_outputs.gather(run, now.observation, now.judgements, database=database))
        say(f"run {run.run_id}: {describe_gathered(done[-1])}")
    return Gathered(
        rows_before=0,
        rows_added=sum(gathered.rows_added for gathered in done),
        rows_after=sum(gathered.rows_added for gathered in done),
        unlabelable=sum(gathered.unlabelable for gathered in done),
        already_present=sum(gathered.already_present for gathered in done),
        rejected=tuple(line for gathered in done for line in gathered.rejected),
        unreadable=tuple(line for gathered in done for line in gathered.unreadable),
        set_aside=sum(gathered.set_aside for gathered in done),
        shards=sum(gathered.shards for gathered in done),
    )
