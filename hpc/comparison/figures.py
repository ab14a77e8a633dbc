"""Draw the figures of a comparison, if they are asked for."""

from collections.abc import Callable, Sequence
from pathlib import Path

from hpc.comparison.load_analysis import load_analysis
from hpc.display.screen import Screen
from hpc.figures.plan import PlannedFigure
from pipeline.text import counted

SaveFigures = Callable[[Sequence[PlannedFigure], Path], list[Path]]


def check_figures(folder: Path | None) -> None:
    """Raise RunError if figures are wanted and cannot be drawn, before anything is computed."""
    if folder is not None:
        load_analysis("hpc.figures.draw")


def draw_figures(
    plans: Sequence[PlannedFigure], folder: Path | None, printer: Screen
) -> tuple[Path, ...]:
    """Draw figures into a folder, if there is one; return the files.

    Raises:
        OSError: the disk is full, or the folder is closed to this user.
    """
    if folder is None:
        return ()
    save_figures: SaveFigures = load_analysis("hpc.figures.draw").save_figures
    written = save_figures(plans, folder)
    if written:
        printer(f"\nwrote {counted(len(plans), 'figure')} as SVG and PNG into {folder}")
    else:
        printer("\nno figure: there are no scores between 0 and 1, and no known agreement")
    return tuple(written)
