"""Count how often a test's own process opens files for reading."""

import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_counters: list[tuple[Path, Counter[str]]] = []


def _note(event: str, arguments: tuple[object, ...]) -> None:
    if event != "open" or not _counters or not isinstance(arguments[0], str):
        return
    path, mode = Path(arguments[0]), arguments[1]
    for folder, counter in _counters:
        if path.is_relative_to(folder) and mode in ("r", "rb"):
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
