"""Say where runs and labels are."""

from dataclasses import dataclass
from os import PathLike
from pathlib import Path

from hpc.config import run_config
from pipeline.config.session_limits import LOGIN_NODE, SessionLimits
from pipeline.errors import InputError

PathText = str | PathLike[str]
"""A path, or a text that is one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """Where runs and labels are. By default: `runs` and `labels.duckdb` in the working folder."""

    config: PathText | None = None
    """A configuration, whose run root and database count."""
    run_root: PathText | None = None
    """The folder of the runs."""
    database: PathText | None = None
    """The database, also where a run or the configuration names another one."""

    def __post_init__(self) -> None:
        """Raise InputError if two of them contradict each other."""
        if self.config is not None and self.run_root is not None:
            raise InputError("at: name either a configuration or a run root, not both")

    @property
    def config_path(self) -> Path | None:
        """The configuration, if one is named."""
        return None if self.config is None else Path(self.config)

    @property
    def run_root_path(self) -> Path | None:
        """The folder of the runs, if it is named."""
        return None if self.run_root is None else Path(self.run_root)

    @property
    def database_path(self) -> Path | None:
        """The database, if it is named."""
        return None if self.database is None else Path(self.database)

    def find_run_root(self) -> Path:
        """Return the folder of the runs.

        Raises:
            InputError: the configuration cannot be read.
        """
        if self.config_path:
            return run_config.load_storage(self.config_path).run_root
        return (self.run_root_path or Path("runs")).expanduser().absolute()

    def find_database(self) -> Path:
        """Return the database.

        Raises:
            InputError: the configuration cannot be read.
        """
        if self.database_path is None and self.config_path:
            return run_config.load_storage(self.config_path).database
        return (self.database_path or Path("labels.duckdb")).expanduser().absolute()

    def find_limits(self) -> SessionLimits:
        """Return how much of the machine DuckDB may take.

        Raises:
            InputError: the configuration cannot be read.
        """
        return run_config.load_storage(self.config_path).limits if self.config_path else LOGIN_NODE


HERE = Place()
"""The working folder."""
