"""Look at the database of labels: whether it can be read, and written when labels are gathered."""

from dataclasses import dataclass
from pathlib import Path

import duckdb

from hpc.checks.finding import Finding, Part, error, ok, warning
from hpc.database.run_database import check_writable
from hpc.display.system_error import describe_error
from pipeline.database import duckdb_file, label_tables
from pipeline.database.duckdb_file import (
    HOW_TO_CLOSE,
    SHORT_PATIENCE,
    HeldDatabaseError,
    UnusableDatabaseError,
)
from pipeline.database.storage_format import is_newer
from pipeline.errors import RunError
from pipeline.system.lock_holders import describe_holders, find_lock_holders


@dataclass(frozen=True, kw_only=True, slots=True)
class SeenDatabase:
    """What was seen of a database."""

    path: Path
    exists: bool
    problem: str = ""
    """Why it cannot be used; '' if it can."""
    is_unusable: bool = False
    """Whether DuckDB cannot read what is in the file."""
    held_by: str = ""
    """Which other processes have it open; '' if none is known."""
    is_held: bool = False
    """Whether they keep this process from reading."""
    is_newer_format: bool = False
    """Whether programs with an older DuckDB cannot read it."""
    rows: int = 0
    """How many labels the name has."""


def observe_database(path: Path, name: str) -> SeenDatabase:
    """Open the database for reading, if it is there, and look whether it can be written.

    Args:
        path: the file.
        name: the name of the labels.
    """
    try:
        check_writable(path)
        if not duckdb_file.exists(path):
            return SeenDatabase(path=path, exists=False)
        newer = is_newer(path)
        with duckdb_file.open_database(path, read_only=True, patience=SHORT_PATIENCE) as connection:
            rows = label_tables.count(connection, name)
    except HeldDatabaseError as held:
        return SeenDatabase(
            path=path, exists=True, is_held=True, held_by=describe_holders(held.holders)
        )
    except UnusableDatabaseError as unusable:
        problem = str(unusable).partition("\n")[0]
        return SeenDatabase(path=path, exists=True, problem=problem, is_unusable=True)
    except (RunError, OSError, duckdb.Error) as failure:
        return SeenDatabase(path=path, exists=path.exists(), problem=describe_error(failure))
    holders = find_lock_holders(path)
    return SeenDatabase(
        path=path,
        exists=True,
        held_by=describe_holders(holders) if holders else "",
        is_newer_format=newer,
        rows=rows,
    )


def judge_database(seen: SeenDatabase) -> list[Finding]:
    """Say whether labels can be read and gathered."""
    if seen.is_held:
        message = f"{seen.path} is open in {seen.held_by}"
        return [error(Part.DATABASE, message, HOW_TO_CLOSE)]
    if seen.problem:
        remedy = "move it away or name another file in storage.database"
        if seen.is_unusable:
            remedy = (
                "open it with the version of DuckDB that wrote it, rebuild it from the runs with "
                "hpc gather --rebuild, or name another file in storage.database"
            )
        return [error(Part.DATABASE, seen.problem, remedy)]
    if seen.held_by:
        message = f"{seen.path} is open in {seen.held_by}, so nothing can be gathered meanwhile"
        return [warning(Part.DATABASE, message, HOW_TO_CLOSE)]
    if not seen.exists:
        return [ok(Part.DATABASE, f"{seen.path} will be created")]
    message = f"{seen.path} has {seen.rows:,} rows of this name"
    if seen.is_newer_format:
        return [
            warning(
                Part.DATABASE,
                f"{message}, in a format that DuckDB 1 cannot read (R, DBeaver)",
                "the next hpc gather converts it",
            )
        ]
    return [ok(Part.DATABASE, message)]
