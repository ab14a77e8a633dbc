"""Find the files with the answers of another engine, and take their fingerprints."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from pipeline import files
from pipeline.errors import InputError

_PARQUET = (".parquet",)
_JSON_LINES = (".jsonl", ".ndjson")
_GZIP = ".gz"


class Layout(StrEnum):
    """How a file holds rows."""

    PARQUET = "parquet"
    JSON_LINES = "json_lines"
    JSON_LINES_GZIP = "json_lines_gzip"


@dataclass(frozen=True, kw_only=True, slots=True)
class AnswerFile:
    """One file of the engine, as it was before it was read."""

    path: Path
    """The file, absolute."""
    name: str
    """Its path from the folder that was named, for messages."""
    layout: Layout
    size: int
    changed_at_ns: int
    sha256: str


@dataclass(frozen=True, kw_only=True, slots=True)
class AnswerFolder:
    """What lies in the folder of the engine."""

    files: tuple[AnswerFile, ...]
    """The files with answers, in the order of their names."""
    ignored: tuple[str, ...]
    """The names of the other files, except those that begin with `.` or `_`."""


def layout_of(name: str) -> Layout | None:
    """Return how a file of this name holds rows; None if it holds no answers."""
    lower = name.lower()
    if lower.endswith(_PARQUET):
        return Layout.PARQUET
    if lower.endswith(_JSON_LINES):
        return Layout.JSON_LINES
    if lower.endswith(tuple(f"{ending}{_GZIP}" for ending in _JSON_LINES)):
        return Layout.JSON_LINES_GZIP
    return None


def find_answer_files(folder: Path) -> AnswerFolder:
    """Return the files below a folder, or the one file that is named.

    Raises:
        InputError: there is no such folder, or no file with answers in it.
        OSError: a file cannot be read.
    """
    if not folder.exists():
        raise InputError(f"there is no folder {folder}")
    found: list[AnswerFile] = []
    ignored: list[str] = []
    for path, name in _walk(folder):
        layout = layout_of(path.name)
        if layout is None:
            ignored.append(name)
        else:
            found.append(_fingerprint(path, name, layout))
    if not found:
        endings = ", ".join([*_PARQUET, *_JSON_LINES, *(f"{each}{_GZIP}" for each in _JSON_LINES)])
        raise InputError(f"{folder} has no file with answers: their names end in {endings}")
    return AnswerFolder(files=tuple(found), ignored=tuple(ignored))


def reject_changed(answer_files: tuple[AnswerFile, ...]) -> None:
    """Raise InputError if a file has changed since its fingerprint was taken."""
    for file in answer_files:
        status = file.path.stat()
        if (status.st_size, status.st_mtime_ns) != (file.size, file.changed_at_ns):
            raise InputError(
                f"{file.path} changed while it was read, so nothing was adopted: wait until the "
                "engine has ended, and run the same command again"
            )


def _walk(folder: Path) -> Iterator[tuple[Path, str]]:
    """Yield each regular file, and its name from the folder; hidden ones and markers are skipped.

    Engines write markers such as `_SUCCESS`, and files that are not whole yet under hidden names.
    """
    if folder.is_file():
        yield folder.absolute(), folder.name
        return

    def fail(error: OSError) -> None:
        raise error

    for place, folders, names in os.walk(folder, onerror=fail):
        folders[:] = sorted(name for name in folders if not name.startswith((".", "_")))
        for name in sorted(names):
            path = Path(place).absolute() / name
            if not name.startswith((".", "_")) and path.is_file():
                yield path, str(path.relative_to(folder.absolute()))


def _fingerprint(path: Path, name: str, layout: Layout) -> AnswerFile:
    status = path.stat()
    return AnswerFile(
        path=path,
        name=name,
        layout=layout,
        size=status.st_size,
        changed_at_ns=status.st_mtime_ns,
        sha256=files.sha256_of(path),
    )
