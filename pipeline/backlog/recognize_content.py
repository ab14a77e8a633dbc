"""Tell from the first bytes of a file what it holds.

The name of a file decides only where its content says nothing.
"""

import codecs
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from pipeline.backlog.file_formats import (
    DATABASES,
    UTF_16_MARKS,
    Compression,
    Empty,
    FileFormat,
    NoData,
    Recognized,
    SourceKind,
    Unreadable,
)
from pipeline.backlog.recognize_text import recognize_text

_COMPRESSIONS: Mapping[Compression, re.Pattern[bytes]] = {
    Compression.GZIP: re.compile(rb"\x1f\x8b\x08"),
    Compression.ZSTD: re.compile(rb"\x28\xb5\x2f\xfd"),
    Compression.BZIP2: re.compile(rb"BZh[1-9](?:1AY&SY|\x17rE8P\x90)"),
    Compression.XZ: re.compile(rb"\xfd7zXZ\0"),
    Compression.LZ4: re.compile(rb"\x04\x22\x4d\x18"),
}
# Text has none of these; most other formats have some among their first bytes. Without this check,
# a table whose first column is called ORCID would be an ORC file.
_NOT_TEXT = re.compile(rb"[\x00-\x08\x0e-\x1f]")
_ARROW = "convert it to Parquet, for example with pyarrow or R's arrow"
_FROM_PYTHON = "write its table as Parquet, for example with pandas.DataFrame.to_parquet"
_FROM_R = "write its table as Parquet, for example with R's arrow::write_parquet"
_FROM_EXCEL = "save its sheet as CSV (UTF-8)"
_UNPACK = "unpack it"
# Formats that hold tables of posts, or files with them, and that are not read.
_UNREAD: Mapping[bytes, Unreadable] = {
    b"PK\x05\x06": Unreadable(problem="it is an empty zip archive", advice="remove it"),
    b"7z\xbc\xaf\x27\x1c": Unreadable(problem="it is a 7z archive", advice=_UNPACK),
    b"Rar!\x1a\x07": Unreadable(problem="it is a RAR archive", advice=_UNPACK),
    b"\x1f\x9d": Unreadable(problem="it is compressed with compress", advice="run uncompress"),
    b"\x89LZO": Unreadable(problem="it is compressed with lzop", advice="run lzop -d"),
    b"]\0\0": Unreadable(problem="it is compressed by lzma", advice="run unlzma"),
    b"LZIP": Unreadable(problem="it is compressed with lzip", advice="run lzip -d"),
    b"\xff\x06\0\0sNaPpY": Unreadable(
        problem="it is compressed with Snappy", advice="decompress it"
    ),
    b"ARROW1": Unreadable(problem="it is an Arrow or Feather file", advice=_ARROW),
    b"FEA1": Unreadable(problem="it is an old Feather file", advice=_ARROW),
    b"ORC": Unreadable(problem="it is an ORC file", advice="convert it to Parquet"),
    b"Obj\x01": Unreadable(problem="it is an Avro file", advice="convert it to Parquet"),
    b"PARE": Unreadable(problem="it is an encrypted Parquet file", advice="decrypt it"),
    b"\x89HDF\r\n": Unreadable(problem="it is an HDF5 file", advice=_FROM_PYTHON),
    b"\x93NUMPY": Unreadable(problem="it is a NumPy file", advice=_FROM_PYTHON),
    b"\x80\x04\x95": Unreadable(problem="it is a Python pickle", advice=_FROM_PYTHON),
    b"\x80\x05\x95": Unreadable(problem="it is a Python pickle", advice=_FROM_PYTHON),
    b"RDX": Unreadable(problem="it is R data", advice=_FROM_R),
    b"RDA": Unreadable(problem="it is R data", advice=_FROM_R),
    b"X\n\0\0\0": Unreadable(problem="it is R data", advice=_FROM_R),
    b"$FL2": Unreadable(problem="it is an SPSS file", advice=_FROM_R),
    b"<stata_dta>": Unreadable(problem="it is a Stata file", advice=_FROM_R),
}
# The same for formats without a magic number, by the ends of names, for files that are no text.
_UNREAD_NAMES: Mapping[str, Unreadable] = {
    ".br": Unreadable(problem="it is compressed by Brotli", advice="run brotli -d"),
    ".lzo": Unreadable(problem="it is compressed by LZO", advice="run lzop -d"),
    ".sz": Unreadable(problem="it is compressed by Snappy", advice="decompress it"),
    ".snappy": Unreadable(problem="it is compressed by Snappy", advice="decompress it"),
    ".zz": Unreadable(problem="it is compressed by zlib", advice="decompress it"),
    ".gpg": Unreadable(problem="it is encrypted", advice="run gpg -d"),
    ".age": Unreadable(problem="it is encrypted", advice="run age -d"),
    ".enc": Unreadable(problem="it is encrypted", advice="decrypt it"),
    ".dta": Unreadable(problem="it is a Stata file", advice=_FROM_R),
    ".sav": Unreadable(problem="it is an SPSS file", advice=_FROM_R),
    ".sas7bdat": Unreadable(problem="it is a SAS file", advice=_FROM_R),
    ".feather": Unreadable(problem="it is a Feather file", advice=_ARROW),
    ".arrow": Unreadable(problem="it is an Arrow file", advice=_ARROW),
    ".pkl": Unreadable(problem="it is a Python pickle", advice=_FROM_PYTHON),
    ".pickle": Unreadable(problem="it is a Python pickle", advice=_FROM_PYTHON),
    ".xls": Unreadable(problem="it is an Excel file", advice=_FROM_EXCEL),
    ".xlsb": Unreadable(problem="it is an Excel file", advice=_FROM_EXCEL),
    ".mdb": Unreadable(problem="it is an Access database", advice="export its table as CSV"),
    ".accdb": Unreadable(problem="it is an Access database", advice="export its table as CSV"),
}
_UNREAD_MAGIC = re.compile(b"|".join(map(re.escape, _UNREAD)))
# A message, whose length is less than 65,536.
_ARROW_STREAM = re.compile(rb"\xff{4}..\0\0", re.DOTALL)
_MARKUP = re.compile(rb"\s*<(?:!doctype|html|\?xml|svg)", re.IGNORECASE)
_OLD_OFFICE = b"\xd0\xcf\x11\xe0"
_TAR = slice(257, 262)
_ZIPPED_DOCUMENTS = (b"word/", b"ppt/", b"application/vnd.oasis.opendocument.text", b"META-INF/")

_KINDS: Mapping[str, SourceKind] = {
    ".parquet": SourceKind.PARQUET,
    ".pq": SourceKind.PARQUET,
    ".parq": SourceKind.PARQUET,
    ".csv": SourceKind.CSV,
    ".tsv": SourceKind.CSV,
    ".tab": SourceKind.CSV,
    ".jsonl": SourceKind.JSON_LINES,
    ".ndjson": SourceKind.JSON_LINES,
    ".jl": SourceKind.JSON_LINES,
    ".json": SourceKind.JSON_LINES,
    ".db": SourceKind.SQLITE,
    ".sqlite": SourceKind.SQLITE,
    ".sqlite3": SourceKind.SQLITE,
    ".duckdb": SourceKind.DUCKDB,
}
_BINARY = (SourceKind.PARQUET, SourceKind.SQLITE, SourceKind.DUCKDB)
# What programs append to a name: compression, and the numbers of rotated or split files.
_APPENDED = re.compile(r"\.(?:gz|gzip|zst|zstd|bz2|xz|lz4|\d+)")


def recognize_compression(head: bytes) -> Compression:
    """Return how a file is compressed that begins with these bytes."""
    matching = (each for each, magic in _COMPRESSIONS.items() if magic.match(head))
    return next(matching, Compression.NONE)


def recognize_content(
    head: bytes, name: str, columns: Sequence[str], *, is_whole: bool
) -> Recognized:
    """Return what a file holds that begins with these bytes, once decompressed.

    Args:
        head: the first bytes, a few thousand.
        name: the file's name.
        columns: what the source calls its columns.
        is_whole: whether these are all bytes of the file.
    """
    if not head:
        return Empty()
    head = _in_utf_8(head)
    expected = kind_by_name(name)
    recognized = _recognize_binary(head, name) if _NOT_TEXT.search(head) else None
    recognized = recognized or _recognize_text(head, name, columns, is_whole=is_whole)
    if recognized:
        return recognized
    if expected is None:
        return NoData()
    if expected in _BINARY or _NOT_TEXT.search(head) or _MARKUP.match(head):
        may_be_encrypted = expected in DATABASES
        return Unreadable(
            problem=f"its name says {expected}, and it "
            f"{'is encrypted or ' if may_be_encrypted else ''}holds something else",
            advice=f"{'decrypt it, or ' if may_be_encrypted else ''}replace it with a good copy",
        )
    is_tabbed = expected is SourceKind.CSV and not re.search(r"\.csv\b", name.lower())
    return FileFormat(kind=expected, delimiter="\t" if is_tabbed else ",")


def kind_by_name(name: str) -> SourceKind | None:
    """Return what kind of file a name says it is, such as `b.JSONL.GZ`; None if it says none."""
    suffixes = Path(name.lower()).suffixes
    while suffixes and _APPENDED.fullmatch(suffixes[-1]):
        suffixes.pop()
    return _KINDS.get(suffixes[-1]) if suffixes else None


def _recognize_binary(head: bytes, name: str) -> Recognized | None:
    """Return what the magic number of a file says; None if it has none."""
    if head.startswith(b"SQLite format 3\0"):
        return FileFormat(kind=SourceKind.SQLITE)
    if head[8:12] == b"DUCK":
        return FileFormat(kind=SourceKind.DUCKDB)
    if head.startswith(b"PAR1"):
        return FileFormat(kind=SourceKind.PARQUET)
    if head.startswith(b"PK\x03\x04"):
        return _recognize_zip(head, name)
    if head.startswith(_OLD_OFFICE):
        is_excel = name.lower().endswith(".xls")
        excel = Unreadable(problem="it is an Excel file", advice=_FROM_EXCEL)
        return excel if is_excel else NoData()
    if head[_TAR] == b"ustar":
        return Unreadable(problem="it is a tar archive", advice="unpack it, such as with tar xf")
    if _ARROW_STREAM.match(head):
        return Unreadable(problem="it is an Arrow stream", advice=_ARROW)
    unread = _UNREAD_MAGIC.match(head)
    return _UNREAD[unread[0]] if unread else _UNREAD_NAMES.get(Path(name.lower()).suffix)


def _recognize_zip(head: bytes, name: str) -> Recognized:
    if b"xl/" in head or name.lower().endswith((".xlsx", ".xlsm")):
        return Unreadable(problem="it is an Excel workbook", advice=_FROM_EXCEL)
    if any(mark in head for mark in _ZIPPED_DOCUMENTS) or name.lower().endswith((".docx", ".pptx")):
        return NoData()
    return Unreadable(problem="it is a zip archive", advice="unpack it, such as with unzip")


def _recognize_text(
    head: bytes, name: str, columns: Sequence[str], *, is_whole: bool
) -> Recognized | None:
    """Return what a text is; None if its beginning does not say."""
    if _MARKUP.match(head):
        return None
    if b"\0" not in head or not _is_wide(head):
        return recognize_text(head, columns, is_whole=is_whole)
    narrow = head.lstrip(b"\xff\xfe\0").replace(b"\0", b"")
    if kind_by_name(name) is None and recognize_text(narrow, columns, is_whole=is_whole) is None:
        return None
    return Unreadable(
        problem="it is text in UTF-32, or in UTF-16 without a byte order mark",
        advice=f"convert it to UTF-8, for example with iconv -f UTF-16LE -t UTF-8 {name}",
    )


def _in_utf_8(head: bytes) -> bytes:
    """Return text in UTF-16 with a byte order mark as UTF-8, and other bytes as they are."""
    if head.startswith(UTF_16_MARKS) and not head.startswith(codecs.BOM_UTF32_LE):
        return head.decode("utf-16", errors="replace").encode()
    return head


def _is_wide(head: bytes) -> bool:
    """Tell whether this is text in UTF-32, or in UTF-16 without a mark, by the zeros in it."""
    if head.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)):
        return True
    pairs = head[: len(head) // 2 * 2]
    return len(pairs) >= 8 and any(
        not any(pairs[start::2]) and all(pairs[1 - start :: 2]) for start in (0, 1)
    )
