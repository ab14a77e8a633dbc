"""The folder in which the tasks of one key leave notes for one another. All that they say is in the
files' names: an empty file is written whole, never full of half a message, and needs no reading."""

import contextlib
import hashlib
import math
import os
import stat
from collections.abc import Iterable
from pathlib import Path

from pipeline.service.quota.leases import Lease

_PAUSE = ".pause"
# One that ends later than this from now was written by a wrong clock: no service asks for it.
LONGEST_PAUSE = 600


class LeaseFolder:
    """Every method raises OSError, but for `remove`.

    Args:
        root: the folder for all keys; made, for its owner alone, where it is not there. The one of
            a key gets its mode, so that people who share a key can share a folder that they made.
        owner: whose quota it is; only a hash of that is written.
    """

    def __init__(self, root: Path, owner: str) -> None:
        self._root = root
        self.path = root / hashlib.sha256(f"quota of {owner}".encode()).hexdigest()[:32]

    def write(self, lease: Lease) -> None:
        """The folder is made again where somebody has cleared it away."""
        self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            mode = stat.S_IMODE(self._root.stat().st_mode)
            self.path.mkdir(mode=mode)
            self.path.chmod(mode)  # what the umask has kept back
        self._touch(lease.name)

    def rename(self, old: Lease, new: Lease) -> None:
        (self.path / old.name).rename(self.path / new.name)

    def remove(self, names: Iterable[str]) -> None:
        """Of no consequence: what cannot be removed, as others' files may not be, stays."""
        for name in names:
            with contextlib.suppress(OSError):
                (self.path / name).unlink()

    def names(self) -> list[str]:
        return os.listdir(self.path)  # noqa: PTH208 - names, not paths, of hundreds

    def write_pause(self, until: float) -> None:
        """`until`: seconds since 1970, by the wall clock; a second or two does no harm."""
        self._touch(f"{math.ceil(until)}{_PAUSE}")

    def _touch(self, name: str) -> None:
        (self.path / name).open("a").close()


def pause_until(names: Iterable[str], now: float) -> float:
    """The end of the last pause that is noted, by the wall clock; minus infinity for none."""
    ends = [end for end in _ends(names) if end <= now + LONGEST_PAUSE]
    return max(ends, default=-math.inf)


def past_pauses(names: Iterable[str], now: float) -> list[str]:
    return [f"{end}{_PAUSE}" for end in _ends(names) if end < now - LONGEST_PAUSE]


def _ends(names: Iterable[str]) -> list[int]:
    stems = [name.removesuffix(_PAUSE) for name in names if name.endswith(_PAUSE)]
    return [int(stem) for stem in stems if stem.isascii() and stem.isdigit() and len(stem) < 16]
