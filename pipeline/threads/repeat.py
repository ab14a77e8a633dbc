"""Call a function again and again in a thread of its own while this thread does something else."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def repeat_in_background(act: Callable[[], None], pause_s: float, *, name: str) -> Iterator[None]:
    """Call a function after each pause, until the block ends.

    Args:
        act: the function.
        pause_s: the seconds before each call.
        name: the thread's name.
    """
    ended = threading.Event()

    def repeat() -> None:
        while not ended.wait(pause_s):
            act()

    thread = threading.Thread(target=repeat, name=name, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
