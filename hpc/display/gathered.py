"""Describe what a gather added. Pure."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from hpc.database.gather_outputs import Gathered
from hpc.display.similar_lines import describe_similar
from pipeline.text import counted

MOST_LINES = 20


def describe_gathered(gathered: Gathered, *, coded_by_people: bool) -> str:
    """Return a line with the rows before and after, and how many were added.

    Args:
        gathered: what was gathered.
        coded_by_people: whether the labels are those of human coders, who may leave a post out.
    """
    notes = []
    if gathered.unlabelable:  # of those that were added, not of all rows
        what = "not coded" if coded_by_people else "could not be labeled"
        notes.append(f"{counted(gathered.unlabelable, 'post')} {what}")
    if gathered.already_present:
        notes.append(f"{counted(gathered.already_present, 'post')} already had a row")
    line = (
        f"gathered {counted(gathered.shards, 'shard')}: "
        f"{counted(gathered.rows_before, 'row')} before, "
        f"{gathered.rows_added:,} added, {gathered.rows_after:,} after"
    )
    return f"{line} ({'; '.join(notes)})" if notes else line


def describe_left_out(gathered: Gathered) -> list[str]:
    """Return lines about files that were left out, could not be read, or were moved aside."""
    lines = [*_first(gathered.rejected), *_first(gathered.unreadable)]
    if gathered.unregistered:
        lines.append(
            f"{gathered.unregistered} has the label files that the database does not register. A "
            "killed gather leaves such files. If you restored an older database by mistake, put "
            "the newer one back, and move these files back to where they were"
        )
    return lines


def describe_gone_runs(found: Mapping[Path, Collection[str]], root: Path) -> list[str]:
    """Return a line for each folder with files of labels whose runs have no folder any more.

    Args:
        found: the ids of these runs, by the folder that has their labels.
        root: the folder of all runs.
    """
    return [
        f"{folder} has label files of runs that have no folder in {root}: "
        f"{', '.join(sorted(run_ids))}. The rebuilt database does not have their labels, and the "
        "files are kept"
        for folder, run_ids in found.items()
    ]


def _first(lines: Sequence[str]) -> list[str]:
    shown = describe_similar(lines, "file", most=MOST_LINES)
    is_cut = len(shown) < len(lines)
    return [*shown[:-1], f"{shown[-1]}: hpc gather --json lists all"] if is_cut else shown
