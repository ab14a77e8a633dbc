"""Reserve file descriptors for files that must be written even if a process has no others."""

import contextlib
import os
import weakref
from collections.abc import Iterator

# A part takes one at a time, but another thread may be quicker to take one that is given back.
COUNT = 4


class SpareDescriptors:
    """Descriptors that are open to nothing, until `released`."""

    def __init__(self) -> None:
        """Open as many as there are left, COUNT at most."""
        self._held: list[int] = []
        self._refill()
        weakref.finalize(self, _close_all, self._held)

    @contextlib.contextmanager
    def released(self) -> Iterator[None]:
        """Give the descriptors back for the block, and take new ones after it."""
        self.release()
        try:
            yield
        finally:
            self._refill()

    def release(self) -> None:
        """Give the descriptors back."""
        _close_all(self._held)

    def _refill(self) -> None:
        with contextlib.suppress(OSError):
            while len(self._held) < COUNT:
                self._held.append(os.open(os.devnull, os.O_RDONLY))


def _close_all(descriptors: list[int]) -> None:
    while descriptors:
        os.close(descriptors.pop())
