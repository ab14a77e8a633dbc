"""Report who owns a file and who else can write to it, and keep others out of new files."""

import contextlib
import errno
import grp
import os
import pwd
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec

DENIED = (errno.EACCES, errno.EPERM)
_ACCESS_LIST = "system.posix_acl_access"
# Everybody else: neither the owner nor the group.
_OTHERS = 0o007


class Writers(msgspec.Struct, frozen=True, kw_only=True):
    """Who besides this user and root can write to a file or folder."""

    who: str
    is_everybody: bool = False
    is_owner: bool = False
    """Whether it is the owner, whom no mode keeps out."""


def other_writers(path: Path) -> Writers | None:
    """Return who else can write to a file or folder; None if nobody can, or it is not there.

    A group that only its user is in counts as that user, as many systems give everybody one. The
    sticky bit keeps nobody from adding files. Access lists of NFS version 4 cannot be seen.
    """
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    if status.st_mode & stat.S_IWOTH:
        return Writers(who="everybody", is_everybody=True)
    if status.st_uid not in (os.geteuid(), 0):
        return Writers(who=f"its owner {user_name(status.st_uid)}", is_owner=True)
    if status.st_mode & stat.S_IWGRP:
        if _has_access_list(path):  # the bit is then the most that the list can allow to anybody
            return Writers(who="whoever its access list names")
        if not _is_private_group(status.st_gid):
            return Writers(who=f"group {group_name(status.st_gid)}")
    return None


def describe_mode(path: Path) -> str:
    """Return mode, owner and group of a file or folder, such as `drwxrwxr-x, user ana, group lab`.

    Raises OSError.
    """
    status = path.stat()
    owner, group = user_name(status.st_uid), group_name(status.st_gid)
    return f"{stat.filemode(status.st_mode)}, owner {owner}, group {group}"


class _PrivateBlocks:
    """The blocks of `private_files` that are open now, in all threads.

    The umask belongs to the process. If each block restored what it had found, two that overlap
    could leave the stricter umask behind.
    """

    lock = threading.Lock()
    count = 0
    former = 0
    """The umask before the first of them."""


@contextlib.contextmanager
def private_files() -> Iterator[None]:
    """Give others no permissions for files and folders that are created within the block.

    Blocks may be nested, and overlap in several threads. The last one restores the umask.
    """
    with _PrivateBlocks.lock:
        former = _forbid(_OTHERS)
        if not _PrivateBlocks.count:
            _PrivateBlocks.former = former
        _PrivateBlocks.count += 1
    try:
        yield
    finally:
        with _PrivateBlocks.lock:
            _PrivateBlocks.count -= 1
            if not _PrivateBlocks.count:
                os.umask(_PrivateBlocks.former)


def keep_others_out() -> None:
    """Give others no permissions for what this process creates from now on."""
    _forbid(_OTHERS)


def close_to_group() -> None:
    """Let the group write to no file or folder that this process creates from now on."""
    _forbid(stat.S_IWGRP)


def _forbid(bits: int) -> int:
    """Take permissions from all files and folders that are made from now on.

    Returns:
        The umask before that.
    """
    former = os.umask(_OTHERS | stat.S_IWGRP)
    os.umask(former | bits)
    return former


def _is_private_group(group: int) -> bool:
    """Tell whether only this user, or root, is in a group."""
    if group == 0:
        return True
    user = user_name(os.geteuid())
    try:
        entry = grp.getgrgid(group)
    except KeyError:
        return False
    return entry.gr_name == user and set(entry.gr_mem) <= {user}


def _has_access_list(path: Path) -> bool:
    try:
        return _ACCESS_LIST in os.listxattr(path)
    except OSError:  # the file system has none
        return False


def user_name(uid: int) -> str:
    """Return a user's name, or `user 1234` for one whom this machine does not know."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"


def group_name(gid: int) -> str:
    """Return a group's name, or `1234` for one that this machine does not know."""
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)


def describe_denial(path: Path) -> str:
    """Return who owns what keeps this user from using a path, and what to do about it.

    That is the file itself if it exists and is closed, or else the nearest folder that exists.
    """
    blamed, status = _find_closed(path)
    if status is None:
        return f"{path} cannot be used"
    owner = user_name(status.st_uid)
    group, mode = group_name(status.st_gid), stat.filemode(status.st_mode)
    whose = f"{blamed} ({mode}, group {group})"
    if status.st_uid == os.geteuid():
        return f"{whose} belongs to you, and you may not write to it: chmod u+rwX {blamed}"
    if status.st_gid in (os.getegid(), *os.getgroups()):
        return (
            f"{whose} belongs to {owner}, who can open it to the group: chmod -R g+rwX {blamed}. "
            "Files that are open from the start need umask 002: see docs/how-to/share-a-run.md"
        )
    return (
        f"{whose} belongs to {owner}, and you are not in its group: see docs/how-to/share-a-run.md"
    )


def _find_closed(path: Path) -> tuple[Path, os.stat_result | None]:
    """Return what is closed, and its status; None if nothing can be looked at."""
    nearest: tuple[Path, os.stat_result | None] = (path, None)
    for place in (path, *path.parents):
        try:
            status = place.stat()
        except OSError:
            continue
        is_folder = stat.S_ISDIR(status.st_mode)
        wanted = os.W_OK | os.X_OK if is_folder else os.R_OK | os.W_OK
        if not os.access(place, wanted):
            return place, status
        if nearest[1] is None:
            nearest = (place, status)
        if is_folder:
            break
    return nearest
