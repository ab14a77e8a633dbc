"""Choose the table of a database, and name the columns that a table lacks."""

from pathlib import Path

from pipeline.backlog.sources import Source
from pipeline.errors import InputError
from pipeline.text import did_you_mean


def choose_table(source: Source, path: Path, tables: tuple[str, ...]) -> str:
    """Return the configured table of a database, or its only one.

    Raises:
        InputError: the table is not there, or none is configured and there is not exactly one.
    """
    wanted = source.backlog.table
    if wanted in tables:
        return str(wanted)
    if wanted is None and len(tables) == 1:
        return tables[0]
    names = ", ".join(sorted(tables)) or "no table"
    if wanted is None:
        raise InputError(f"backlog.table: set this to a table of {path}; it has {names}")
    near = did_you_mean(wanted, tables)
    raise InputError(f"backlog.table: {path} has no table {wanted!r}{near}; it has {names}")


def missing_column(where_from: str, name: str, columns: tuple[str, ...]) -> InputError:
    """Return the error for a configured column that a table lacks, with the nearest name."""
    near = did_you_mean(name, columns)
    return InputError(
        f"backlog.columns: {where_from} has no column {name!r}{near}; it has {', '.join(columns)}"
    )
