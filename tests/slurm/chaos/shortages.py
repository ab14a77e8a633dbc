"""What runs out while tasks work, and is there again after some heartbeats: room, inodes, file
descriptors. No task may die of it, and no answer that is paid for may be lost."""

import contextlib
import errno
import pathlib
import random
import resource
from collections.abc import Callable

from tests.slurm.chaos.deaths import find_victim
from tests.slurm.chaos.site import Done, Later, Site


def fill_the_disk(site: Site, chance: random.Random) -> Done:
    if site.disk_is_full or not site.running():
        return None
    site.ballast.mkdir()
    with contextlib.suppress(OSError), (site.ballast / "block").open("wb", buffering=0) as stream:
        for size in (1 << 20, 4096, 1):
            with contextlib.suppress(OSError):
                while stream.write(bytes(size)):
                    pass
    return "the disk is full", [_make_room(site, chance)]


def exhaust_the_inodes(site: Site, chance: random.Random) -> Done:
    """The disk has room, but no file can be created."""
    if site.disk_is_full or not site.running():
        return None
    site.ballast.mkdir()
    count = 0
    try:
        while True:
            (site.ballast / f"{count}").touch()
            count += 1
    except OSError as error:
        assert error.errno == errno.ENOSPC, error
    return f"the disk has no inodes, after {count} empty files", [_make_room(site, chance)]


def _make_room(site: Site, chance: random.Random) -> Later:
    site.disk_is_full = True

    def room() -> str:
        for path in site.ballast.iterdir():
            path.unlink()
        site.ballast.rmdir()
        site.disk_is_full = False
        return "the disk has room again"

    return Later(room, chance.uniform(4, 12))


def exhaust_the_descriptors(site: Site, chance: random.Random) -> Done:
    """A task may open no more files than it has open, connections included."""
    if not (victim := find_victim(site, chance)):
        return None
    task, pid = victim
    try:
        files = [path.readlink() for path in pathlib.Path(f"/proc/{pid}/fd").iterdir()]
        if not any(path.suffix == ".in-hand" for path in files):  # not at work yet
            return None
        is_open = len(files)
        before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (is_open, before[1]))
    except (FileNotFoundError, ProcessLookupError):
        return None
    raised = Later(_raise_limit(pid, before), chance.uniform(4, 12))
    return f"{task.name} may have no more than its {is_open} descriptors", [raised]


def _raise_limit(pid: int, limit: tuple[int, int]) -> Callable[[], str]:
    def back() -> str:
        with contextlib.suppress(ProcessLookupError):
            resource.prlimit(pid, resource.RLIMIT_NOFILE, limit)
        return "it may open files again"

    return back
