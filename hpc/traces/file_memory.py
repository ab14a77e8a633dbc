"""Remember what small files hold, so that a look opens no more of them than have changed.

A run of 10,000 shards has tens of thousands of such files, and each that is opened costs a trip to
the file server. A memory is one file in the run's folder. It may be deleted at any time.
"""

import contextlib
import os
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Generic, TypeVar

import msgspec

from pipeline import files, limits

T = TypeVar("T")


class MemoryFile(StrEnum):
    """The memories in a run's folder."""

    LAST_WORDS = ".seen-last-words.json"
    HEARTBEATS = ".seen-heartbeats.json"
    JOURNALS = ".seen-journals.json"
    """How many answers journals hold."""
    TASK_RECORDS = ".seen-task-records.json"
    """Those of the local executor."""


Stamp = tuple[int, int, int]
"""Size, time of change and inode. A file that is replaced by a rename has another one."""


def stamp_of(entry: os.DirEntry[str]) -> Stamp | None:
    """Return the stamp of a listed file; None if it is gone by now."""
    try:
        stat = entry.stat()
    except FileNotFoundError:
        return None
    return stat.st_size, stat.st_mtime_ns, stat.st_ino


def forget(run_dir: Path) -> None:
    """Remove the memories, once most of the files that they know are gone."""
    for name in MemoryFile:
        with contextlib.suppress(OSError):
            (run_dir / name).unlink(missing_ok=True)


class FileMemory(Generic[T]):
    """The values that files held when they were last read, by a name for each file."""

    def __init__(self, run_dir: Path, name: MemoryFile, kind: type[T]) -> None:
        """Read what was remembered; nothing of a memory that this version cannot read.

        Args:
            run_dir: the run's folder.
            name: which memory.
            kind: the type of a value, which msgspec reads from JSON and writes to it.
        """
        self._path = run_dir / name
        decoder = msgspec.json.Decoder(dict[str, tuple[Stamp, kind]])  # type: ignore[valid-type]
        self._known: dict[str, tuple[Stamp, T]] = {}
        self._is_outdated = False
        with contextlib.suppress(OSError, msgspec.MsgspecError, UnicodeDecodeError):
            self._known = decoder.decode(limits.read_file(self._path, limits.RECORD_BYTES))

    def value(self, name: str, stamp: Stamp, read: Callable[[], T | None]) -> T | None:
        """Return what a file holds: from memory, or if it has changed, from `read`.

        Args:
            name: names the file in the memory.
            stamp: the file's stamp, taken before it is read.
            read: reads the file; it returns None if there is nothing to remember.
        """
        known = self._known.get(name)
        if known is not None and known[0] == stamp:
            return known[1]
        value = read()
        if value is not None:
            self._known[name] = stamp, value
            self._is_outdated = True
        return value

    def remember(self) -> None:
        """Write the memory for the next look, if this one has read any file."""
        if not self._is_outdated:
            return
        # Losing it costs only time: a reader without write access, or a full disk, does without.
        with (
            contextlib.suppress(OSError),
            files.appearing_whole(self._path, sync=False) as temporary,
        ):
            temporary.write_bytes(msgspec.json.encode(self._known))
        self._is_outdated = False
