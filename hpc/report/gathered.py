"""Describe what a gather added. Pure."""

from hpc.database.gather_outputs import Gathered
from pipeline.text import counted


def describe_gathered(gathered: Gathered) -> str:
    """Return a line with the rows before and after, and how many were added."""
    notes = []
    if gathered.unlabelable:  # of those that were added, not of all rows
        notes.append(f"{counted(gathered.unlabelable, 'post')} could not be labeled")
    if gathered.already_present:
        notes.append(f"{counted(gathered.already_present, 'post')} already had a row")
    line = (
        f"gathered {counted(gathered.shards, 'shard')}: "
        f"{counted(gathered.rows_before, 'row')} before, "
        f"{gathered.rows_added:,} added, {gathered.rows_after:,} after"
    )
    return f"{line} ({'; '.join(notes)})" if notes else line
