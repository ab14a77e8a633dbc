"""Find the runs and labels that a name has beside its configuration, and not where they would go.

Runs and labels are found from the working folder. From another one, nothing would be found, and
all posts would be labeled and paid for again.
"""

import shlex
from dataclasses import dataclass, replace
from pathlib import Path

from hpc.config.run_config import Config
from hpc.naming.run_ids import parse_run_id
from hpc.runs.unusable_runs import list_folders
from pipeline.database import duckdb_file, label_tables
from pipeline.database.duckdb_file import SHORT_PATIENCE
from pipeline.errors import InputError, RunError


@dataclass(frozen=True, kw_only=True, slots=True)
class OtherFolder:
    """What a name has beside its configuration, while it has nothing where it would go."""

    config: Config
    """The configuration, as it was named."""
    what: str
    """`runs` or `labels`."""
    there: Path
    """The run root or the database that has them."""

    @property
    def problem(self) -> str:
        """Say what is where, and what follows."""
        here = self.config.storage
        looked = here.run_root if self.what == "runs" else here.database
        return (
            f"{self.config.name} has {self.what} in {self.there.resolve()}, beside its "
            f"configuration, and neither runs nor labels in the working folder ({looked}): all "
            "posts would be labeled and paid for again"
        )

    def remedy(self, command: str) -> str:
        """Say what to type to continue with them, and what to set to begin again.

        Args:
            command: what the name of the configuration follows, such as `hpc submit --config`.
        """
        file, here = Path(self.config.file), self.config.storage
        there = replace(self.config, file=file.name).to_paste
        return (
            f"to continue with them: cd {shlex.quote(str(file.parent.resolve()))} && "
            f"{command} {there}. To begin again here, set storage.run_root to {here.run_root} and "
            f"storage.database to {here.database}"
        )


def find_other_folder(config: Config) -> OtherFolder | None:
    """Return what the name has beside its configuration; None if it has something here.

    Raises:
        RunError: the run root or the database beside the configuration cannot be read.
    """
    here, there, name = config.storage, config.storage_beside_file, config.name
    is_same = (here.run_root, here.database) == (there.run_root, there.database)
    if is_same or _has_runs(here.run_root, name) or _may_have_labels(here.database, name):
        return None
    places = ("runs", there.run_root, _has_runs), ("labels", there.database, _has_labels)
    for what, path, has in places:
        if has(path, name):
            return OtherFolder(config=config, what=what, there=path)
    return None


def reject_other_folder(config: Config) -> None:
    """Reject a configuration whose runs and labels are beside it and not here.

    Raises:
        InputError: they are.
        RunError: the run root or the database beside the configuration cannot be read.
    """
    if found := find_other_folder(config):
        raise InputError(f"{found.problem}\n{found.remedy('hpc submit --config')}")


def _has_runs(run_root: Path, name: str) -> bool:
    """Tell by the names of folders, as a run's manifest may be large."""
    ids = (parse_run_id(folder.name) for folder in list_folders(run_root))
    return any(run_id is not None and run_id.name == name for run_id in ids)


def _has_labels(database: Path, name: str) -> bool:
    if not duckdb_file.exists(database):
        return False
    with duckdb_file.open_database(database, read_only=True, patience=SHORT_PATIENCE) as labels:
        return label_tables.has_labels(labels, name)


def _may_have_labels(database: Path, name: str) -> bool:
    """Tell whether a database has labels; one that cannot be read is reported by its reader."""
    try:
        return _has_labels(database, name)
    except RunError:
        return True
