"""Count the files and folders of a run."""

import os
from pathlib import Path


def count_inodes(folder: Path) -> int:
    """Return how many files and folders there are below a folder, itself included."""
    count, folders = 1, [os.fspath(folder)]
    while folders:
        try:
            entries = os.scandir(folders.pop())
        except FileNotFoundError:  # removed meanwhile
            continue
        with entries:
            for entry in entries:
                count += 1
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.path)
    return count
