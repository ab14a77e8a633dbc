"""Define what a file of a source can be: how it is read, or why it is not. Pure."""

from enum import StrEnum
from pathlib import Path

import msgspec


class SourceKind(StrEnum):
    """The kinds of file that a backlog can be."""

    SQLITE = "SQLite"
    DUCKDB = "DuckDB"
    PARQUET = "Parquet"
    CSV = "CSV"
    JSON_LINES = "JSON Lines"


DATABASES = (SourceKind.SQLITE, SourceKind.DUCKDB)
TEXT_KINDS = (SourceKind.CSV, SourceKind.JSON_LINES)
# The byte order marks of UTF-16, little and big endian.
UTF_16_MARKS = (b"\xff\xfe", b"\xfe\xff")


class Compression(StrEnum):
    """How a whole file is compressed."""

    NONE = "none"
    GZIP = "gzip"
    ZSTD = "zstd"
    BZIP2 = "bzip2"
    XZ = "xz"
    LZ4 = "lz4"


class JsonLayout(StrEnum):
    """How the objects of a JSON file are arranged, in DuckDB's words for it."""

    LINES = "newline_delimited"
    """One object a line."""
    ARRAY = "array"
    """One array of objects."""
    OBJECTS = "unstructured"
    """Objects that go over several lines, one after another."""


class FileFormat(msgspec.Struct, frozen=True, kw_only=True):
    """How a file is read."""

    kind: SourceKind
    compression: Compression = Compression.NONE
    delimiter: str = ","
    """What separates the columns of a CSV file; without meaning for other kinds."""
    layout: JsonLayout = JsonLayout.LINES
    """How a JSON file arranges its objects; without meaning for other kinds."""


class SourceFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file with posts."""

    path: Path
    format: FileFormat

    @property
    def kind(self) -> SourceKind:
        """What kind of file it is, once decompressed."""
        return self.format.kind


class Unreadable(msgspec.Struct, frozen=True, kw_only=True):
    """Why a file that looks like data cannot be read, and what to do."""

    problem: str
    """A clause about the file, such as "it is a zip archive"."""
    advice: str
    """What a person can do, such as "unpack it"."""


class Empty(msgspec.Struct, frozen=True):
    """A file without any content."""


class NoData(msgspec.Struct, frozen=True):
    """A file that holds something else than data, such as a PDF or a README."""


Recognized = FileFormat | Unreadable | Empty | NoData
