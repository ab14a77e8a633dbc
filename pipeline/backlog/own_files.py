"""Recognize what this program has written itself: runs, databases of labels, and exports.

None of it is ever part of a backlog, even where it lies in the source's folder.
"""

import os
import re
from contextlib import suppress
from pathlib import Path

import duckdb
import pyarrow as pa

from pipeline import limits
from pipeline.backlog.decompress import DamagedCompressionError, open_decompressed
from pipeline.backlog.file_formats import FileFormat, SourceKind
from pipeline.errors import InputError
from pipeline.late_imports import arrow_parquet as pq
from pipeline.run_files import manifest, sample_file, score_map
from pipeline.run_files.json_record import read_record
from pipeline.run_files.score_map import ScoreMap

_RUN_ID = re.compile(r"\d{8}T\d{6}-.+-[0-9a-f]{8}")
_NOTE = re.compile(r"\.late-posts-.+\.json")
_HISTORY = {"runs", "shards", "attempts"}
CODINGS, CODING_METADATA = "codings", b"coding"
"""The folder with the posts that people code, and the entry of the footers of its files."""
LABEL_COLUMNS = ("was_successfully_labeled", "label_timestamp")
"""Columns that only tables of labels have."""
_PARQUET_TAIL = 8
_SCHEMA_BYTES = 1 << 16
_LINE_BYTES = 1 << 24


def is_run(folder: Path, names: set[str]) -> bool:
    """Tell whether a folder is that of a run, also if it was renamed, copied or set aside.

    Args:
        folder: the folder.
        names: of what is in it.
    """
    if _RUN_ID.search(folder.name) and names & {"shards", manifest.FILE_NAME}:
        return True
    manifests = [name for name in names if name.startswith(manifest.FILE_NAME)]
    return "shards" in names and any(_names_run(folder / name) for name in manifests)


def is_note(path: Path) -> bool:
    """Tell whether a hidden file is a note that this program keeps beside its runs."""
    return bool(_NOTE.fullmatch(path.name))


def is_planned_run(folder: Path) -> bool:
    """Tell whether a hidden folder is that of a run which is being created, or will be removed."""
    return folder.name.startswith(".planning-") and bool(_RUN_ID.search(folder.name))


def is_in_run(path: Path) -> bool:
    """Tell whether a path is that of a run's folder, or is inside one."""
    return any(
        (folder / "shards").is_dir() and _names_run(folder / manifest.FILE_NAME)
        for folder in (path, *path.parents)
    )


def _names_run(path: Path) -> bool:
    with suppress(OSError):
        return b'"run_id"' in manifest.read_beginning(path)
    return False


def is_part_of_database(path: Path, database: Path) -> bool:
    """Tell whether a file is a labels' database, its log, or one that a rebuild has replaced."""
    beginning = re.escape(database.name)
    names = re.compile(rf"{beginning}(?:\.(?:replaced|rebuilding)-[^/]*)?(?:\.wal)?")
    return bool(names.fullmatch(path.name)) and path.parent.resolve() == database.parent.resolve()


def is_sample(path: Path, file_format: FileFormat) -> bool:
    """Tell whether a file with data is a sample, or has the posts of one that people code.

    A sample has uris and probabilities, and no posts.
    """
    if file_format.kind is not SourceKind.PARQUET:
        return False
    if path.parent.name == CODINGS:
        with suppress(OSError, pa.ArrowException):
            return CODING_METADATA in (pq.read_schema(path).metadata or {})
    if b"inclusion_probability" not in _read_schema(path):  # most files need no more than this
        return False
    with suppress(OSError, pa.ArrowException):
        return bool(pq.read_schema(path).names == sample_file.SCHEMA.names)
    return False


def is_map(path: Path) -> bool:
    """Tell whether a file is a map of scores, also one that another has replaced."""
    if path.parent.name != score_map.FOLDER:
        return False
    with suppress(OSError, InputError):
        read_record(path, ScoreMap)
        return True
    return False


def holds_labels(path: Path, file_format: FileFormat, head: bytes) -> bool:
    """Tell whether a file with data is a database of labels, an export of one, or a run's output.

    Args:
        path: the file.
        file_format: what it was recognized as.
        head: its first bytes, once decompressed.
    """
    match file_format.kind:
        case SourceKind.CSV:
            return _has_label_columns(head.partition(b"\n")[0])
        case SourceKind.PARQUET:
            return _has_label_columns(_read_schema(path))
        case SourceKind.DUCKDB:
            return _has_history(path)
        case SourceKind.JSON_LINES:
            return _has_label_keys(_first_line(path, file_format, head))
        case _:
            return False


def _first_line(path: Path, file_format: FileFormat, head: bytes) -> bytes:
    """Return the first line of a file, from its head unless its first text is long."""
    if b"\n" in head:
        return head.partition(b"\n")[0]
    with (
        suppress(OSError, DamagedCompressionError),
        open_decompressed(path, file_format.compression) as stream,
    ):
        return stream.readline(_LINE_BYTES)
    return head


def _has_label_keys(line: bytes) -> bool:
    """Tell whether a line of JSON has the keys that only labels have.

    Within a text, quotes would be escaped, so the keys cannot be part of one.
    """
    return all(re.search(rf'"{key}"\s*:'.encode(), line) for key in LABEL_COLUMNS)


def _has_label_columns(header: bytes) -> bool:
    return all(column.encode() in header for column in LABEL_COLUMNS)


def _read_schema(path: Path) -> bytes:
    """Return the beginning of a Parquet file's footer, which has the names of its columns."""
    with suppress(OSError), os.fdopen(limits.open_regular(path), "rb") as stream:
        end = stream.seek(0, os.SEEK_END)
        stream.seek(max(0, end - _PARQUET_TAIL))
        length = int.from_bytes(stream.read(4), "little")
        stream.seek(max(0, end - _PARQUET_TAIL - length))
        return stream.read(min(length, _SCHEMA_BYTES))
    return b""


def _has_history(path: Path) -> bool:
    """Tell whether a DuckDB file has our tables; False if it cannot be opened now."""
    try:
        with duckdb.connect(str(path), read_only=True) as connection:
            rows = connection.execute("SELECT table_name FROM duckdb_tables()").fetchall()
    except duckdb.Error:
        return False  # who reads it as a source will say why
    return {row[0] for row in rows} >= _HISTORY
