"""Say that a source has no data, and what is there instead."""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from pipeline.backlog.left_out import LeftOut, WhyLeftOut, describe_left_out
from pipeline.backlog.path_patterns import split_glob
from pipeline.config.sections import Backlog
from pipeline.errors import UnreadableError
from pipeline.files import names_in
from pipeline.text import counted, did_you_mean

_MOST_NAMES = 5


def describe_nothing(backlog: Backlog, places: Sequence[Path], left_out: Sequence[LeftOut]) -> str:
    """Return where data was looked for, and what was found there.

    Args:
        backlog: whose source has no data.
        places: the paths or globs that were tried.
        left_out: what they lead to.
    """
    for each in left_out:
        if each.path in places and each.why is WhyLeftOut.NO_DATA:
            return (
                f"backlog.source: {each.path} is not a SQLite or DuckDB database, Parquet or JSON, "
                f"and not a table with the columns {', '.join(backlog.columns.values())}"
            )
    what = "data file" if left_out else "file"
    lines = [f"backlog.source: there is no {what} at {' or '.join(map(str, places))}"]
    lines += describe_left_out(left_out) or _describe_surroundings(places)
    return "\n".join(lines)


def _describe_surroundings(places: Sequence[Path]) -> list[str]:
    """Return what is in the nearest folders that exist."""
    lines = []
    for place in places:
        beginning, _ = split_glob(place)
        folder = next(each for each in (beginning, *beginning.parents) if Path(each).is_dir())
        wanted = place.relative_to(folder).parts
        with suppress(UnreadableError):
            names = names_in(Path(folder))
            near = did_you_mean(wanted[0], names) if wanted else ""
            lines.append(f"{folder} {_describe_names(names)}{near}")
    return list(dict.fromkeys(lines))


def _describe_names(names: Sequence[str]) -> str:
    if not names:
        return "is empty"
    more = len(names) - _MOST_NAMES
    rest = f" and {counted(more, 'other')}" if more > 0 else ""
    return f"holds {', '.join(names[:_MOST_NAMES])}{rest}"
