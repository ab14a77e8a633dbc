"""Choose the default grace time by the file system of the run root.

A file that a node wrote appears on the login node at once where both are the same machine, or where
the file system keeps all of its clients coherent. NFS caches names for up to a minute.
"""

import os
import re
from collections.abc import Iterable
from pathlib import Path

from hpc.run.cluster.resources import LONGEST_GRACE_S

# Slurm's accounting hears of an end some seconds after the controller does, and of a step that ran
# out of memory as well: a remedy that is chosen before that may be the wrong one.
SHOWN_AT_ONCE_S = 15.0
# Types as the kernel names them. GPFS, Lustre and BeeGFS lock what they cache.
_COHERENT = {"gpfs", "lustre", "beegfs", "fhgfs", "gfs2", "ocfs2"}
# Disks and memory of this machine: what sees them is on it. Nobody knows what is behind FUSE or an
# overlay, so they are left out.
_LOCAL = {"ext2", "ext3", "ext4", "xfs", "btrfs", "zfs", "f2fs", "jfs", "tmpfs", "ramfs"}
MOUNTS = Path("/proc/self/mountinfo")


def default_grace_seconds(folder: Path, mounts: Path = MOUNTS) -> float:
    """Return how long files in a folder may take to appear, by its file system.

    Args:
        folder: the folder, which need not exist yet.
        mounts: the file in which the kernel lists the mounts.
    """
    try:
        lines = mounts.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return LONGEST_GRACE_S
    # realpath looks at each part of the path, so that an automounted file system is listed first.
    shown_at_once = file_system_of(os.path.realpath(folder), lines) in _COHERENT | _LOCAL
    return SHOWN_AT_ONCE_S if shown_at_once else LONGEST_GRACE_S


def file_system_of(path: str, lines: Iterable[str]) -> str | None:
    """Return the type of the file system that holds a path; None if no line covers it.

    Args:
        path: an absolute path without links.
        lines: as in /proc/self/mountinfo, in the order in which they were mounted.
    """
    longest, kind = "", None
    for line in lines:
        before, _, after = line.partition(" - ")
        fields, types = before.split(" "), after.split(" ")
        if len(fields) < 5 or not types[0]:
            continue
        point = re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), fields[4])
        covers = path == point or path.startswith(f"{point.rstrip('/')}/")
        # A later mount at the same place hides the earlier one.
        if covers and len(point) >= len(longest):
            longest, kind = point, types[0]
    return kind
