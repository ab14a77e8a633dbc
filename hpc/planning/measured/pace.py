"""Hold how fast the tasks of some runs were, as one value. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from hpc.run.model.run import Run
from pipeline.run_files.pace import Pace


@dataclass(frozen=True, kw_only=True, slots=True)
class RunPace:
    """How fast the tasks of some runs were."""

    runs: tuple[Run, ...]
    """The runs, the newest first."""
    tasks: int
    """How many of their tasks were looked at."""
    asked: int
    """How many posts these asked about."""
    per_minute: float
    """How many posts one task asked about in a minute."""
    startup_minutes: float
    """How long a task took before its first post, on average."""
    memory_mb: float | None
    """The most memory that any of them was seen to use, in MiB; None if unknown."""

    @property
    def canary(self) -> Run | None:
        """The newest of the runs that is a canary; None if there is none."""
        return next((run for run in self.runs if run.manifest.canary), None)


def combine(runs: Sequence[Run], paces: Sequence[Pace]) -> RunPace | None:
    """Return the mean of several tasks, weighted by their time; None if nothing took time."""
    asked = sum(pace.asked for pace in paces)
    seconds = sum(pace.asking_s for pace in paces)
    if not asked or seconds <= 0:
        return None
    return RunPace(
        runs=tuple(runs),
        tasks=len(paces),
        asked=asked,
        per_minute=60 * asked / seconds,
        startup_minutes=sum(pace.startup_s for pace in paces) / len(paces) / 60,
        memory_mb=max((pace.memory_mb for pace in paces if pace.memory_mb), default=None),
    )
