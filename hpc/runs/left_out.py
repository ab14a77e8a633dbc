"""Report the folders under a run root that commands on other runs leave out."""

from pathlib import Path

from hpc.run.model.run import Say
from hpc.runs.find_runs import find_copies
from hpc.runs.unusable_runs import find_unusable


def report_left_out(run_root: Path, say: Say) -> None:
    """Name the folders that no command on other runs uses.

    These are copies of runs beside them, and runs that cannot be read.
    """
    for line in (*find_copies(run_root), *map(str, find_unusable(run_root))):
        say(line)
