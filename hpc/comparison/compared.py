"""Hold what a comparison found, and what it wrote."""

from dataclasses import dataclass
from pathlib import Path

from hpc.comparison.save_map import SavedMap
from hpc.display.comparison.agreement import NamesReport
from hpc.display.comparison.gold import GoldReport


@dataclass(frozen=True, kw_only=True, slots=True)
class Compared:
    """Two names, or names and gold, and how they compare."""

    report: NamesReport | GoldReport
    """The measures of each pair of columns."""
    exit_code: int
    """0, or 1 if nothing could be compared."""
    bins: str
    """Which bins the calibration curves have."""
    figures: tuple[Path, ...]
    """The figures that were drawn."""
    saved_map: SavedMap | None = None
    """The map of a successor's scores that was saved."""
    unusable_runs: tuple[Path, ...]
    """Folders of runs that cannot be read, whose labels may be among those compared."""
