"""Keep the files of a source readable: by copies of those that DuckDB cannot read as they are."""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import duckdb
import pyarrow as pa
from msgspec.structs import replace

from pipeline.backlog.clean_copies.clean_csv import copy_csv
from pipeline.backlog.clean_copies.clean_json import copy_json
from pipeline.backlog.clean_copies.clean_parquet import copy_parquet
from pipeline.backlog.clean_copies.open_text import is_utf_16, open_text
from pipeline.backlog.decompress import DamagedCompressionError, needs_unpacking, unpack
from pipeline.backlog.file_formats import TEXT_KINDS, Compression, SourceFile, SourceKind
from pipeline.backlog.formats.file_table import ReadableFile
from pipeline.errors import InputError


class ReadableFiles:
    """The files of a source as DuckDB can read them, and their copies in a temporary folder.

    The folder is on the disk to which the DuckDB session spills, since a copy may be large.
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Prepare; nothing is copied yet."""
        self._connection = connection
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._files: dict[Path, ReadableFile] = {}

    def close(self) -> None:
        """Delete the copies."""
        if self._folder:
            self._folder.cleanup()
        self._folder = None
        self._files.clear()

    def open(self, files: Sequence[SourceFile]) -> tuple[ReadableFile, ...]:
        """Return the files as they are read, with copies where that is certainly needed.

        Raises:
            InputError: a file is damaged.
            OSError: a file cannot be read, or the disk is full.
        """
        for file in files:
            if file.path not in self._files:
                self._files[file.path] = self._open(file)
        return tuple(self._files[file.path] for file in files)

    def _open(self, file: SourceFile) -> ReadableFile:
        compression = file.format.compression
        readable = ReadableFile(file=file, path=file.path, compression=compression)
        if file.kind in TEXT_KINDS and _is_utf_16(file):
            return self._clean(readable)
        if needs_unpacking(file):
            copy = unpack(file, self._copies())
            return replace(readable, path=copy.path, compression=Compression.NONE)
        return readable

    def improve(self, file: ReadableFile) -> ReadableFile | None:
        """Return a file read in a slower way that copes with more; None if there is none.

        Raises:
            InputError: the file has a fault that no way copes with.
            OSError: the file cannot be read, or the disk is full.
        """
        if file.has_marks:
            return None
        if file.file.kind is SourceKind.JSON_LINES and not file.is_exact:
            better = replace(file, is_exact=True)
        else:
            better = self._clean(file)
        self._files[file.original] = better
        return better

    def _clean(self, file: ReadableFile) -> ReadableFile:
        copies = self._copies()
        target = copies / f"{sum(1 for _ in copies.iterdir()):05}-clean"
        with _name_damage(file.original):
            if file.file.kind is SourceKind.PARQUET:
                copy_parquet(file.path, target)
            else:
                self._copy_text(file, target)
        return replace(
            file, path=target, compression=Compression.NONE, has_marks=True, is_exact=True
        )

    def _copy_text(self, file: ReadableFile, target: Path) -> None:
        with (
            open_text(file.path, file.compression) as text,
            target.open("x", encoding="utf-8", newline="") as copy,
        ):
            if file.file.kind is SourceKind.CSV:
                copy_csv(file.original, text, copy, file.file.format.delimiter)
            else:
                copy_json(text, copy)

    def _copies(self) -> Path:
        if self._folder is None:
            row = self._connection.execute("SELECT current_setting('temp_directory')").fetchone()
            spill = Path(str(row[0] if row else ""))
            folder = spill.parent if spill.is_absolute() else None
            self._folder = tempfile.TemporaryDirectory(prefix="copies-", dir=folder)
        return Path(self._folder.name)


def _is_utf_16(file: SourceFile) -> bool:
    with _name_damage(file.path):
        return is_utf_16(file.path, file.format.compression)


@contextmanager
def _name_damage(path: Path) -> Iterator[None]:
    try:
        yield
    except DamagedCompressionError as error:
        raise InputError(f"backlog.source: {path}: {error}: replace it with a good copy") from None
    except pa.ArrowException as error:
        raise InputError(
            f"backlog.source: {path} is damaged, or holds a column whose bytes are not text and "
            f"that cannot be decoded ({error}): write it again"
        ) from None
