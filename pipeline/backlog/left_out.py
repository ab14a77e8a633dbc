"""Say which files of a source were found and not read, and why. Pure."""

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path

import msgspec

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
    DATABASE = "part of the database of the labels (storage.database)"
    SAMPLE = "a sample of posts that this program drew"
    MAP = "a map of scores that this program fitted"
    LABELS = "labels that this program wrote; to read them, name the file in backlog.source"


_FOLDERS = frozenset({WhyLeftOut.RUN, WhyLeftOut.FOLDER})


class LeftOut(msgspec.Struct, frozen=True, kw_only=True):
    """A file or a folder that was found and not read."""

    path: Path
    why: WhyLeftOut

    def to_json(self) -> dict[str, str]:
        """Return the path and the reason, for programs."""
        return {"path": str(self.path), "why": str(self.why)}


def describe_left_out(left_out: Sequence[LeftOut]) -> list[str]:
    """Return a line for each reason: how many files, one of them, and why."""
    lines = []
    for why in WhyLeftOut:
        paths = sorted(each.path for each in left_out if each.why is why)
        if paths:
            lines.append(_describe(why, len(paths), paths[0]))
    return lines


def _describe(why: WhyLeftOut, count: int, path: Path) -> str:
    example = f"for example {path}" if count > 1 else str(path)
    if why is WhyLeftOut.EMPTY:
        return f"{counted(count, 'empty file')}, {example}"
    noun = "folder" if why in _FOLDERS else "file"
    return f"left out: {counted(count, noun)}, {example}: {why}"
