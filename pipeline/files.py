"""Write files that appear whole or not at all: a temporary file beside the target, fsync, rename.

A task that is killed in the middle of a write, or a full disk, then leaves the old state and at
most a `.tmp-` file that nobody reads. POSIX rename is atomic within one file system, on NFS and
GPFS too.

What is read tells a file that cannot be read now from one that is missing or damaged. The files of
an archived run are read from its archive.
"""

import contextlib
import errno
import hashlib
import json
import os
import time
import uuid
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from itertools import chain, count
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa

from pipeline import archive, limits
from pipeline.errors import DamagedError, UnreadableError
from pipeline.late_imports import arrow_parquet as pq
from pipeline.name_errors import naming

T = TypeVar("T")

TEMPORARY_PREFIX = ".tmp-"

# How long to wait before each new try to read a file that cannot be read now, in seconds.
READ_PAUSES = (0.1, 0.4)
_CHUNK_BYTES = 1 << 20
_SYNCS_AT_ONCE = 16
# What the next try meets again, and only a person can change.
LASTING = frozenset(
    {errno.EACCES, errno.EPERM, errno.ELOOP, errno.ENAMETOOLONG, errno.ENOTDIR, errno.ENXIO}
)


def needs_person(error: UnreadableError) -> bool:
    """Tell whether only a person can make a file readable, such as by giving permission."""
    return isinstance(error.reason, OSError) and error.reason.errno in LASTING


@contextlib.contextmanager
def appearing_whole(target: Path, *, sync: bool = True) -> Iterator[Path]:
    """Yield a temporary path beside `target`, and rename it onto `target` if the block succeeds.

    Args:
        target: the file to write.
        sync: False for a file that is worth nothing after the machine has crashed.
    """
    temporary = target.with_name(f"{TEMPORARY_PREFIX}{uuid.uuid4().hex}-{target.name}")
    try:
        yield temporary
        if sync:
            with naming(target):
                _sync(temporary)
        temporary.replace(target)
    except BaseException:
        with contextlib.suppress(OSError):  # the first error says more
            temporary.unlink(missing_ok=True)
        raise
    if sync:
        _sync_named(target.parent)


def write_text(target: Path, text: str) -> None:
    """Write text as UTF-8."""
    with appearing_whole(target) as temporary, naming(target):
        temporary.write_text(text, encoding="utf-8")


def write_json(target: Path, document: Any) -> None:
    """Write a document as JSON, indented so that a person can read it."""
    write_text(target, json.dumps(document, indent=1, ensure_ascii=False) + "\n")


def write_new_json(target: Path, document: Any) -> None:
    """Write a document as JSON into a file that never changes from then on.

    Raises:
        FileExistsError: the file exists already.
    """
    _write_new(target, lambda temporary: write_json(temporary, document))


def write_new_parquet(target: Path, table: pa.Table) -> None:
    """Write a table as Parquet into a file that never changes from then on.

    Raises:
        FileExistsError: the file exists already.
    """
    _write_new(target, lambda temporary: write_parquet(temporary, table))


def write_new_bytes(target: Path, content: bytes) -> None:
    """Write bytes into a file that never changes from then on.

    Raises:
        FileExistsError: the file exists already.
    """

    def write(temporary: Path) -> None:
        with naming(target):
            temporary.write_bytes(content)
            _sync(temporary)

    _write_new(target, write)


def _write_new(target: Path, write: Callable[[Path], None]) -> None:
    temporary = target.with_name(f"{TEMPORARY_PREFIX}{uuid.uuid4().hex}-{target.name}")
    try:
        write(temporary)
        os.link(temporary, target)  # unlike a rename, it replaces nothing
    finally:
        temporary.unlink(missing_ok=True)
    _sync_named(target.parent)


def write_parquet(target: Path, table: pa.Table) -> None:
    """Write a table as Parquet."""
    write_tables(target, table.schema, [table])


def write_tables(target: Path, schema: pa.Schema, tables: Iterable[pa.Table]) -> None:
    """Write tables as the row groups of one Parquet file, holding one table in memory at a time.

    Pages have checksums, so that `gather` detects a damaged page as well as a truncated file.
    """
    with (
        appearing_whole(target) as temporary,
        pq.ParquetWriter(temporary, schema, compression="zstd", write_page_checksum=True) as writer,
    ):
        for table in tables:
            writer.write_table(table)


def overwrite(target: Path, content: bytes) -> None:
    """Replace the content of a small file in place, which takes no room on a full disk.

    Blanks follow, up to the former size. Somebody who reads at the same moment may see half of
    it.

    Raises:
        OSError: the file is not there, or cannot be written.
    """
    descriptor = os.open(target, os.O_WRONLY)
    try:
        padded = content.ljust(os.fstat(descriptor).st_size)
        if os.pwrite(descriptor, padded, 0) < len(padded):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(target))
    finally:
        os.close(descriptor)


def make_folder_of_run(folder: Path) -> None:
    """Create a folder two levels below a run's folder, but never the run's folder itself.

    A run may be moved or deleted while its tasks run. What they write at the old place is lost, so
    they should stop paying for it.

    Raises:
        FileNotFoundError: the run's folder is not there.
    """
    try:
        folder.parent.mkdir(exist_ok=True)
    except FileNotFoundError:
        problem = "the run was moved or deleted while this task ran"
        raise FileNotFoundError(errno.ENOENT, problem, str(folder.parent.parent)) from None
    folder.mkdir(exist_ok=True)


def read_whole(
    path: Path,
    *,
    last_bytes: int | None = None,
    most_bytes: int | None = None,
    pauses: Sequence[float] = READ_PAUSES,
) -> bytearray:
    """Return a file's content; a stale handle or an I/O error may pass, so try a few times.

    Args:
        path: the file.
        last_bytes: how many bytes to read from the end of the file; None for all.
        most_bytes: how large the file may be; None for any size.
        pauses: seconds to wait before each new try.

    Raises:
        FileNotFoundError: the file is not there.
        UnreadableError: the file cannot be read now; nothing is known about its content.
        DamagedError: it is no regular file, but a folder or a named pipe, or it is too large.
    """
    return _with_retries(path, lambda: _read(path, last_bytes, most_bytes), pauses)


def read_chunks(path: Path, *, pauses: Sequence[float] = READ_PAUSES) -> Iterator[bytes]:
    """Yield a file's content piece by piece, for a file that may not fit into memory.

    Raises:
        FileNotFoundError, UnreadableError, DamagedError: as `read_whole` does.
    """
    offset = 0
    while chunk := _with_retries(path, partial(_read_chunk, path, offset), pauses):
        yield chunk
        offset += len(chunk)


def names_in(folder: Path, *, pauses: Sequence[float] = READ_PAUSES) -> list[str]:
    """Return the sorted names in a folder and in the archive of its run; none if it has neither.

    Unlike `Path.glob`, this does not take a folder that denies access for an empty one.

    Raises:
        UnreadableError: the folder cannot be read now.
    """
    archived = _with_retries(folder, lambda: archive.names_in(folder), pauses)
    try:
        # 10 times as fast as iterdir.
        names = _with_retries(folder, lambda: os.listdir(folder), pauses)  # noqa: PTH208
    except FileNotFoundError:
        return list(archived)
    return sorted({*names, *archived})


def name_to_keep(path: Path, is_taken: Callable[[Path], bool] = Path.exists) -> Path:
    """Return an unused name beside a file under which it can be kept once it is replaced.

    Args:
        path: the file.
        is_taken: reports whether a name is in use.
    """
    stamp = f"{datetime.now(UTC):%Y%m%dT%H%M%S}"
    suffixes = chain([""], (f"-{number}" for number in count(2)))
    names = (path.with_name(f"{path.name}.replaced-{stamp}{suffix}") for suffix in suffixes)
    return next(name for name in names if not is_taken(name))


def with_ending(folder: Path, ending: str) -> list[Path]:
    """Return the files in a folder whose names have an ending, by name; hidden ones are left out.

    Raises:
        UnreadableError: the folder cannot be read now.
    """
    return [
        folder / name
        for name in names_in(folder)
        if name.endswith(ending) and not name.startswith(".")
    ]


def _with_retries(path: Path, read: Callable[[], T], pauses: Sequence[float]) -> T:
    for pause in pauses:
        try:
            return read()
        except FileNotFoundError:
            raise
        except (OSError, MemoryError) as error:
            if isinstance(error, OSError) and error.errno in LASTING:
                raise UnreadableError(_unreadable_file(path, error), error) from error
        time.sleep(pause)
    try:
        return read()
    except FileNotFoundError:
        raise
    except (OSError, MemoryError) as error:
        raise UnreadableError(_unreadable_file(path, error), error) from error


def _unreadable_file(path: Path, error: OSError | MemoryError) -> Path:
    """Return what an error is about: the file that was wanted, or the archive that has it."""
    name = error.filename if isinstance(error, OSError) else None
    if isinstance(name, str) and Path(name).name == archive.FILE_NAME:
        return Path(name)
    return path


def _read(path: Path, last_bytes: int | None, most_bytes: int | None) -> bytearray:
    with archive.open_part(path) as part:
        offset = 0 if last_bytes is None else max(0, part.size - last_bytes)
        content = bytearray()
        while chunk := part.read(offset + len(content)):
            content += chunk
            if most_bytes is not None and len(content) > most_bytes:
                raise DamagedError(path, f"it is larger than {limits.in_words(most_bytes)}")
        if part.crc is not None and offset == 0 and zlib.crc32(content) != part.crc:
            raise DamagedError(path, f"its bytes in {archive.FILE_NAME} are not those of the file")
        return content


def _read_chunk(path: Path, offset: int) -> bytes:
    with archive.open_part(path) as part:
        return part.read(offset)


def forget_cached_pages(path: Path) -> None:
    """Let the next read come from the disk or the server, as far as the system can do that."""
    with contextlib.suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        try:
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(descriptor)


def delete(path: Path) -> bool:
    """Delete a file that is of no use any more; return False if the file system does not let us."""
    try:
        path.unlink(missing_ok=True)
    except OSError:
        return False
    return True


def sync_all(paths: Iterable[Path]) -> None:
    """Return when files and folders would survive a power failure.

    A disk writes many files at once in hardly more time than one of them. A sync of all file
    systems would be as quick, but on a shared machine it waits for everybody's files.

    Raises:
        OSError: a file is gone, or the disk reports an error.
    """
    with ThreadPoolExecutor(_SYNCS_AT_ONCE) as pool:
        for _ in pool.map(_sync_named, paths):
            pass


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file's content, in hexadecimal.

    Raises:
        OSError: the file is not there, or cannot be read now.
    """
    try:
        with naming(path), os.fdopen(limits.open_regular(path), "rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except FileNotFoundError:
        return archive.digest(path)


def _sync_named(path: Path) -> None:
    with naming(path):
        _sync(path)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
