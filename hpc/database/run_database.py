"""Find the database that a run may write to."""

import errno
import os
from pathlib import Path

from hpc.run import run_folder
from hpc.run.model.run import Run
from pipeline.database import duckdb_file
from pipeline.errors import InputError
from pipeline.messages.options import DATABASE


def database_of(run: Run) -> Path:
    """Return the database that the run's labels go to.

    Raises:
        InputError: it is the database of the run that this one is a copy of, or it is outside the
            project and its folder is not there.
    """
    database = Path(run.manifest.database)
    if run.original and _is_same(database, Path(_own_database(run.original))):
        raise InputError(
            f"run {run.folder} is a copy of {run.original}, and {database} belongs to that run: "
            f"name a database for the copy with {DATABASE.usage('FILE')}"
        )
    if run_folder.has_moved(run) and not database.parent.is_dir():
        raise InputError(
            f"run {run.folder} was created as {run.manifest.folder}, and there is no folder "
            f"{database.parent} for its database: name the database with {DATABASE.usage('FILE')}"
        )
    return database


def check_writable(database: Path) -> None:
    """Check that this user may write to a database, or create it, before anything is submitted.

    Raises:
        PermissionError: the file or its folder is closed to this user.
    """
    duckdb_file.check_place(database)
    folder = next(parent for parent in database.parents if parent.exists())
    if database.exists() and not os.access(database, os.R_OK | os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(database))
    if not os.access(folder, os.W_OK | os.X_OK):  # DuckDB keeps its log beside the file
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(folder))


def _own_database(folder: Path) -> str:
    return run_folder.load(folder).manifest.database


def _is_same(one: Path, other: Path) -> bool:
    return one.resolve() == other.resolve()
