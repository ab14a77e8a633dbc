"""Show that an outside program is awaited, at the door to it.

Slurm may take a minute to answer, or never does, and any verb may ask it. So whoever owns the
screen says once how a wait is shown, and whoever calls a program says what is awaited.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar

ShowWait = Callable[[str], AbstractContextManager[object]]
"""Shows within a block what it waits for, if that takes long: "waiting for Slurm to answer"."""

# A variable of the context and not of the process: a notebook has threads.
_SHOW: ContextVar[ShowWait | None] = ContextVar("show_wait", default=None)


@contextmanager
def waits_shown_by(show: ShowWait) -> Iterator[None]:
    """Show the waits within a block in this way."""
    token = _SHOW.set(show)
    try:
        yield
    finally:
        _SHOW.reset(token)


def show_wait(what: str) -> AbstractContextManager[object]:
    """Show within a block what it waits for, if somebody wants to see it."""
    show = _SHOW.get()
    return nullcontext() if show is None else show(what)
