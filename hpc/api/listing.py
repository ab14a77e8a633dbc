"""List the runs under a run root: state, posts done, age and size."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from hpc.api.call.argument_types import check_argument_types
from hpc.api.call.caller_screen import screen_of
from hpc.api.call.place import HERE, Place
from hpc.api.call.ranges import check_least
from hpc.api.call.surroundings import library_call
from hpc.display.blocks import Block, Line, Tone
from hpc.display.html.render import to_html
from hpc.overview.describe import describe_older, describe_rows
from hpc.overview.list_runs import list_folders, list_runs
from hpc.overview.run_row import RunRow, is_meant
from hpc.run.model.run import Say
from pipeline.errors import InputError


@dataclass(frozen=True, kw_only=True, slots=True, repr=False)
class RunList:
    """What is known of the runs under a run root. A notebook shows it as `hpc ls` prints it."""

    run_root: Path
    """The folder of all runs."""
    rows: tuple[RunRow, ...] = field(repr=False)
    """The runs, oldest first, with copies, codings, runs set aside and runs that cannot be read."""
    older: int
    """How many older ones were not looked at."""
    listed_at: datetime
    """When this was seen (UTC)."""

    def describe(self) -> list[Block]:
        """Return the list as `hpc ls` prints it."""
        if not self.rows:
            create = "To create one: hpc submit --config FILE"
            return [Line(f"there is no run under {self.run_root}. {create}")]
        older = [Line(describe_older(self.older), Tone.FAINT)] if self.older else []
        return [*older, *describe_rows(self.rows, self.listed_at)]

    def __repr__(self) -> str:
        """Return where the runs are, and how many."""
        return f"RunList(run_root={str(self.run_root)!r}, runs={len(self.rows)})"

    def _repr_html_(self) -> str:
        """Return the list, for a notebook."""
        return to_html(self.describe())


@check_argument_types
def ls(*names: str, most: int | None = None, at: Place = HERE, say: Say | None = None) -> RunList:
    """Return what is known of the runs under a run root, including those that cannot be read.

    `runs` returns the runs themselves.

    Args:
        names: only runs of these names, or whose ids begin with them; all runs if none is given.
        most: look only at this many of the newest; None: no limit.
        at: where to look for runs.
        say: shows progress while this waits.

    Raises:
        InputError: there is no run of these names, or the configuration cannot be read.
        RunError: the run root cannot be read.
    """
    check_least("most", most, 1)
    with library_call():
        root = at.find_run_root()
        chosen = {
            name: kind
            for name, kind in list_folders(root).items()
            if not names or any(is_meant(name, wanted) for wanted in names)
        }
        if names and not chosen:
            raise InputError(f"there is no run {' or '.join(names)} under {root}")
        older = 0 if most is None else max(0, len(chosen) - most)
        with screen_of(say).awaiting("looking at the runs"):
            rows = list_runs(root, dict(list(chosen.items())[older:]))
    return RunList(run_root=root, rows=tuple(rows), older=older, listed_at=datetime.now(UTC))
