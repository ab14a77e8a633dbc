"""Append each answer to a file as soon as it is there, so that a killed task loses none it has.

A checkpoint part takes an fsync, so it holds many answers. Between two parts, this journal holds
them: a line per answer, a write for all that arrive together, and no fsync, because the kernel has
the bytes when SIGKILL comes. A part that is written makes the journals of its answers superfluous.

Each line is a checksum and JSON. The first line says to which run, input, configuration and columns
the answers belong. A last line without its end is one that a killed task had begun.
"""

import contextlib
import errno
import math
import os
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path

import msgspec
import pyarrow as pa

from pipeline import files
from pipeline.errors import DamagedError
from pipeline.model import Column, ColumnKind
from pipeline.run_files.answer_row import Row, part_schema

SUFFIX = ".answers"
_NAME = re.compile(r"(?P<process>(?P<attempt>\d+)-[^-]+)-(?P<number>\d+)\.answers")
_PART_NAME = re.compile(r"(?P<process>\d+-[^-]+)-(?P<number>\d+)-\d+\.parquet")
# How many rows of a journal are in memory as Python objects while it is read.
_ROWS_AT_ONCE = 5_000
_MODE = 0o666


class _Header(msgspec.Struct, frozen=True):
    """The first line: what the answers belong to, and the kind of each column by name."""

    metadata: dict[str, str]
    columns: dict[str, str]
    keep_raw: bool


def needed_journals(names: Iterable[str], parts: Iterable[str]) -> dict[str, int]:
    """Return the journals whose answers are not all in the parts, with their attempts.

    A task that is killed just after it has written a part leaves both.

    Args:
        names: the names of the files in a shard's work folder.
        parts: the names of the parts that count.
    """
    last = _last_parts(parts)
    matches = filter(None, map(_NAME.fullmatch, names))
    return {
        match[0]: int(match["attempt"])
        for match in matches
        if int(match["number"]) > last.get(match["process"], -1)
    }


def count_rows(path: Path) -> int:
    """Return how many answers a journal holds, by its lines alone; 0 if it is gone.

    Raises:
        UnreadableError: the file cannot be read now.
    """
    try:
        lines = sum(chunk.count(b"\n") for chunk in files.read_chunks(path))
    except (FileNotFoundError, DamagedError):
        return 0
    return max(lines - 1, 0)


def _last_parts(names: Iterable[str]) -> dict[str, int]:
    """Return the number of the last part of each process."""
    last: dict[str, int] = {}
    for name in names:
        if match := _PART_NAME.fullmatch(name):
            last[match["process"]] = max(int(match["number"]), last.get(match["process"], -1))
    return last


class AnswerJournal:
    """Writes one journal. The file appears with the first answer."""

    def __init__(
        self,
        path: Path,
        *,
        metadata: Mapping[str, str],
        columns: tuple[Column, ...],
        keep_raw: bool,
    ) -> None:
        """Keep the file to write, and what the answers in it belong to."""
        self.path = path
        self.unwritten = 0
        """How many of the appended answers are not in the file."""
        header = _Header(
            metadata=dict(metadata),
            columns={column.name: str(column.kind) for column in columns},
            keep_raw=keep_raw,
        )
        self._header = _line(msgspec.json.encode(header))
        self.is_begun = False
        """Whether there may be a file."""
        self._descriptor: int | None = None
        self._ended = False

    def append(self, rows: Sequence[Row]) -> None:
        """Append the rows of answers, by one write.

        After a failure the file may end in the middle of a line, so nothing more is appended.

        Raises:
            OSError: the disk is full, or the folder is gone.
        """
        self.unwritten += len(rows)
        if self._ended:
            raise OSError(errno.EIO, os.strerror(errno.EIO), str(self.path))
        self._write(b"".join([_line(_encode_row(row)) for row in rows]))

    def close(self) -> None:
        """Close the file; there is nothing more to append."""
        if self._descriptor is not None:
            with contextlib.suppress(OSError):  # each write has reported its own errors
                os.close(self._descriptor)
        self._descriptor = None
        self._ended = True

    def _write(self, lines: bytes) -> None:
        try:
            if self._descriptor is None:
                self._descriptor = self._create()
                lines = self._header + lines
            if os.write(self._descriptor, lines) < len(lines):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.path))
        except OSError:
            self._ended = True
            raise
        self.unwritten = 0

    def _create(self) -> int:
        files.make_folder_of_run(self.path.parent)
        self.is_begun = True
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
        return os.open(self.path, flags, _MODE)


class JournalReader:
    """Reads one journal. `damaged_lines` says which complete lines were left out."""

    def __init__(self, path: Path) -> None:
        """Keep the file to read."""
        self._path = path
        self.damaged_lines: list[int] = []

    def tables(self) -> Iterator[pa.Table]:
        """Yield the answers as tables with the columns and the metadata of a checkpoint part.

        Raises:
            FileNotFoundError: the file is not there.
            UnreadableError: the file cannot be read now.
            DamagedError: nobody can tell to which run and columns the answers belong.
        """
        self.damaged_lines = []
        lines = _complete_lines(self._path)
        first = next(lines, None)
        if first is None:
            return
        try:
            schema, numbers = _parse_header(first)
        except (ValueError, msgspec.MsgspecError) as error:
            raise DamagedError(self._path, f"its first line cannot be decoded: {error}") from None
        rows: list[list[object]] = []
        for number, line in enumerate(lines, start=2):
            row = _decode_row(line, len(schema.names), numbers)
            if row is None:
                self.damaged_lines.append(number)
            else:
                rows.append(row)
            if len(rows) == _ROWS_AT_ONCE:
                yield _table(rows, schema)
                rows = []
        if rows:
            yield _table(rows, schema)


def _table(rows: Sequence[Sequence[object]], schema: pa.Schema) -> pa.Table:
    columns = zip(*rows, strict=True)
    arrays = [pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)]
    return pa.table(arrays, schema=schema)


def _line(content: bytes) -> bytes:
    return b"%08x %b\n" % (zlib.crc32(content), content)


def _verify_checksum(line: bytes) -> bytes | None:
    """Return a line's content; None if its checksum differs."""
    content = line[9:]
    return content if line[:9] == b"%08x " % zlib.crc32(content) else None


def _encode_row(values: Row) -> bytes:
    """Return the values as JSON, with the numbers that JSON lacks as text."""
    content = msgspec.json.encode(values)
    # Such a number is encoded as null too. To look at each value would take longer than all else.
    if content.count(b"null") == values.count(None):
        return content
    return msgspec.json.encode(
        [
            repr(value) if isinstance(value, float) and not math.isfinite(value) else value
            for value in values
        ]
    )


def _decode_row(line: bytes, width: int, numbers: Sequence[int]) -> list[object] | None:
    """Return the values of a line; None if the line is damaged."""
    content = _verify_checksum(line)
    if content is None:
        return None
    row: list[object] = msgspec.json.decode(content)
    if len(row) != width:
        return None
    row[_TIMESTAMP] = datetime.fromisoformat(str(row[_TIMESTAMP]))
    for position in numbers:
        if isinstance(value := row[position], str):
            row[position] = float(value)
    return row


_TIMESTAMP = part_schema(()).get_field_index("label_timestamp")


def _parse_header(line: bytes) -> tuple[pa.Schema, list[int]]:
    """Return the schema of the answers, and where the columns of numbers are."""
    content = _verify_checksum(line)
    if content is None:
        raise ValueError("its checksum differs")
    header = msgspec.json.decode(content, type=_Header)
    columns = tuple(Column(name, ColumnKind(kind)) for name, kind in header.columns.items())
    schema = part_schema(columns, keep_raw=header.keep_raw)
    numbers = [i for i, field in enumerate(schema) if field.type == pa.float64()]
    return schema.with_metadata(header.metadata), numbers


def _complete_lines(path: Path) -> Iterator[bytes]:
    """Yield the lines that have an end, without it."""
    rest = bytearray()
    for chunk in files.read_chunks(path):
        rest += chunk
        *lines, last = rest.split(b"\n")
        rest = last
        yield from map(bytes, lines)
