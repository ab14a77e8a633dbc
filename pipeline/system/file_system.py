"""Name the file system of a path."""

from pathlib import Path

from pipeline.late_imports import psutil


def describe_file_system(path: Path) -> str:
    """Return what a path is on, such as `the lustre file system at /scratch`.

    Where that cannot be found out, it is `its file system`.
    """
    place = path.resolve()
    mounts = [
        mount
        for mount in psutil.disk_partitions(all=True)
        if place.is_relative_to(mount.mountpoint)
    ]
    if not mounts:
        return "its file system"
    # Of several mounts at one place, the last one covers the others.
    innermost = max(reversed(mounts), key=lambda mount: len(mount.mountpoint))
    return f"the {innermost.fstype} file system at {innermost.mountpoint}"
