"""Define a run as a value, and how its messages reach a person. Pure."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from hpc.run.cluster.resources import Cluster, ExecutorName
from hpc.run.retry_policy import RetryPolicy
from pipeline.config.notify_settings import NotifySettings
from pipeline.config.session_limits import LOGIN_NODE, SessionLimits
from pipeline.run_files.amendments import Amendment
from pipeline.run_files.manifest import Manifest

# Shows one message to a person.
Say = Callable[[str], None]
# Lets this many seconds pass, and shows a person what for.
Wait = Callable[[float, str], None]


@dataclass(frozen=True, slots=True)
class Run:
    """A run's folder, and its manifest as it holds now."""

    folder: Path
    manifest: Manifest = field(repr=False)
    cluster: Cluster = field(repr=False)
    """The manifest's section `cluster`, typed."""
    retry: RetryPolicy = field(repr=False)
    """The manifest's section `retry`, typed."""
    original: Path | None = None
    """The folder of the run that this one is a copy of; None for the run itself, moved or not."""
    amendments: tuple[Amendment, ...] = field(default=(), repr=False)
    """The corrections since the run was created, which `manifest` includes already."""
    chosen_database: Path | None = None
    """The database that a person named instead of the run's, as they typed it; None for none."""
    notify: NotifySettings = field(default_factory=NotifySettings, repr=False)
    """The manifest's section `notify`, typed."""
    limits: SessionLimits = field(default=LOGIN_NODE, repr=False)
    """The manifest's section `session`, typed."""

    @property
    def run_id(self) -> str:
        """Return the run's id, which is also the name of its folder."""
        return self.manifest.run_id

    @property
    def age(self) -> tuple[datetime, str]:
        """Return what sorts runs from the oldest to the newest, as the database sorts them."""
        return self.manifest.created, self.run_id

    @property
    def executor(self) -> ExecutorName:
        """Return which executor the run was planned for."""
        return self.cluster.executor
