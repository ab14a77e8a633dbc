"""Look at the folder of the runs: who can write to it, and whether it can hold files and locks."""

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from hpc.checks.finding import Finding, Part, error, ok, warning
from hpc.config.grace_time import MOUNTS, file_system_of
from hpc.reconcile.checks.trust import check_root
from pipeline.errors import InputError
from pipeline.system.file_locks import take_lock
from pipeline.system.ownership import DENIED, describe_denial

# What sees these is on one machine, unless that machine exports them.
_OF_ONE_MACHINE = frozenset({"tmpfs", "ramfs", "ext4", "ext3", "xfs", "btrfs", "overlay"})
_KNOWN = frozenset({"nfs", "nfs4", "gpfs", "lustre", "beegfs", "fhgfs", "cifs", "ceph"})


@dataclass(frozen=True, kw_only=True, slots=True)
class SeenFolder:
    """What was seen of the run root, or of the folder in which it will be created."""

    root: Path
    exists: bool
    file_system: str
    """Its type as the kernel names it; '' if nobody knows."""
    distrust: str = ""
    """Why it is not safe to use; '' if it is."""
    write_problem: str = ""
    """Why no file can be created and locked there; '' if one can."""

    @property
    def is_of_one_machine(self) -> bool:
        """Tell whether other machines usually cannot see it."""
        return self.file_system in _OF_ONE_MACHINE

    @property
    def is_shared(self) -> bool:
        """Tell whether it is of a kind that machines share, on which quotas are usual."""
        return self.file_system in _KNOWN


def observe_folder(root: Path, *, trusts_group: bool) -> SeenFolder:
    """Look at a folder. A probe file is created, locked and removed again."""
    distrust = ""
    try:
        check_root(root, trusts_group=trusts_group)
    except InputError as problem:
        distrust = str(problem)
    exists = root.is_dir()
    return SeenFolder(
        root=root,
        exists=exists,
        file_system=_file_system(root),
        distrust=distrust,
        write_problem=_try_to_write(root),
    )


def nearest_folder(path: Path) -> Path:
    """Return the folder itself, or the nearest one above it that exists."""
    return next(place for place in (path, *path.parents) if place.exists())


def _file_system(root: Path) -> str:
    try:
        lines = MOUNTS.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return ""
    return file_system_of(os.path.realpath(root), lines) or ""


def _try_to_write(root: Path) -> str:
    """Return why a file cannot be created and locked in a folder, or in the one above it."""
    place = nearest_folder(root)
    if not place.is_dir():
        return f"{place} is not a folder"
    try:
        with tempfile.NamedTemporaryFile(prefix=".hpc-check-", dir=place) as probe:
            probe.write(b"hpc check")
            probe.flush()
            os.fsync(probe.fileno())
            take_lock(probe.fileno())
    except OSError as failure:
        if failure.errno in DENIED:
            return describe_denial(place)
        return f"{place}: {failure.strerror}"
    return ""


def judge_folder(seen: SeenFolder, *, has_nodes: bool, is_proven: bool) -> list[Finding]:
    """Say whether the run root can be used.

    Args:
        seen: what was seen of it.
        has_nodes: whether the tasks run on other machines.
        is_proven: whether a job on a node looks at it too.
    """
    if seen.distrust:
        return [
            error(
                Part.RUN_ROOT,
                seen.distrust,
                "close the folder to other users (chmod), or set storage.run_root",
            )
        ]
    if seen.write_problem:
        remedy = "make room or get access there, or name another folder in storage.run_root"
        return [error(Part.RUN_ROOT, seen.write_problem, remedy)]
    kind = f" on {seen.file_system}" if seen.file_system else ""
    state = "can be written and locked" if seen.exists else "will be created"
    message = f"{seen.root} {state}{kind}"
    if has_nodes and seen.is_of_one_machine and not is_proven:
        return [
            warning(
                Part.RUN_ROOT,
                f"{message}, which other machines usually cannot see",
                "hpc check --node shows whether the nodes see it. If they do not, set "
                "storage.run_root to a folder on a shared file system",
            )
        ]
    return [ok(Part.RUN_ROOT, message)]
