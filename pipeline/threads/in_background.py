"""Call a function in a thread of its own while this thread does something else.

DuckDB works without Python's lock, so queries take no time from work in Python.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")

# An interruption that comes between two queries is lost, so it is repeated.
_REPEAT_S = 0.02


@contextmanager
def in_background(act: Callable[[], T], interrupt: Callable[[], None]) -> Iterator[Callable[[], T]]:
    """Call a function in a thread of its own, and yield what waits for its result.

    The block does not end before the function does. If the block ends without waiting, as it does
    after an error or Ctrl-C, the function is interrupted. Where the system refuses to start a
    thread, the function is called when somebody waits for it.

    Args:
        act: the function. It imports nothing that cares for signals.
        interrupt: ends soon what the function is doing; called until the function has ended.
    """
    pool = ThreadPoolExecutor(1)
    try:
        future = pool.submit(act)
    except RuntimeError:
        yield act
        return
    try:
        yield future.result
    finally:
        _end(future, interrupt)
        pool.shutdown()


def _end(future: Future[T], interrupt: Callable[[], None]) -> None:
    while not future.done():
        interrupt()
        wait([future], _REPEAT_S)
