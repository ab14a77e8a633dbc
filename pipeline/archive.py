"""Read the files of a run that was archived: its folder holds them in one file, `archive.zip`.

The archive is a plain zip file with stored members, so each is a range of its bytes, and Parquet
files are read from it like from a folder. A file that lies in the folder itself goes before a
member of the same name: it was not archived yet, or was unpacked. A folder that is there hides no
member: somebody may have unpacked only a part of it.
"""

import contextlib
import errno
import hashlib
import os
import stat
import struct
import zipfile
import zlib
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import msgspec

from pipeline.errors import DamagedError
from pipeline.name_errors import naming

FILE_NAME = "archive.zip"
# `pipeline.run_files.manifest` reads files through this module, so its constant is not at hand.
_MANIFEST = "manifest.json"
CHUNK_BYTES = 1 << 20
# A run's files lie at most two folders below its own.
_LEVELS = 3
# PKWARE's APPNOTE 6.3.10, section 4.3.7: the signature, and the lengths of name and extra field.
_LOCAL_HEADER = struct.Struct("<4s22xHH")
_SIGNATURE = b"PK\x03\x04"
# One directory of 10,000 shards takes some 10 MB of memory and a quarter of a second.
_DIRECTORIES = 4


class DamagedArchiveError(DamagedError):
    """The archive of a run cannot be read as one, so that nothing is known about its files."""

    def __init__(self, archive: Path, problem: str) -> None:
        """Keep the file, and what is wrong with it."""
        root = archive.parent.parent
        super().__init__(
            archive,
            f"{problem}. Restore it from a backup. If all labels of the run are in the database, "
            f"or you do not need them, move the run's folder out of {root} instead",
        )


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """One file in an archive."""

    archive: Path
    header: int
    """Where its header begins, in bytes."""
    size: int
    """How many bytes it has."""
    crc: int
    """The CRC-32 of its bytes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Directory:
    """What is in an archive."""

    members: Mapping[str, Member]
    """By path below the run's folder."""
    names: Mapping[str, tuple[str, ...]] = field(repr=False)
    """The names in each folder, by its path below the run's folder; `` for the run's own."""


def archive_path(run_dir: Path) -> Path:
    """Return the file that holds the files of a run once it is archived."""
    return run_dir / FILE_NAME


def is_archived(run_dir: Path) -> bool:
    """Tell whether a run's folder has an archive, even one that cannot be read."""
    return os.path.lexists(archive_path(run_dir))


def find_member(path: Path) -> Member | None:
    """Return where an archive holds a file that is not in its folder; None if none does.

    Raises:
        DamagedError: the archive cannot be read as one.
        OSError: it cannot be read now.
    """
    for directory, inner in _directories_above(path):
        if member := directory.members.get(inner):
            return member
    return None


def names_in(folder: Path) -> tuple[str, ...]:
    """Return the sorted names that an archive holds in a folder of its run.

    Raises:
        DamagedError: the archive cannot be read as one.
        OSError: it cannot be read now.
    """
    for directory, inner in _directories_above(folder):
        if names := directory.names.get(inner):
            return names
    return ()


def members_of(archive: Path) -> Mapping[str, Member]:
    """Return all members of an archive, by their paths below the run's folder.

    Raises:
        DamagedError: it cannot be read as an archive.
        OSError: it cannot be read now, or is not there.
    """
    status = archive.stat()
    return _read_directory(archive, (status.st_size, status.st_mtime_ns, status.st_ino)).members


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """A file that is open for reading, or the part of an archive that holds it."""

    descriptor: int
    path: Path
    """The file, or the archive."""
    size: int
    """How many bytes it had when it was opened."""
    start: int = 0
    """Where it begins."""
    crc: int | None = None
    """The CRC-32 of its bytes; None if nobody knows. A file of its own may still grow."""

    def read(self, offset: int) -> bytes:
        """Return the next bytes; none at the end."""
        # Not FileIO.read: it takes EAGAIN for the end of the file.
        most = CHUNK_BYTES if self.crc is None else min(CHUNK_BYTES, self.size - offset)
        if most <= 0:
            return b""
        with naming(self.path):
            os.lseek(self.descriptor, self.start + offset, os.SEEK_SET)
            return os.read(self.descriptor, most)

    def chunks(self, offset: int = 0) -> Iterator[bytes]:
        """Yield the bytes from an offset on, piece by piece."""
        while chunk := self.read(offset):
            yield chunk
            offset += len(chunk)


@contextlib.contextmanager
def open_part(path: Path) -> Iterator[Part]:
    """Open a file where it is, or in the archive of its run.

    Raises:
        FileNotFoundError: it is in neither.
        DamagedError: it is no regular file, or the archive cannot be read as one.
        OSError: it cannot be opened now.
    """
    try:
        descriptor = _open(path)
    except FileNotFoundError:
        member = find_member(path)
        if member is None:
            raise
        with _opened_member(member) as part:
            yield part
        return
    try:
        if not stat.S_ISREG((status := os.fstat(descriptor)).st_mode):
            raise DamagedError(path, "it is not a file")
        yield Part(descriptor=descriptor, path=path, size=status.st_size)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _opened_member(member: Member) -> Iterator[Part]:
    descriptor = _open_archive(member.archive)
    try:
        start = _start_of(member, descriptor)
        yield Part(
            descriptor=descriptor,
            path=member.archive,
            size=member.size,
            start=start,
            crc=member.crc,
        )
    finally:
        os.close(descriptor)


def digest(path: Path) -> str:
    """Return the SHA-256 of a file's content, in hexadecimal. The errors are those of `opened`."""
    sha256 = hashlib.sha256()
    with open_part(path) as part:
        for chunk in part.chunks():
            sha256.update(chunk)
    return sha256.hexdigest()


def read_range(path: Path, offset: int, length: int) -> bytes:
    """Return some bytes of a file, fewer at its end. The errors are those of `opened`."""
    content = bytearray()
    with open_part(path) as part:
        for chunk in part.chunks(offset):
            content += chunk
            if len(content) >= length:
                break
    return bytes(content[:length])


def size_of(path: Path) -> int:
    """Return how many bytes a file has, or had before it was archived.

    Raises:
        FileNotFoundError: it is neither there nor in an archive.
        OSError: it cannot be inspected now.
    """
    try:
        return path.stat().st_size
    except FileNotFoundError:
        member = find_member(path)
        if member is None:
            raise
        return member.size


def copy_archived(path: Path, target: Path) -> bool:
    """Copy a file out of an archive; return False if it is in none, or lies in its folder.

    Raises:
        DamagedError: the archive cannot be read as one.
        OSError: it cannot be read now, or the copy cannot be written.
    """
    member = None if path.exists() else find_member(path)
    if member is None:
        return False
    copy_member(member, target)
    return True


def copy_member(member: Member, target: Path) -> None:
    """Copy a file out of an archive.

    Raises:
        DamagedError: its bytes are not those that were archived.
        OSError: it cannot be read now, or the copy cannot be written.
    """
    crc = 0
    with _opened_member(member) as part, naming(target), target.open("wb") as stream:
        for chunk in part.chunks():
            crc = zlib.crc32(chunk, crc)
            stream.write(chunk)
    if crc != member.crc:
        raise DamagedArchiveError(member.archive, "the bytes of a member are not those of its file")


def digest_member(member: Member) -> str:
    """Return the SHA-256 of a file in an archive, in hexadecimal.

    Raises:
        DamagedError: the archive is damaged there.
        OSError: it cannot be read now.
    """
    sha256 = hashlib.sha256()
    with _opened_member(member) as part:
        for chunk in part.chunks():
            sha256.update(chunk)
    return sha256.hexdigest()


def _open(path: Path) -> int:
    # Opening a named pipe would wait for its writer.
    return os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)


def _open_archive(archive: Path) -> int:
    """Open an archive for reading, and return its descriptor.

    Raises:
        DamagedArchiveError: it is no regular file.
    """
    descriptor = _open(archive)
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return descriptor
    os.close(descriptor)
    raise DamagedArchiveError(archive, "it is not a regular file")


def _start_of(member: Member, descriptor: int) -> int:
    """Return where the bytes of a member begin in its archive, which `descriptor` has open.

    Raises:
        DamagedError: its header is not there.
    """
    with naming(member.archive):
        header = os.pread(descriptor, _LOCAL_HEADER.size, member.header)
    if len(header) == _LOCAL_HEADER.size:
        signature, name, extra = _LOCAL_HEADER.unpack(header)
        if signature == _SIGNATURE:
            return int(member.header + _LOCAL_HEADER.size + name + extra)
    raise DamagedArchiveError(member.archive, "the header of a member is not where it should be")


def _directories_above(path: Path) -> list[tuple[_Directory, str]]:
    """Return the directory of the archive of each folder above a path, and the path in it."""
    found = []
    for folder in path.parents[:_LEVELS]:
        archive = folder / FILE_NAME
        try:
            # A link to a disk that is not mounted hides the files as a folder without any would.
            status = archive.lstat()
            if stat.S_ISLNK(status.st_mode):
                status = archive.stat()
        except (FileNotFoundError, NotADirectoryError):
            if archive.is_symlink() and (folder / _MANIFEST).exists():
                raise DamagedArchiveError(
                    archive, "it is a link to a file that is not there"
                ) from None
            continue
        if not (folder / _MANIFEST).exists():
            continue  # such as a file of the user in the run root or the project
        stamp = status.st_size, status.st_mtime_ns, status.st_ino
        found.append((_read_directory(archive, stamp), path.relative_to(folder).as_posix()))
    return found


@lru_cache(maxsize=_DIRECTORIES)
def _read_directory(archive: Path, stamp: tuple[int, int, int]) -> _Directory:
    """Return what is in an archive. The stamp makes sure that another file is read again."""
    members: dict[str, Member] = {}
    names: dict[str, set[str]] = defaultdict(set)
    try:
        with os.fdopen(_open_archive(archive), "rb") as stream, zipfile.ZipFile(stream) as file:
            entries = file.infolist()
    except (zipfile.BadZipFile, ValueError, EOFError, struct.error, UnicodeDecodeError) as error:
        # zipfile reports an archive that cannot be read as one that is no zip file.
        reader = error.__context__
        if isinstance(reader, OSError) and reader.errno != errno.EINVAL:
            raise OSError(reader.errno, reader.strerror, str(archive)) from error
        raise DamagedArchiveError(archive, "it is not a zip file") from error
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(archive)) from error
    for entry in entries:
        if entry.is_dir():
            continue
        if entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & 1:
            raise DamagedArchiveError(
                archive, f"its member {entry.filename} is compressed or encrypted"
            )
        members[entry.filename] = Member(
            archive=archive, header=entry.header_offset, size=entry.file_size, crc=entry.CRC
        )
        inner = entry.filename
        while inner:
            folder, _, name = inner.rpartition("/")
            names[folder].add(name)
            inner = folder
    return _Directory(
        members=members, names={folder: tuple(sorted(each)) for folder, each in names.items()}
    )
