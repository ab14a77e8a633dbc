"""Cache the content of small files, so that a look opens only those that have changed.

A run of 10,000 shards has tens of thousands of such files, and opening each costs a trip to the
file server. A cache is one file in the run's folder, and may be deleted at any time.
"""

import contextlib
import os
from collections.abc import Callable, Iterator
from enum import StrEnum
from pathlib import Path
from typing import Generic, TypeVar

import msgspec

from pipeline import files, limits

T = TypeVar("T")


class CacheFile(StrEnum):
    """The caches in a run's folder."""

    LAST_WORDS = ".seen-last-words.json"
    HEARTBEATS = ".seen-heartbeats.json"
    JOURNALS = ".seen-journals.json"
    """How many answers each answer journal holds."""
    TASK_RECORDS = ".seen-task-records.json"
    """The records of the local executor."""


Stamp = tuple[int, int, int]
"""Size, time of change and inode. A file that is replaced by a rename has another one."""


def stamp_of(file: os.DirEntry[str] | Path) -> Stamp | None:
    """Return the stamp of a file; None if it is gone by now."""
    try:
        stat = file.stat()
    except FileNotFoundError:
        return None
    return stat.st_size, stat.st_mtime_ns, stat.st_ino


@contextlib.contextmanager
def listed(folder: Path | str) -> Iterator[Iterator[os.DirEntry[str]]]:
    """Yield the entries of a folder; nothing of one that is not there.

    The system finds each file from the open folder, and not from the root again, which takes a
    third off the time of a stamp.
    """
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        yield iter(())
        return
    try:
        with os.scandir(descriptor) as entries:
            yield entries
    finally:
        os.close(descriptor)


def delete_caches(run_dir: Path) -> None:
    """Delete the caches, once most of the files in them are gone."""
    for name in CacheFile:
        with contextlib.suppress(OSError):
            (run_dir / name).unlink(missing_ok=True)


class FileCache(Generic[T]):
    """The values of files as they were last read, with a name for each file."""

    def __init__(self, run_dir: Path, name: CacheFile, kind: type[T]) -> None:
        """Read the cache; it is empty if this version cannot read its file.

        Args:
            run_dir: the run's folder.
            name: which cache.
            kind: the type of a value, which msgspec reads from JSON and writes to it.
        """
        self._path = run_dir / name
        decoder = msgspec.json.Decoder(dict[str, tuple[Stamp, kind]])  # type: ignore[valid-type]
        self._known: dict[str, tuple[Stamp, T]] = {}
        self._is_outdated = False
        with contextlib.suppress(OSError, msgspec.MsgspecError, UnicodeDecodeError):
            self._known = decoder.decode(limits.read_file(self._path, limits.RECORD_BYTES))

    def value(self, name: str, stamp: Stamp, read: Callable[[], T | None]) -> T | None:
        """Return the value of a file, from the cache or, if the file has changed, from `read`.

        Args:
            name: names the file in the cache.
            stamp: the file's stamp, taken before it is read.
            read: reads the file; it returns None if there is nothing to keep.
        """
        known = self._known.get(name)
        if known is not None and known[0] == stamp:
            return known[1]
        value = read()
        if value is not None:
            self._known[name] = stamp, value
            self._is_outdated = True
        return value

    def save(self) -> None:
        """Write the cache for the next look, if this one has read any file."""
        if not self._is_outdated:
            return
        # Without the cache, the next look only takes longer. A reader may lack write access.
        with (
            contextlib.suppress(OSError),
            files.appearing_whole(self._path, sync=False) as temporary,
        ):
            temporary.write_bytes(msgspec.json.encode(self._known))
        self._is_outdated = False
