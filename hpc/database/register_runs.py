"""Record runs in the database before any label of theirs is there, and delete them from it."""

from pathlib import Path

import duckdb

from hpc.database.history_rows import run_row, shard_row
from hpc.database.load_samples import load_samples
from hpc.database.run_database import database_of
from hpc.run import run_folder
from hpc.run.model.run import Run
from hpc.run.model.shards import State
from hpc.run.run_state import RunState
from hpc.runs import find_runs
from hpc.runs.unusable_runs import find_unusable
from pipeline.database import duckdb_file, history
from pipeline.database.duckdb_file import Patience
from pipeline.errors import InputError, RunError

_LITTLE_PATIENCE = Patience(seconds=1.0)


def register_run(run: Run) -> None:
    """Record a new run in the database, so that its posts hold the watermark back.

    Raises:
        HeldDatabaseError: another process has the database open; the next `gather` records the run.
    """
    with duckdb_file.open_database(database_of(run), patience=_LITTLE_PATIENCE) as database:
        register(database, run)
        load_samples(database, run.folder.parent)  # the next gather reports what is wrong


def register_samples(run_root: Path, database: Path) -> None:
    """Load the samples of a run root into a database that exists, where no run comes of a sample.

    Raises:
        HeldDatabaseError: another process has the database open; the next `gather` loads them.
    """
    if duckdb_file.exists(database):
        with duckdb_file.open_database(database, patience=_LITTLE_PATIENCE) as connection:
            load_samples(connection, run_root)


def forget_run(run: Run) -> None:
    """Delete a run in which nothing was paid for, also from the database."""
    database = database_of(run)
    run_folder.remove(run.folder)
    _delete_run(run, database)


def delete_from_history(run: Run) -> None:
    """Delete a run of which nothing was gathered from the database, if there is one.

    Raises:
        HeldDatabaseError: another process has the database open.
    """
    _delete_run(run, database_of(run))


def _delete_run(run: Run, database: Path) -> None:
    if database.exists():
        with duckdb_file.open_database(database) as connection:
            history.delete_run(connection, run.run_id)


def register_others(database: duckdb.DuckDBPyConnection, run: Run) -> list[str]:
    """Record the other runs of the run root; return a message for each that cannot be read."""
    unreadable = [
        f"{each}. Until then, its posts cannot hold the watermark back"
        for each in find_unusable(run.folder.parent)
        if each.may_be_of(run.manifest.name)
    ]
    for folder in find_runs.all_runs(run.folder.parent):
        try:
            other = run_folder.load(folder)
        except (InputError, RunError, OSError) as error:
            unreadable.append(f"{error}: its posts cannot hold the watermark back")
            continue
        if other.manifest.database == run.manifest.database and other.run_id != run.run_id:
            register(database, other)
    return unreadable


def register(database: duckdb.DuckDBPyConnection, run: Run) -> None:
    """Record a planned run that is not known yet, so that its posts hold the watermark back."""
    planned = [
        {**shard_row(run, shard.index, None), "state": str(State.PLANNED)}
        for shard in run.manifest.shards
    ]
    row = {**run_row(run, ()), "state": str(RunState.PLANNED)}
    history.register(database, row, planned)
