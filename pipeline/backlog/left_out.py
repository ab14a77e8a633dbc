"""Say which files of a source were found and not read, and why. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from pipeline.text import counted


class WhyLeftOut(StrEnum):
    """Why a file or a folder of a source is not read, although nothing is wrong with it."""

    EMPTY = "empty"
    NO_DATA = "not a data file"
    HIDDEN = "hidden, because a name in its path begins with . or _"
    IGNORED = "excluded by backlog.ignore"
    NO_FILE = "a pipe, a socket or a device, not a file"
    FOLDER = "a folder; to read the files in it, add /** to backlog.source"
    BROKEN_LINK = "a link that leads nowhere"
    VANISHED = "removed before it was read"
    RUN = "the folder of a run"
    LABELS = "labels that this program wrote; to read them, name the file in backlog.source"


_FOLDERS = frozenset({WhyLeftOut.RUN, WhyLeftOut.FOLDER})


@dataclass(frozen=True, kw_only=True, slots=True)
class LeftOut:
    """A file or a folder that was found and not read."""

    path: Path
    why: WhyLeftOut

    def to_json(self) -> dict[str, str]:
        """Return the path and the reason, for programs."""
        return {"path": str(self.path), "why": str(self.why)}


def describe_left_out(left_out: Sequence[LeftOut]) -> list[str]:
    """Return a line for each reason: how many files, and one of them."""
    lines = []
    for why in WhyLeftOut:
        paths = sorted(each.path for each in left_out if each.why is why)
        if not paths:
            continue
        count = counted(len(paths), "folder" if why in _FOLDERS else "file")
        example = f"for example {paths[0]}" if paths[1:] else str(paths[0])
        lines.append(f"left out: {count}, {example}: {why}")
    return lines
