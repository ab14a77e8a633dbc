"""Reject folders whose names mean something else to Slurm or to DuckDB."""

import re
from pathlib import Path

from hpc.run.cluster.resources import ExecutorName
from pipeline.config.check import Problems
from pipeline.config.sections import PARQUET, Storage

# sbatch(1), "filename pattern": in the name of a log, Slurm and submitit replace these.
_PLACEHOLDER = re.compile(r"%\d*[%AJNabjnstux]")

# A view names its files after the database. A comma separates the folders that DuckDB looks in.
_PATTERN = re.compile(r"[*?\[]")


def check_storage(
    storage: Storage, executor: ExecutorName, *, source: str, problems: Problems
) -> None:
    """Report what is wrong with the names of the folders of runs and labels.

    Args:
        storage: absolute paths.
        executor: what runs the tasks.
        source: the configuration's file.
        problems: gets what is wrong.
    """
    for name in ("run_root", "database"):
        path: Path = getattr(storage, name)
        if "\\" in str(path):
            problems.add(
                source,
                f"storage.{name}",
                f"{path} has a backslash in its name, which DuckDB takes for the end of a "
                "folder's name; use another folder",
            )
    name, folder = storage.database.name, str(storage.database.parent)
    found = _PATTERN.search(name) or re.search(",", folder)
    if storage.layout == PARQUET and found:
        problems.add(
            source,
            "storage.database",
            f"{storage.database} has a {found[0]} in its name, which DuckDB gives a meaning in the "
            "paths of Parquet files; use another name, or storage.layout: duckdb",
        )
    if executor is not ExecutorName.SLURM:
        return
    if found := _PLACEHOLDER.search(str(storage.run_root)):
        problems.add(
            source,
            "storage.run_root",
            f"{storage.run_root} has {found[0]} in its name, which Slurm replaces in the names of "
            "logs; use another folder",
        )
