"""Read and write the folder in which the tasks of one key leave notes for one another.

The file names say everything: an empty file is always written whole and needs no reading.
"""

import contextlib
import hashlib
import math
import os
import stat
from collections.abc import Iterable
from pathlib import Path

from pipeline.service.quota.leases import Lease

_PAUSE = ".pause"
# A pause that ends later than this from now comes from a wrong clock: no service asks for it.
LONGEST_PAUSE_SECONDS = 600


class LeaseFolder:
    """The folder of one key. Every method raises OSError, except `remove`."""

    def __init__(self, root: Path, owner: str) -> None:
        """Touch nothing yet.

        Args:
            root: the folder for all keys, created as the umask says if it does not exist. The
                folders of the keys get its mode, so that people who share a key can share one.
            owner: whose quota this is. Only a hash of it is written.
        """
        self._root = root
        self.path = root / hashlib.sha256(f"quota of {owner}".encode()).hexdigest()[:32]

    def write(self, lease: Lease) -> None:
        """Create the lease's file, and the folder too if somebody has deleted it."""
        self._root.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            mode = stat.S_IMODE(self._root.stat().st_mode)
            self.path.mkdir(mode=mode)
            self.path.chmod(mode)  # the bits that the umask has removed
        self._touch(lease.name)

    def rename(self, old: Lease, new: Lease) -> None:
        """Replace a lease by its next version."""
        (self.path / old.name).rename(self.path / new.name)

    def remove(self, names: Iterable[str]) -> None:
        """Delete files. One that cannot be deleted, such as another user's, does no harm."""
        for name in names:
            with contextlib.suppress(OSError):
                (self.path / name).unlink()

    def names(self) -> list[str]:
        """Return the names of all files in the folder."""
        return os.listdir(self.path)  # noqa: PTH208 - names, not paths, of hundreds

    def write_pause(self, until: float) -> None:
        """Announce a pause to all tasks of the key.

        Args:
            until: its end in seconds since 1970, by the wall clock. An error of a second or two
                does no harm.
        """
        self._touch(f"{math.ceil(until)}{_PAUSE}")

    def _touch(self, name: str) -> None:
        with contextlib.suppress(FileExistsError):  # a pause that another user has announced
            (self.path / name).open("x").close()


def pause_until(names: Iterable[str], now: float) -> float:
    """Return when the last announced pause ends, by the wall clock; minus infinity without one."""
    ends = [end for end in _ends(names) if end <= now + LONGEST_PAUSE_SECONDS]
    return max(ends, default=-math.inf)


def expired_pauses(names: Iterable[str], now: float) -> list[str]:
    """Return the names of those pauses that ended long ago."""
    return [f"{end}{_PAUSE}" for end in _ends(names) if end < now - LONGEST_PAUSE_SECONDS]


def _ends(names: Iterable[str]) -> list[int]:
    stems = [name.removesuffix(_PAUSE) for name in names if name.endswith(_PAUSE)]
    return [int(stem) for stem in stems if stem.isascii() and stem.isdigit() and len(stem) < 16]
