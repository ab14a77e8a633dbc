"""A shared folder as one node sees it through a cache of its own, as NFS's: some seconds late.

    python -m tests.slurm.private_cluster.late_folder SOURCE MOUNTPOINT SECONDS [COMMAND...]

Mounts SOURCE by FUSE, for COMMAND if there is one, and until that has ended. Names, listings and
attributes, also that there is no such file, are what they were at a moment in the last SECONDS.
Three things a node is sure of, as nfs(5) has them: a name that it changes itself shows at once,
and the whole folder anew with it; a file that it opens is read anew; a lock holds on all nodes.
And where it removes a file that it has open, another is there in its place until it is closed.
"""

import ctypes
import fcntl
import os
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from mfusepy import FUSE, Operations

T = TypeVar("T")
ATTRIBUTES = ("st_mode", "st_ino", "st_nlink", "st_uid", "st_gid", "st_size", "st_blocks")
DIE_WITH_PARENT = 1  # PR_SET_PDEATHSIG, prctl(2)
CLOSING_S = 2.0  # a file counts as open if it still is so long after; FUSE tells of it late


class Glances:
    """What was seen in the last `late` seconds, by folder; that there is nothing is seen as well.

    A folder's own attributes belong to the folder that it is in, its listing to itself.
    """

    def __init__(self, late: float) -> None:
        self._late = late
        self._seen: dict[str, dict[str, tuple[float, Any]]] = {}
        self._lock = threading.Lock()

    def attributes(self, path: str, read: Callable[[], T]) -> T:
        folder, name = _split(path)
        return self._look(folder, f"/{name}", read)

    def names(self, path: str, read: Callable[[], T]) -> T:
        return self._look(path, "names", read)

    def _look(self, folder: str, what: str, read: Callable[[], T]) -> T:
        with self._lock:
            seen = self._seen.setdefault(folder, {})
            since, answer = seen.get(what, (-self._late, None))
            if time.monotonic() - since >= self._late:
                try:
                    answer = read()
                except OSError as error:
                    answer = error
                seen[what] = time.monotonic(), answer
        if isinstance(answer, OSError):
            raise OSError(answer.errno, answer.strerror)
        return answer

    def forget(self, path: str) -> None:
        """Its attributes are read anew."""
        folder, name = _split(path)
        with self._lock:
            self._seen.get(folder, {}).pop(f"/{name}", None)

    def forget_folder_of(self, path: str) -> None:
        """This node has changed a name: its folder, and what lies below the name, is seen anew."""
        folder, _ = _split(path)
        with self._lock:
            for known in list(self._seen):
                if known in (folder, path) or known.startswith(f"{path}/"):
                    del self._seen[known]
        self.forget(folder)


def _split(path: str) -> tuple[str, str]:
    folder, _, name = path.rpartition("/")
    return folder or "/", name


class OpenFiles:
    """Which files a node has open, by inode; what is removed meanwhile goes by another name."""

    def __init__(self) -> None:
        self._count: Counter[int] = Counter()
        self._removed: dict[int, Path] = {}
        self._lock = threading.Condition()

    def opened(self, descriptor: int) -> int:
        with self._lock:
            self._count[os.fstat(descriptor).st_ino] += 1
        return descriptor

    def closed(self, descriptor: int) -> None:
        inode = os.fstat(descriptor).st_ino
        os.close(descriptor)
        with self._lock:
            self._count[inode] -= 1
            if not self._count[inode] and (left := self._removed.pop(inode, None)):
                left.unlink(missing_ok=True)
            self._lock.notify_all()

    def move_away(self, path: Path) -> None:
        """What is to be removed, or replaced, if it is open."""
        try:
            inode = path.lstat().st_ino
        except FileNotFoundError:
            return
        with self._lock:
            if not self._lock.wait_for(lambda: not self._count[inode], CLOSING_S):
                self._removed[inode] = path.with_name(f".nfs{inode:016x}")
                path.rename(self._removed[inode])


class LateFolder(Operations):
    use_ns = True

    def __init__(self, source: Path, late: float) -> None:
        self._source = source
        self._glances = Glances(late)
        self._open = OpenFiles()

    def _at(self, path: str) -> Path:
        return self._source / path.lstrip("/")

    def getattr(self, path: str | None, fh: int | None = None) -> dict[str, Any]:
        def read() -> dict[str, Any]:
            stat = os.fstat(fh or 0) if path is None else self._at(path).lstat()
            times = {f"st_{letter}time": getattr(stat, f"st_{letter}time_ns") for letter in "amc"}
            return {name: getattr(stat, name) for name in ATTRIBUTES} | times

        return read() if path is None else self._glances.attributes(path, read)

    def readdir(self, path: str, fh: int) -> list[tuple[str, dict[str, int], int]]:
        def read() -> list[tuple[str, dict[str, int], int]]:
            with os.scandir(self._at(path)) as entries:
                inodes = {".": 1, "..": 1} | {entry.name: entry.inode() for entry in entries}
            return [(name, {"st_ino": inode}, 0) for name, inode in inodes.items()]

        return self._glances.names(path, read)

    def readlink(self, path: str) -> str:
        return str(self._at(path).readlink())

    def statfs(self, path: str) -> dict[str, int]:
        stat = os.statvfs(self._at(path))
        return {name: getattr(stat, name) for name in dir(stat) if name.startswith("f_")}

    def open(self, path: str, flags: int) -> int:
        self._glances.forget(path)
        return self._open.opened(os.open(self._at(path), flags))

    def read(self, path: str | None, size: int, offset: int, fh: int) -> bytes:
        return os.pread(fh, size, offset)

    def fsync(self, path: str, datasync: int, fh: int) -> None:
        os.fsync(fh)

    def flock(self, path: str, fh: int, op: int) -> None:
        fcntl.flock(fh, op)

    def release(self, path: str, fh: int) -> None:
        self._open.closed(fh)

    def write(self, path: str | None, data: bytes, offset: int, fh: int) -> int:
        return self._of_file(path, lambda: os.pwrite(fh, data, offset))

    def truncate(self, path: str | None, length: int, fh: int | None = None) -> None:
        self._of_file(path, lambda: os.truncate(fh or self._at(path or ""), length))

    def chmod(self, path: str, mode: int) -> None:
        self._of_file(path, lambda: self._at(path).chmod(mode))

    def chown(self, path: str, uid: int, gid: int) -> None:
        self._of_file(path, lambda: os.chown(self._at(path), uid, gid, follow_symlinks=False))

    def utimens(self, path: str, times: tuple[int, int] | None = None) -> None:
        self._of_file(path, lambda: os.utime(self._at(path), ns=times, follow_symlinks=False))

    def create(self, path: str, mode: int, fi: Any = None) -> int:
        flags = os.O_RDWR | os.O_CREAT
        descriptor = self._of_folder(lambda: os.open(self._at(path), flags, mode), path)
        return self._open.opened(descriptor)

    def mkdir(self, path: str, mode: int) -> None:
        self._of_folder(lambda: self._at(path).mkdir(mode), path)

    def rmdir(self, path: str) -> None:
        self._of_folder(self._at(path).rmdir, path)

    def unlink(self, path: str) -> None:
        self._open.move_away(self._at(path))
        self._of_folder(lambda: self._at(path).unlink(missing_ok=True), path)

    def rename(self, old: str, new: str) -> None:
        self._open.move_away(self._at(new))
        self._of_folder(lambda: self._at(old).rename(self._at(new)), old, new)

    def link(self, target: str, source: str) -> None:
        self._of_folder(lambda: self._at(target).hardlink_to(self._at(source)), target, source)

    def symlink(self, target: str, source: str) -> None:
        self._of_folder(lambda: self._at(target).symlink_to(source), target)

    def _of_file(self, path: str | None, change: Callable[[], T]) -> T:
        try:
            return change()
        finally:
            if path is not None:
                self._glances.forget(path)

    def _of_folder(self, change: Callable[[], T], *paths: str) -> T:
        try:
            return change()
        finally:
            for path in paths:
                self._glances.forget_folder_of(path)


def serve(source: Path, mountpoint: Path, late: float) -> None:
    """Until it is unmounted or told to end. The kernel keeps nothing: what is late is ours."""
    options: dict[str, Any] = {"attr_timeout": 0, "entry_timeout": 0, "negative_timeout": 0}
    options |= {"use_ino": True, "hard_remove": True}
    FUSE(LateFolder(source, late), str(mountpoint), foreground=True, **options)


def main(source: str, mountpoint: str, late: str, *command: str) -> None:
    before = Path(mountpoint).stat().st_dev
    if command and os.fork():
        while Path(mountpoint).stat().st_dev == before:
            time.sleep(0.02)
        os.execvp(command[0], command)
    if command:
        ctypes.CDLL(None).prctl(DIE_WITH_PARENT, signal.SIGTERM)
    serve(Path(source), Path(mountpoint), float(late))


if __name__ == "__main__":
    main(*sys.argv[1:])
