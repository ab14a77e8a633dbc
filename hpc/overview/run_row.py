"""Describe one run or folder for `hpc ls`. Pure."""

from datetime import UTC, datetime
from enum import StrEnum

import msgspec

from hpc.naming.run_ids import parse_run_id
from hpc.run.run_state import RunState


class Kind(StrEnum):
    """What a folder under the run root is."""

    RUN = "run"
    CODINGS = "codings"
    """Labels that people assigned."""
    COPY = "copy"
    """A copy of a run beside it, which no command uses."""
    UNREADABLE = "unreadable"
    """A run that cannot be read."""
    SET_ASIDE = "set aside"
    """A run that labeled nothing, which `submit` moved away."""


class RunRow(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a run."""

    folder: str
    """The name of its folder; for a run that was set aside, with that of the folder above."""
    kind: Kind = Kind.RUN
    state: RunState | None = None
    """None where it is not a run that can be read."""
    is_archived: bool = False
    posts: int | None = None
    """None where it is not known."""
    posts_done: int | None = None
    gathered_shards: int | None = None
    """How many shards the database has; None where the database cannot be read now."""
    shards: int | None = None
    database: str = ""
    """The database of its labels."""
    size: int = 0
    """How many bytes its files have."""
    files: int = 0
    """How many files and folders it has."""
    note: str = ""
    """What is wrong with it, or why its state is unknown."""

    @property
    def run_id(self) -> str:
        """The id of the run, by the name of its folder."""
        return self.folder.rpartition("/")[2]

    @property
    def name(self) -> str:
        """The name of its labels; empty if the folder's name does not say it."""
        run_id = parse_run_id(self.run_id)
        return run_id.name if run_id else ""

    @property
    def created_at(self) -> datetime | None:
        """When the run was planned (UTC), by its id; None if the folder's name does not say it."""
        try:
            time = datetime.strptime(self.run_id.partition("-")[0], "%Y%m%dT%H%M%S")
        except ValueError:
            return None
        return time.replace(tzinfo=UTC)

    @property
    def is_gathered(self) -> bool | None:
        """Whether the database has all shards; None where that is not known."""
        if self.gathered_shards is None or self.shards is None:
            return None
        return self.gathered_shards >= self.shards

    @property
    def words(self) -> str:
        """What the run is, and how far it has come."""
        if self.kind not in (Kind.RUN, Kind.CODINGS) or self.state is None:
            return str(self.kind)
        state = "archived" if self.is_archived else str(self.state)
        if self.state is RunState.COMPLETE and self.is_gathered is False:
            state = f"{state}, not gathered"
        return f"{self.kind}, {state}" if self.kind is Kind.CODINGS else state


def is_meant(row_folder: str, wanted: str) -> bool:
    """Tell whether an argument of `hpc ls` means a folder: its name, or the beginning of its id."""
    folder = row_folder.rpartition("/")[2]
    run_id = parse_run_id(folder)
    if run_id is None:
        return folder.startswith(wanted)
    return (
        wanted == run_id.name
        or str(run_id).startswith(wanted)
        or (f"{run_id.name}-{run_id.hash}".startswith(wanted))
    )
