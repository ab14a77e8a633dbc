"""Describe what a gather added. Pure."""

from hpc.database.gather_outputs import Gathered
from pipeline.text import counted


def describe_gathered(gathered: Gathered) -> str:
    """Return one line on the labels that a gather added."""
    extra = []
    if gathered.unlabelable:  # not of all that is there after
        extra.append(f"{gathered.unlabelable:,} of those gathered cannot be labelled")
    if gathered.already_present:
        extra.append(f"{counted(gathered.already_present, 'post')} had a row already")
    line = (
        f"gathered {counted(gathered.shards, 'shard')}: "
        f"{counted(gathered.rows_before, 'row')} before, "
        f"{gathered.rows_added:,} added, {gathered.rows_after:,} after"
    )
    return f"{line} ({'; '.join(extra)})" if extra else line
