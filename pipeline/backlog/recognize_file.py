"""Look into a file to tell what it holds, whatever it is called."""

import os
from collections.abc import Sequence
from pathlib import Path

from msgspec.structs import replace

from pipeline import limits
from pipeline.backlog.decompress import DamagedCompressionError, read_beginning
from pipeline.backlog.file_formats import DATABASES, Compression, FileFormat, Recognized, Unreadable
from pipeline.backlog.recognize_content import recognize_compression, recognize_content

# Enough for the header of a wide table. One read of a network file system brings more.
_HEAD_BYTES = 8192
_COMMANDS = {
    Compression.GZIP: "gunzip",
    Compression.ZSTD: "unzstd",
    Compression.BZIP2: "bunzip2",
    Compression.XZ: "unxz",
    Compression.LZ4: "unlz4",
}


def recognize_file(path: Path, columns: Sequence[str]) -> tuple[Recognized, bytes]:
    """Return what a file holds, and its first bytes once decompressed.

    Args:
        path: the file. No more than its first few thousand bytes are read, or as many as are
            needed to decompress them.
        columns: what the source calls its columns.

    Raises:
        OSError: it cannot be read, or is no regular file.
    """
    with os.fdopen(limits.open_regular(path), "rb", buffering=_HEAD_BYTES) as stream:
        head = stream.read(_HEAD_BYTES)
        compression = recognize_compression(head)
        if compression is not Compression.NONE:
            stream.seek(0)
            try:
                head = read_beginning(stream, compression, _HEAD_BYTES)
            except DamagedCompressionError as error:
                return Unreadable(problem=str(error), advice="replace it with a good copy"), b""
    if compression is not Compression.NONE and recognize_compression(head) is not Compression.NONE:
        return Unreadable(problem="it is compressed twice", advice="decompress it once"), head
    is_whole = len(head) < _HEAD_BYTES
    recognized = recognize_content(head, path.name, columns, is_whole=is_whole)
    if isinstance(recognized, FileFormat) and compression is not Compression.NONE:
        if recognized.kind in DATABASES:
            return Unreadable(
                problem=f"it is a {recognized.kind} database compressed with {compression}",
                advice=f"decompress it, for example with {_COMMANDS[compression]} {path.name}",
            ), head
        recognized = replace(recognized, compression=compression)
    return recognized, head
