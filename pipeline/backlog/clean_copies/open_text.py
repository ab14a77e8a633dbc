"""Open a text file of a source: decompressed, decoded, with marks where bytes are not text."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from pipeline.backlog.clean_copies.marks import DECODE_MARKED
from pipeline.backlog.decompress import open_decompressed
from pipeline.backlog.file_formats import UTF_16_MARKS, Compression

_BOM_BYTES = 2


@contextmanager
def open_text(path: Path, compression: Compression) -> Iterator[IO[str]]:
    """Yield the text of a file, its line ends unchanged.

    It is UTF-8, with or without a byte order mark, or UTF-16 with one.

    Raises:
        DamagedCompressionError: the file cannot be decompressed.
        OSError: it cannot be read.
    """
    encoding = "utf-16" if is_utf_16(path, compression) else "utf-8-sig"
    with (
        open_decompressed(path, compression) as stream,
        io.TextIOWrapper(stream, encoding=encoding, errors=DECODE_MARKED, newline="") as text,
    ):
        yield text


def is_utf_16(path: Path, compression: Compression) -> bool:
    """Return whether a file begins with the byte order mark of UTF-16."""
    with open_decompressed(path, compression) as stream:
        return stream.read(_BOM_BYTES) in UTF_16_MARKS
