"""Read compressed files: the beginning of one, or all of it into a plain file."""

import bz2
import gzip
import lzma
import os
import shutil
import zlib
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import IO, cast

import pyarrow as pa
from msgspec.structs import replace

from pipeline import limits
from pipeline.backlog.file_formats import TEXT_KINDS, Compression, SourceFile
from pipeline.errors import InputError

_READ_BY_DUCKDB = (Compression.NONE, Compression.GZIP, Compression.ZSTD)
_CHUNK_BYTES = 1 << 20
_NUMBERED = "{number:05}-{name}"


class DamagedCompressionError(Exception):
    """A compressed file cannot be decompressed; the message is a clause that says why."""


def read_beginning(stream: IO[bytes], compression: Compression, size: int) -> bytes:
    """Return the first bytes of what a stream holds once decompressed, at most `size`.

    Raises:
        DamagedCompressionError: it cannot be decompressed.
        OSError: it cannot be read.
    """
    with _decompress(stream, compression) as plain:
        return plain.read(size)


@contextmanager
def open_decompressed(path: Path, compression: Compression) -> Iterator[IO[bytes]]:
    """Yield the plain content of a file.

    Raises:
        DamagedCompressionError: it cannot be decompressed.
        OSError: it cannot be read.
    """
    with os.fdopen(limits.open_regular(path), "rb") as stream:
        if compression is Compression.NONE:
            yield stream
        else:
            with _decompress(stream, compression) as plain:
                yield plain


def needs_unpacking(file: SourceFile) -> bool:
    """Tell whether DuckDB cannot read a file as it is, because of its compression."""
    if file.kind in TEXT_KINDS:
        return file.format.compression not in _READ_BY_DUCKDB
    return file.format.compression is not Compression.NONE


def unpack(file: SourceFile, folder: Path) -> SourceFile:
    """Write a decompressed copy of a file into a folder, and return the copy.

    Raises:
        InputError: the file is damaged; the message names it.
        OSError: it cannot be read, or the disk is full.
    """
    number = sum(1 for _ in folder.iterdir())
    target = folder / _NUMBERED.format(number=number, name=file.path.stem)
    try:
        with (
            os.fdopen(limits.open_regular(file.path), "rb") as stream,
            _decompress(stream, file.format.compression) as plain,
            target.open("xb") as copy,
        ):
            shutil.copyfileobj(plain, copy, _CHUNK_BYTES)
    except DamagedCompressionError as error:
        raise InputError(
            f"backlog.source: {file.path}: {error}: replace it with a good copy"
        ) from None
    return SourceFile(path=target, format=replace(file.format, compression=Compression.NONE))


@contextmanager
def _decompress(stream: IO[bytes], compression: Compression) -> Iterator[IO[bytes]]:
    try:
        with closing(_open(stream, compression)) as plain:
            yield plain
    except (EOFError, zlib.error, lzma.LZMAError, pa.ArrowException) as error:
        raise _damaged_error(compression, error) from None
    except OSError as error:
        if error.errno is not None:
            raise
        raise _damaged_error(compression, error) from None


def _damaged_error(compression: Compression, error: Exception) -> DamagedCompressionError:
    return DamagedCompressionError(
        f"it is {compression} data that cannot be decompressed ({error})"
    )


def _open(stream: IO[bytes], compression: Compression) -> IO[bytes]:
    match compression:
        case Compression.GZIP:
            return cast(IO[bytes], gzip.GzipFile(fileobj=stream))
        case Compression.BZIP2:
            return bz2.open(stream)
        case Compression.XZ:
            return lzma.open(stream)
        case _:
            return cast(IO[bytes], pa.CompressedInputStream(stream, str(compression)))
