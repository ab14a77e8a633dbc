"""Read and write the folder in which the tasks of one key leave notes for one another.

The names of empty files say everything: such a file is always written whole and needs no reading.
Whoever shares the folder can put anything into it. So only regular files count, no entry is ever
opened, and nothing is deleted or replaced that this program did not leave there.
"""

import contextlib
import errno
import hashlib
import math
import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from pipeline.service.quota.leases import Lease, is_lease

_PAUSE = ".pause"
# A folder: whoever has an entry in it holds the claim.
_CLAIM = "claim"
# A pause that ends later than this from now comes from a wrong clock: no service asks for it.
LONGEST_PAUSE_SECONDS = 600
# What NFS clients call a file that was deleted while a process had it open.
_HIDDEN = "."


@dataclass(frozen=True, kw_only=True, slots=True)
class Listing:
    """What one look at the folder shows."""

    names: tuple[str, ...]
    """The names of all regular files."""

    foreign: tuple[str, ...] = ()
    """The names of entries that are no leases or pauses of this program. They count for nothing."""


class LeaseFolder:
    """The folder of one key. Every method raises OSError, except `remove` and `obstacle`.

    Its errno is ENOTDIR or ELOOP if something else is in the folder's place.
    """

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
        """Create the lease's file, and the folder too if somebody has deleted it.

        Raises:
            FileExistsError: another user has an entry of that name.
        """
        self._make_folder()
        try:
            self._touch(lease.name)
        except FileExistsError:
            # A call whose reply got lost may have created the file.
            status = (self.path / lease.name).lstat()
            if not _is_note(status) or status.st_uid != os.geteuid():
                raise

    def rename(self, old: Lease, new: Lease) -> None:
        """Replace a lease by its next version.

        Raises:
            FileExistsError: the new name is taken, by an entry that is not to be replaced.
            FileNotFoundError: the lease is gone.
        """
        if os.path.lexists(self.path / new.name):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(self.path))
        (self.path / old.name).rename(self.path / new.name)

    def remove(self, names: Iterable[str]) -> None:
        """Delete leases and pauses. One that cannot be deleted does no harm.

        What only has the name of one, such as a file that holds something, stays.
        """
        for name in names:
            with contextlib.suppress(OSError):
                if _is_note((self.path / name).lstat()):
                    (self.path / name).unlink()

    def take_claim(self, holder: str) -> bool:
        """Take the claim, and return whether this task holds it now. At most one does.

        A folder that has an entry already replaces an empty one, or none, by one rename. It cannot
        replace one that is not empty.
        """
        self._make_folder()
        own = self.path / f"{_CLAIM}.{holder}"
        try:
            own.mkdir()
            own.chmod(stat.S_IMODE(self.path.stat().st_mode))
            (own / holder).open("x").close()
            own.rename(self.path / _CLAIM)
        except OSError:  # held by another task, or a file system that knows no such rename
            with contextlib.suppress(OSError):
                (own / holder).unlink()
            with contextlib.suppress(OSError):
                own.rmdir()
            return False
        return True

    def give_back_claim(self, holder: str) -> None:
        """Give the claim back if that task holds it."""
        with contextlib.suppress(OSError):
            if _is_note((self.path / _CLAIM / holder).lstat()):
                (self.path / _CLAIM / holder).unlink()

    def claim_holders(self) -> list[str]:
        """Return who holds the claim: one task or none, unless strangers put entries there."""
        claim = self.path / _CLAIM
        try:
            return [] if claim.is_symlink() else [entry.name for entry in claim.iterdir()]
        except OSError:
            return []

    def look(self) -> Listing:
        """Return what is in the folder."""
        # Not through a link, and without waiting for whoever may write to a named pipe.
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        descriptor = os.open(self.path, flags)
        try:
            with os.scandir(descriptor) as entries:
                listed = [(entry.name, _is_regular(entry), _is_claim(entry)) for entry in entries]
        finally:
            os.close(descriptor)
        return Listing(
            names=tuple(name for name, is_regular, _ in listed if is_regular),
            foreign=tuple(
                name
                for name, is_regular, is_claim in listed
                if not (is_regular and (is_lease(name) or _is_pause(name)))
                and not is_claim
                and not name.startswith(_HIDDEN)
            ),
        )

    def write_pause(self, until: float) -> None:
        """Announce a pause to all tasks of the key.

        Args:
            until: its end in seconds since 1970, by the wall clock. An error of a second or two
                does no harm.
        """
        with contextlib.suppress(FileExistsError):  # a pause that another user has announced
            self._touch(f"{math.ceil(until)}{_PAUSE}")

    def obstacle(self) -> Path:
        """Return what is in the place of a folder, after such an error."""
        places = (*reversed(self.path.parents), self.path)
        return next((place for place in places if _is_obstacle(place)), self.path)

    def _make_folder(self) -> None:
        try:
            self._root.mkdir(parents=True, exist_ok=True)
        except FileExistsError:
            raise _not_a_folder(self._root) from None
        try:
            mode = stat.S_IMODE(self._root.stat().st_mode)
            self.path.mkdir(mode=mode)
            self.path.chmod(mode)  # the bits that the umask has removed
        except FileExistsError:
            # A link may lead into a folder of anybody's.
            if not stat.S_ISDIR(self.path.lstat().st_mode):
                raise _not_a_folder(self.path) from None

    def _touch(self, name: str) -> None:
        (self.path / name).open("x").close()  # exclusive: it follows no link and opens no pipe


def pause_until(names: Iterable[str], now: float) -> float:
    """Return when the last announced pause ends, by the wall clock; minus infinity without one."""
    ends = [end for end in _ends(names) if end <= now + LONGEST_PAUSE_SECONDS]
    return max(ends, default=-math.inf)


def expired_pauses(names: Iterable[str], now: float) -> list[str]:
    """Return the names of those pauses that ended long ago."""
    return [f"{end}{_PAUSE}" for end in _ends(names) if end < now - LONGEST_PAUSE_SECONDS]


def _ends(names: Iterable[str]) -> list[int]:
    return [int(name.removesuffix(_PAUSE)) for name in names if _is_pause(name)]


def _is_pause(name: str) -> bool:
    stem = name.removesuffix(_PAUSE)
    return name.endswith(_PAUSE) and stem.isascii() and stem.isdigit() and len(stem) < 16


def _is_regular(entry: os.DirEntry[str]) -> bool:
    """Tell whether an entry is a regular file; most file systems say so in the listing itself."""
    try:
        return entry.is_file(follow_symlinks=False)
    except OSError:
        return False


def _is_claim(entry: os.DirEntry[str]) -> bool:
    """Tell whether an entry is the claim, or what a task wanted to make the claim of."""
    try:
        return entry.name.split(".")[0] == _CLAIM and entry.is_dir(follow_symlinks=False)
    except OSError:
        return False


def _is_note(status: os.stat_result) -> bool:
    """Tell whether an entry can be a lease or a pause: these are empty files."""
    return stat.S_ISREG(status.st_mode) and status.st_size == 0


def _is_obstacle(place: Path) -> bool:
    return os.path.lexists(place) and not place.is_dir()


def _not_a_folder(path: Path) -> NotADirectoryError:
    return NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(path))
