"""Tell what a process or its machine lacks from what a post or a service does wrong.

A classifier that can open no connection, look up no name or start no thread fails at whichever
post it has in hand. The next post would fare no better, and the same post is fine once there is
room again.
"""

import errno
import os
import threading
from collections.abc import Iterator

_LACKING = frozenset(
    {
        *(errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS),
        *(errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.ESTALE),
    }
)


def is_shortage(error: OSError) -> bool:
    """Tell whether an error of the system is about what it lacks now, and not about one file."""
    return error.errno in _LACKING


def find_shortage(error: BaseException) -> OSError | None:
    """Return what this process or its machine lacked when an error was raised; None for nothing.

    The system's own error may be among the causes. But not every library passes it on: a lookup
    that can open no socket says that the name is not known. So this also tries whether the process
    can open a file and start a thread now.
    """
    for each in _causes(error):
        if isinstance(each, OSError) and is_shortage(each):
            return each
    return _try_to_open() or _try_to_start_thread()


def _causes(error: BaseException) -> Iterator[BaseException]:
    known: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in known:
        yield current
        known.add(id(current))
        current = current.__cause__ or current.__context__


def _try_to_open() -> OSError | None:
    try:
        os.close(os.open(os.devnull, os.O_RDONLY))
    except OSError as error:
        return error
    return None


def _try_to_start_thread() -> OSError | None:
    thread = threading.Thread(target=int, name="probe", daemon=True)
    try:
        thread.start()
    except RuntimeError:
        return OSError(errno.EAGAIN, "no thread can be started")
    thread.join()
    return None
