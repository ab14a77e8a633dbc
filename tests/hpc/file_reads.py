"""Count how often a test's own process opens files for reading."""

import os
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.files import TEMPORARY_PREFIX

_counters: list[tuple[Path, Counter[str]]] = []


def _note(event: str, arguments: tuple[object, ...]) -> None:
    if event != "open" or not _counters or not isinstance(arguments[0], str | Path):
        return
    path, mode, flags = Path(arguments[0]), arguments[1], arguments[2]
    assert isinstance(flags, int)
    # os.open has no mode, and opens folders too.
    is_read = mode in ("r", "rb") or (
        mode is None and not flags & (os.O_WRONLY | os.O_RDWR | os.O_DIRECTORY)
    )
    is_being_written = path.name.startswith(TEMPORARY_PREFIX)  # opened to be synced
    for folder, counter in _counters:
        if path.is_relative_to(folder) and is_read and path.is_file() and not is_being_written:
            counter[path.relative_to(folder).as_posix()] += 1


# An audit hook can't be removed, so there is one for the whole process.
sys.addaudithook(_note)


@contextmanager
def counted_reads(folder: Path) -> Iterator[Counter[str]]:
    """Count the reads of each file below `folder`, by its path in there."""
    counter: Counter[str] = Counter()
    _counters.append((folder, counter))
    try:
        yield counter
    finally:
        _counters.remove((folder, counter))
