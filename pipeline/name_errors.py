"""Name the file that an error of the system is about, where the system does not."""

import contextlib
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
    """Add a file to an OSError of the block that names none.

    The system names a file that cannot be opened, and none whose descriptor cannot be read,
    written or synced.
    """
    try:
        yield
    except OSError as error:
        if error.errno is not None and error.filename is None:
            error.filename = str(path)
        raise
