"""Share many small pieces of work with other threads."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, suppress
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")

# For fewer pieces, starting a thread would take as long as it saves.
_WORTH_A_THREAD = 64


def share_work(pieces: Sequence[T], work: Callable[[Iterator[T]], R], *, threads: int) -> list[R]:
    """Call a function in several threads, this one included, and return what each call returned.

    Whoever is free takes the next piece, so a thread that gets no processor delays nothing. Where
    the system refuses to start threads, fewer do the work.

    Args:
        pieces: what there is to do.
        work: takes pieces from the iterator, which all calls share, until there are no more.
        threads: how many threads do the work at most.

    Raises:
        Exception: what a call raised. The other calls have ended by then.
    """
    left = iter(pieces)
    helpers: list[Future[R]] = []
    with ExitStack() as stack:
        with suppress(RuntimeError):  # no thread can be started
            for _ in range(min(threads, len(pieces) // _WORTH_A_THREAD) - 1):
                pool = stack.enter_context(ThreadPoolExecutor(1))
                helpers.append(pool.submit(work, left))
        stack.callback(_skip, left)
        own = work(left)
    return [own, *(helper.result() for helper in helpers)]


def _skip(left: Iterator[object]) -> None:
    """Leave nothing for others to do, after an error of this thread."""
    deque(left, maxlen=0)
