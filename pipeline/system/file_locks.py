"""Take the lock of an open file, which ends with the file's last descriptor."""

import fcntl


def take_lock(descriptor: int) -> bool:
    """Take the lock, and return True; return False if somebody else holds it.

    Raises:
        OSError: the file system has no locks.
    """
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
