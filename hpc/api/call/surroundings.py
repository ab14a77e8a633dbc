"""Leave the caller's process as it was, and turn the errors of libraries into this program's."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import duckdb

from hpc.display.system_error import describe_error
from pipeline.errors import RunError
from pipeline.system import ownership


@contextmanager
def library_call() -> Iterator[None]:
    """Run a block on behalf of a caller.

    Files with posts are closed to other users, so the umask of the process is stricter within the
    block. After it, the umask is what it was.

    Raises:
        RunError: DuckDB failed within the block.
        KeyboardInterrupt: Ctrl-C, also in the middle of a query.
    """
    try:
        with ownership.private_files(), _interruptible():
            yield
    except duckdb.Error as error:
        raise RunError(describe_error(error)) from error


@contextmanager
def _interruptible() -> Iterator[None]:
    """Raise KeyboardInterrupt on Ctrl-C, also in the middle of a query.

    DuckDB 2.0 turns what a signal handler raises into a RuntimeError of its own. So the caller's
    handler is called by one that takes a note, and is in its place again at the end.
    """
    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(before):
        yield
        return
    handle, interrupted = before, threading.Event()

    def take_note(number: int, frame: FrameType | None) -> None:
        interrupted.set()
        handle(number, frame)

    signal.signal(signal.SIGINT, take_note)
    try:
        yield
    except Exception as error:
        if interrupted.is_set():
            raise KeyboardInterrupt from error
        raise
    finally:
        signal.signal(signal.SIGINT, before)
