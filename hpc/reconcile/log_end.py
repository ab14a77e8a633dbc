"""Read the last line of a task's log that says why the task ended."""

import re

from hpc.traces.task_log import TaskLog
from pipeline.terminal import one_line

LINES_LOOKED_AT = 50
# srun reports that a task ended, after the task itself has said why.
_ABOUT_THE_END = re.compile(r"srun: |slurmstepd: error: \*\*\* ")


def read_log_end(log: TaskLog | None) -> str:
    """Return the last line that is not blank, safe to show on a terminal; '' without any.

    Lines in which Slurm only reports the end count where there is no other line.
    """
    lines = log.last_lines(LINES_LOOKED_AT) if log else None
    spoken = [line for line in map(one_line, lines or ()) if line]
    telling = [line for line in spoken if not _ABOUT_THE_END.match(line)]
    return (telling or spoken or [""])[-1]
