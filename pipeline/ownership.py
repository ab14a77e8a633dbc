"""Say whose file it is that may not be used, and what to do, for people who share folders."""

import errno
import grp
import os
import pwd
import stat
from pathlib import Path

DENIED = (errno.EACCES, errno.EPERM)


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
    blamed, status = _closed(path)
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


def _closed(path: Path) -> tuple[Path, os.stat_result | None]:
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
