"""Find the run that a caller means."""

from dataclasses import replace
from os import PathLike, fspath
from typing import Protocol

import msgspec

from hpc.api.call.argument_types import check_argument_types
from hpc.api.call.place import HERE, Place
from hpc.run.model.run import Run
from hpc.run.run_folder import reload
from hpc.runs import find_runs
from pipeline.errors import InputError
from pipeline.system import ownership


class HasRun(Protocol):
    """A result that is about a run, such as that of `submit` or `status`."""

    @property
    def run(self) -> Run | None:
        """The run; None if there is none."""


RunChoice = Run | HasRun | str | PathLike[str] | None
"""A run, a result about one, a run's id, name or folder; None: the newest run."""


@check_argument_types
def find_run(run: RunChoice = None, *, at: Place = HERE) -> Run:
    """Return a run as its folder says it now.

    Args:
        run: a run, a result about one, a run's id, name or folder; None: the newest run.
        at: where to look for runs, and which database to use instead of the run's own.

    Raises:
        InputError: there is no such run, or another version made it.
        RunError: the run cannot be read, or it is unknown which one is the newest.
    """
    found = _find(run, at)
    if found.manifest.trust_group is False:
        ownership.close_to_group()
    chosen = at.database_path
    if chosen is None:
        return found
    manifest = msgspec.structs.replace(found.manifest, database=str(at.find_database()))
    return replace(found, manifest=manifest, chosen_database=chosen)


def _find(run: RunChoice, at: Place) -> Run:
    if run is None or isinstance(run, str | PathLike):
        return find_runs.find(at.find_run_root(), None if run is None else fspath(run))
    given = run if isinstance(run, Run) else run.run
    if given is None:
        raise InputError("there is no run: nothing was submitted, because no post needs a label")
    if not isinstance(given, Run):
        raise InputError(f"{type(run).__name__} has no run")
    return reload(given)  # somebody may have corrected it meanwhile
