"""Find which run a user means by an id, a name, or the beginning of either. Pure.

The first of these that fits decides: the id of a run; a name, which means its newest run; the
beginning of an id; the beginning of an id without its time, such as `tox` or `toxicity-4ce`. So
`tox` is the name `tox` if there is one, even beside runs of the name `toxicity`. Only the names of
folders are compared. No file is opened.
"""

from collections import defaultdict
from collections.abc import Sequence

import msgspec

from hpc.naming.run_ids import parse_run_id
from pipeline.text import did_you_mean


class Resolution(msgspec.Struct, frozen=True, kw_only=True):
    """Which runs an argument may mean."""

    candidates: tuple[str, ...] = ()
    """Names of folders, the newest first. Empty if none fits."""
    is_ambiguous: bool = False
    """Whether the candidates are several runs of which the user has to choose one. Otherwise, the
    first of them that can be used is meant."""
    suggestion: str = ""
    """` (did you mean ...?)` if none fits and a name is near; else empty."""


def resolve(folders: Sequence[str], wanted: str) -> Resolution:
    """Return which runs an argument means.

    Args:
        folders: the names of the folders that hold runs, oldest first. Among them may be some that
            are no ids, such as that of a copy.
        wanted: what the user typed.
    """
    if wanted in folders:
        return Resolution(candidates=(wanted,))
    newest_first = tuple(reversed(folders))
    by_name: dict[str, list[str]] = defaultdict(list)
    tails: dict[str, str] = {}
    for folder in newest_first:
        if run_id := parse_run_id(folder):
            by_name[run_id.name].append(folder)
            tails[folder] = f"{run_id.name}-{run_id.hash}"
    if wanted in by_name:
        return Resolution(candidates=tuple(by_name[wanted]))
    if not wanted:
        return Resolution()
    # The name of a copy begins with the id of its original, and nobody means the copy.
    for fitting in (
        [folder for folder in tails if folder.startswith(wanted)],
        [folder for folder in tails if tails[folder].startswith(wanted)],
        [folder for folder in newest_first if folder.startswith(wanted)],
    ):
        if fitting:
            return Resolution(candidates=tuple(fitting), is_ambiguous=len(fitting) > 1)
    return Resolution(suggestion=did_you_mean(wanted, (*by_name, *newest_first)))
