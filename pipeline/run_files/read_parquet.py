"""Read Parquet files, and tell what is wrong with a file from what is wrong with its reader.

A stale NFS handle, exhausted memory or a missing permission says nothing about a file's content:
the file stays where it is, and what it holds still counts. Only bytes that were read without an
error, twice, and could not be decoded either time prove that a file is damaged. pyarrow raises
OSError for both. So the bytes are read here, and pyarrow decodes them from memory.
"""

import errno
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import pyarrow as pa

from pipeline import files
from pipeline.errors import DamagedError, UnreadableError
from pipeline.late_imports import arrow_parquet as pq

if TYPE_CHECKING:
    from pyarrow.parquet import FileMetaData

T = TypeVar("T")

_TAIL_BYTES = 64 << 10
_MAGIC = b"PAR1"
_END_BYTES = 8  # the footer's length and the magic number
UNDECODABLE = (OSError, ValueError, pa.ArrowException)
"""What decoding damaged bytes raises; a damaged name raises UnicodeDecodeError, a ValueError."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Footer:
    """What a Parquet file says about itself."""

    rows: int
    schema: pa.Schema
    """With the metadata that the writer added to it."""
    metadata: "FileMetaData" = field(compare=False)
    """With the statistics of its columns."""


def read_table(
    path: Path,
    *,
    columns: Sequence[str] | None = None,
    sha256: str | None = None,
    pauses: Sequence[float] = files.READ_PAUSES,
) -> pa.Table:
    """Return a whole file as a table, after verifying the checksum of every page.

    Args:
        path: the file.
        columns: which columns to decode; None for all.
        sha256: what the content's SHA-256 must be, in hexadecimal; None if nobody knows.
        pauses: seconds to wait before each new try to read the file.

    Raises:
        FileNotFoundError: the file is not there.
        UnreadableError: the file cannot be read now; nothing is known about its content.
        DamagedError: the content cannot be decoded, or is not the one of this checksum.
    """

    def decode(content: bytearray) -> pa.Table:
        if sha256 is not None and (actual := hashlib.sha256(content).hexdigest()) != sha256:
            raise DamagedError(path, f"its sha256 is {actual}, but must be {sha256}")
        return decode_table(content, columns=columns)

    return decode_twice(path, decode, lambda: files.read_whole(path, pauses=pauses))


def decode_table(content: bytes | bytearray, *, columns: Sequence[str] | None = None) -> pa.Table:
    """Return a file's content as a table, after verifying the checksum of every page."""
    # Without threads: the system may refuse to start any.
    # Nor does what is in memory need a buffer.
    with pq.ParquetFile(
        pa.BufferReader(content), page_checksum_verification=True, pre_buffer=False
    ) as file:
        return file.read(columns=None if columns is None else list(columns), use_threads=False)


def read_footer(path: Path, *, pauses: Sequence[float] = files.READ_PAUSES) -> Footer:
    """Return what a file's footer says; reads nothing but the end of the file.

    Raises:
        FileNotFoundError: the file is not there.
        UnreadableError: the file cannot be read now; nothing is known about its content.
        DamagedError: the footer cannot be decoded.
    """
    return decode_twice(path, decode_footer, lambda: read_end(path, pauses=pauses))


def decode_footer(content: bytearray) -> Footer:
    """Return what the footer at the end of this content says."""
    metadata = pq.read_metadata(pa.BufferReader(content))
    schema = metadata.schema.to_arrow_schema()
    return Footer(rows=metadata.num_rows, schema=schema, metadata=metadata)


def decode_twice(path: Path, decode: Callable[[bytearray], T], read: Callable[[], bytearray]) -> T:
    """Return a file's decoded content; what was read wrongly once is read again.

    Args:
        path: the file, for the message.
        decode: decodes the bytes; raises OSError, ValueError or ArrowException if it cannot.
        read: returns the bytes; raises UnreadableError if it cannot.

    Raises:
        FileNotFoundError: the file is not there.
        UnreadableError: the file cannot be read now, it changed between two reads, or the memory
            to decode it is missing.
        DamagedError: the same bytes were read both times, and could not be decoded.
    """
    first = read()
    try:
        return _decode(path, decode, first)
    except DamagedError:
        files.forget_cached_pages(path)
    again = read()
    try:
        return _decode(path, decode, again)
    except DamagedError:
        if again == first:
            raise
        changed = OSError(errno.EBUSY, "it changed while it was read")
        raise UnreadableError(path, changed) from None


def _decode(path: Path, decode: Callable[[bytearray], T], content: bytearray) -> T:
    try:
        return decode(content)
    except MemoryError as error:  # ArrowMemoryError too
        raise UnreadableError(path, error) from error
    except UNDECODABLE as error:
        raise DamagedError(path, f"it cannot be decoded: {error}") from error
    except RuntimeError as error:  # no thread can be started
        raise UnreadableError(path, error) from error


def read_end(path: Path, *, pauses: Sequence[float] = files.READ_PAUSES) -> bytearray:
    """Return the end of a file, the whole footer included; less if the file is no Parquet file."""
    tail = files.read_whole(path, last_bytes=_TAIL_BYTES, pauses=pauses)
    end = tail[-_END_BYTES:]
    if end[-len(_MAGIC) :] != _MAGIC:
        return tail
    needed = int.from_bytes(end[:4], "little") + _END_BYTES
    if needed <= len(tail):
        return tail
    return files.read_whole(path, last_bytes=needed, pauses=pauses)
