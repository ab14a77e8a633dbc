"""Find the run that a caller means."""

from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Protocol

import msgspec

from hpc.config import run_config
from hpc.run.model import Run
from hpc.run.run_folder import load
from hpc.runs import find_runs
from pipeline import ownership
from pipeline.errors import InputError

PathText = str | PathLike[str]


class HasRun(Protocol):
    """A result that is about a run, such as that of `submit` or `status`."""

    @property
    def run(self) -> Run | None:
        """The run; None if there is none."""


RunChoice = Run | HasRun | str | PathLike[str] | None
"""A run, a result about a run, a run's id, name or folder; None: the newest run."""


def find_run(
    run: RunChoice = None,
    *,
    run_root: PathText | None = None,
    config: PathText | None = None,
    database: PathText | None = None,
) -> Run:
    """Return the run that is meant, as its folder says it now.

    Args:
        run: the run, as `RunChoice` describes it.
        run_root: the folder of the runs; by default, `runs`.
        config: a configuration, whose run root counts.
        database: use this database instead of the run's.

    Raises:
        InputError: there is no such run, or another version made it.
        RunError: the run cannot be read, or it is unknown which one is the newest.
    """
    found = _find(run, run_root=run_root, config=config)
    if found.manifest.trust_group is False:
        ownership.close_to_group()
    if database is None:
        return found
    chosen = Path(database)
    path = str(chosen.expanduser().absolute())
    return replace(
        found,
        manifest=msgspec.structs.replace(found.manifest, database=path),
        chosen_database=chosen,
    )


def _find(run: RunChoice, *, run_root: PathText | None, config: PathText | None) -> Run:
    if run is None or isinstance(run, str | PathLike):
        wanted = None if run is None else str(Path(run)) if isinstance(run, PathLike) else run
        return find_runs.find(choose_run_root(run_root, config), wanted)
    given = run if isinstance(run, Run) else run.run
    if given is None:
        raise InputError("there is no run: nothing was submitted, because no post needs a label")
    # Somebody may have corrected it meanwhile.
    now = load(given.folder)
    if given.chosen_database is None:
        return now
    manifest = msgspec.structs.replace(now.manifest, database=given.manifest.database)
    return replace(now, manifest=manifest, chosen_database=given.chosen_database)


def choose_run_root(run_root: PathText | None, config: PathText | None) -> Path:
    """Return the folder of the runs: that of a configuration, or the one that is named.

    Raises:
        InputError: both are named, or the configuration cannot be read.
    """
    if config is None:
        return Path("runs" if run_root is None else run_root).expanduser().absolute()
    if run_root is not None:
        raise InputError("name either a configuration or a run root, not both")
    return run_config.load_storage(Path(config)).run_root
