"""Know the files of labels beside a database, and the errors of DuckDB that are about them."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

import duckdb

# DuckDB's messages quote the path as the view has it: relative to the folder of the database.
_LABEL_FILE = re.compile(r"""(["'])(?P<file>[^\n]*?\.parquet/labels_[^\n]*?\.parquet)\1""")


def folder_name(database: Path) -> str:
    """Return the name of the folder beside a database that has its Parquet files."""
    return f"{database.resolve().name}.parquet"


def folder_of(database: Path) -> Path:
    """Return the folder beside a database that has its Parquet files, if there are any."""
    return database.resolve().parent / folder_name(database)


def find_blocking_files(database: Path) -> Iterator[Path]:
    """Yield what is beside a database in the place of a file of labels and would block a reader.

    DuckDB would wait for the other end of a pipe.
    """
    for place, _, names in os.walk(folder_of(database)):
        for name in names:
            path = Path(place) / name
            if name.endswith(".parquet") and path.exists() and not path.is_file():
                yield path


def find_label_file(error: duckdb.Error, home: Path | None = None) -> Path | None:
    """Return the file of labels that an error is about; None if it is about none.

    Args:
        error: the error.
        home: the folder that the database lies in, if that is known.
    """
    named = _LABEL_FILE.search(str(error))
    if named is None:
        return None
    file = Path(named["file"])
    if home is not None:
        return home / file
    return file.absolute() if file.exists() else file
