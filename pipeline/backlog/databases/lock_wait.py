"""Wait for a database that another process has locked, and say so."""

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from pipeline.errors import BusyError

# A collector commits within seconds. If it takes longer, something is wrong with it.
LOCK_WAIT_S = 30.0
# How long one try may take. A wait that ends with the first try is not worth a message.
ONE_TRY_S = 1.0
_PAUSE_S = 0.05
Opened = TypeVar("Opened")


def wait_for_lock(path: Path, open_once: Callable[[float], Opened]) -> Opened:
    """Open a database, trying for up to LOCK_WAIT_S while another process has it locked.

    Args:
        path: the file.
        open_once: opens it, and may wait for a lock itself for the seconds that it is given.

    Raises:
        BusyError: the last try raised it.
    """
    deadline = time.monotonic() + LOCK_WAIT_S
    is_announced = False
    while True:
        try:
            return open_once(max(0.0, min(ONE_TRY_S, deadline - time.monotonic())))
        except BusyError:
            if time.monotonic() >= deadline:
                raise
        if not is_announced:
            is_announced = True
            announce(path)
        time.sleep(_PAUSE_S)


def announce(path: Path) -> None:
    """Say on stderr that a database is locked, and for how long it is waited for."""
    print(
        f"{path} is locked by another process: waiting for it, up to {LOCK_WAIT_S:.0f} s",
        file=sys.stderr,
        flush=True,
    )
