"""Compare the disk space and the inodes that a run needs with what is free."""

import os
from dataclasses import dataclass
from pathlib import Path

from hpc.checks.finding import Finding, Part, error, ok, warning
from hpc.checks.run_root import nearest_folder
from pipeline.text import counted, format_bytes

# Upper estimates. The run of the quickstart takes 130 bytes per post when it is done (2,980 short
# posts, 2 labels). Posts of up to 300 characters, tens of labels, and parts and journals until they
# are published need many times as much.
POST_BYTES = 2_000
# A response of Perspective with all attributes, compressed.
RAW_BYTES = 2_000
LABEL_BYTES = 1_000
# Its shard, output, work folder, checkpoint part, journal, heartbeat, record and logs. Once it is
# gathered, a few of them are packed.
SHARD_FILES = 12
RUN_FILES = 20
_SPARE = 2
# The estimates are rough. With less than this share of them, a run fails for sure.
_LEAST_SHARE = 4


@dataclass(frozen=True, kw_only=True, slots=True)
class Need:
    """What a run needs at most, about."""

    bytes_of_run: int
    bytes_of_database: int
    files: int


@dataclass(frozen=True, kw_only=True, slots=True)
class SeenDisk:
    """What a file system has left."""

    place: Path
    """The folder that was asked about."""
    device: int
    """Equal for places on the same file system."""
    free_bytes: int
    free_files: int | None
    """None where the file system does not count them."""


def estimate_need(*, posts: int, shards: int, keeps_raw: bool) -> Need:
    """Return what a run of this many posts and shards needs.

    Args:
        posts: how many posts the run has.
        shards: how many shards.
        keeps_raw: whether it keeps each response.
    """
    return Need(
        bytes_of_run=posts * (POST_BYTES + (RAW_BYTES if keeps_raw else 0)),
        bytes_of_database=posts * LABEL_BYTES,
        files=shards * (SHARD_FILES + keeps_raw) + RUN_FILES,
    )


def observe_disk(path: Path) -> SeenDisk | None:
    """Return what is free where a file or folder is or will be; None if nobody can tell."""
    place = nearest_folder(path)
    try:
        disk, status = os.statvfs(place), place.stat()
    except OSError:
        return None
    return SeenDisk(
        place=place if place.is_dir() else place.parent,
        device=status.st_dev,
        free_bytes=disk.f_bavail * disk.f_frsize,
        free_files=disk.f_favail if disk.f_files else None,
    )


def judge_disk(
    need: Need, run_root: SeenDisk | None, database: SeenDisk | None, *, has_quota: bool
) -> list[Finding]:
    """Say whether the run and its labels fit.

    Args:
        need: what they need.
        run_root: what is free for the run.
        database: what is free for the labels.
        has_quota: whether a quota that cannot be seen may allow less.
    """
    if run_root is None or database is None:
        return [ok(Part.DISK, "the file system does not say how much room it has")]
    wanted = {run_root.device: need.bytes_of_run}
    wanted[database.device] = wanted.get(database.device, 0) + need.bytes_of_database
    disks = {run_root.device: run_root, database.device: database}
    return [
        _judge_bytes(disks[device], amount, has_quota=has_quota)
        for device, amount in wanted.items()
    ]


def _judge_bytes(disk: SeenDisk, wanted: int, *, has_quota: bool) -> Finding:
    message = (
        f"about {format_bytes(wanted)} needed, {format_bytes(disk.free_bytes)} free on the file "
        f"system of {disk.place}"
        f"{_quota(has_quota)}"
    )
    remedy = "make room, or set storage.run_root and storage.database to a larger file system"
    if disk.free_bytes < wanted / _LEAST_SHARE:
        return error(Part.DISK, message, remedy)
    if disk.free_bytes < _SPARE * wanted:
        return warning(Part.DISK, f"{message}, which is tight", remedy)
    return ok(Part.DISK, message)


def judge_inodes(need: Need, run_root: SeenDisk | None, *, has_quota: bool) -> list[Finding]:
    """Say whether the file system takes as many files as the run creates."""
    if run_root is None or run_root.free_files is None:
        return [ok(Part.INODES, f"{_files(need)}; the file system does not count its files")]
    message = (
        f"{_files(need)}, {run_root.free_files:,} free on the file system of {run_root.place}"
        f"{_quota(has_quota)}"
    )
    remedy = "raise sharding.rows_per_shard for fewer shards, or delete files that you do not need"
    if run_root.free_files < need.files / _LEAST_SHARE:
        return [error(Part.INODES, message, remedy)]
    if run_root.free_files < _SPARE * need.files:
        return [warning(Part.INODES, f"{message}, which is tight", remedy)]
    return [ok(Part.INODES, message)]


def _files(need: Need) -> str:
    return f"about {counted(need.files, 'file')} needed"


def _quota(has_quota: bool) -> str:
    return " (your own quota may be smaller, and cannot be seen from here)" if has_quota else ""
