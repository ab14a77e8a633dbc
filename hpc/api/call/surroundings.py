"""Leave the caller's process as it was, and turn the errors of libraries into this program's."""

from collections.abc import Iterator
from contextlib import contextmanager

import duckdb

from hpc.display.system_error import describe_error
from pipeline import ownership
from pipeline.errors import RunError


@contextmanager
def library_call() -> Iterator[None]:
    """Run a block on behalf of a caller.

    Files with posts are closed to other users, so the umask of the process is stricter within the
    block. After it, the umask is what it was.

    Raises:
        RunError: DuckDB failed within the block.
    """
    try:
        with ownership.private_files():
            yield
    except duckdb.Error as error:
        raise RunError(describe_error(error)) from error
