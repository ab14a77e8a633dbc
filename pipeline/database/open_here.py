"""Know which databases this process has open itself.

The system's locks keep other processes out, and never the process that holds them. If it opens the
same file a second time and closes that, even just to read a few bytes, the system drops the locks
of the first opening too: another process could write under the feet of a notebook that reads.
"""

import os
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar

_DESCRIPTORS = Path("/proc/self/fd")
_Identity = tuple[int, int]


class _Opened:
    """The files that are open by `note_opened` now, in all threads: a fact about the process."""

    lock = threading.Lock()
    counts: ClassVar[Counter[_Identity]] = Counter()


def is_open_here(path: Path) -> bool:
    """Tell whether this process has a file open; False where the system does not say."""
    try:
        wanted = _identity(path)
        descriptors = list(os.scandir(_DESCRIPTORS))
    except OSError:
        return False
    return any(_leads_to(entry, wanted) for entry in descriptors)


def is_open_elsewhere_here(path: Path) -> bool:
    """Tell whether this process has a database open by a connection that is not the program's.

    DuckDB shares the program's own connections to one file, so these do not disturb each other.
    """
    if not is_open_here(path):
        return False
    with _Opened.lock:
        return not _Opened.counts[_identity(path)]


@contextmanager
def note_opened(path: Path) -> Iterator[None]:
    """Note for as long as the block lasts that the program has a file open itself."""
    identity = _identity(path)
    with _Opened.lock:
        _Opened.counts[identity] += 1
    try:
        yield
    finally:
        with _Opened.lock:
            _Opened.counts[identity] -= 1
            if not _Opened.counts[identity]:
                del _Opened.counts[identity]


def _identity(path: Path) -> _Identity:
    status = path.stat()
    return status.st_dev, status.st_ino


def _leads_to(entry: os.DirEntry[str], wanted: _Identity) -> bool:
    try:
        status = entry.stat()
    except OSError:  # closed meanwhile, such as that of this very search
        return False
    return (status.st_dev, status.st_ino) == wanted
