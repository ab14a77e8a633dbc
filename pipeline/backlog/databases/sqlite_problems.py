"""Explain why SQLite cannot read a file: what is wrong with it, and what to do.

The driver passes on SQLite's message without its error code, in front of the query. SQLite's
messages for these codes are constants.
"""

import re
import struct
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import BusyError, InputError, RunError

_HEADER_BYTES = 100
_NEWEST_SCHEMA_FORMAT = 4
_NEWEST_READ_VERSION = 2

_DRIVERS_WORDS = re.compile(r"^[A-Z_]+: (?:\[SQLite\] )?(?:Failed to \w+ query: )?")

BUSY = ("database is locked", "locking protocol", "database schema is locked")
_CANNOT_OPEN = "unable to open database file"
_READ_ONLY = "attempt to write a readonly database"
_DAMAGED = "database disk image is malformed"
_BAD_SCHEMA = "malformed database schema"
_NO_DATABASE = "file is not a database"
_FORMAT = "unsupported file format"
_READ_ERROR = "disk I/O error"
_UNKNOWN_COLUMN = re.compile(r"no such column: (.+)\Z", re.DOTALL)
_NO_SPACE = ("database or disk is full", "out of memory")


@dataclass(frozen=True, kw_only=True, slots=True)
class SidecarFiles:
    """The files in which SQLite keeps what is not in the database yet, or must be undone."""

    wal: Path
    journal: Path

    @property
    def with_content(self) -> Path | None:
        """The file that holds something; None if both are empty or absent."""
        for path in (self.wal, self.journal):
            if path.is_file() and path.stat().st_size:
                return path
        return None


def sidecars_of(path: Path) -> SidecarFiles:
    """Return the sidecar files of a database; SQLite puts them where a link leads to."""
    real = path.resolve()
    return SidecarFiles(
        wal=real.with_name(f"{real.name}-wal"), journal=real.with_name(f"{real.name}-journal")
    )


def sqlite_message(error: Exception) -> str:
    """Return SQLite's own words of a driver's error, without the driver's and the query."""
    return _DRIVERS_WORDS.sub("", str(error).split("\nquery:")[0]).strip()


def is_busy(message: str) -> bool:
    """Tell whether another process holds a lock, going by SQLite's message."""
    return message.startswith(BUSY)


def cannot_open(message: str) -> bool:
    """Tell whether SQLite could not open the file or one beside it, going by its message."""
    return message.startswith(_CANNOT_OPEN)


def unknown_column(message: str) -> str | None:
    """Return the column that SQLite does not find, going by its message; None if it says else."""
    match = _UNKNOWN_COLUMN.search(message)
    return match[1] if match else None


def explain(path: Path, message: str) -> InputError | RunError | None:
    """Return the error that says what is wrong with a file and what to do.

    Args:
        path: the file.
        message: SQLite's message, of `sqlite_message`.

    Returns:
        None if the file is not at fault.
    """
    if is_busy(message):
        return BusyError(
            f"backlog.source: {path} is in use by another process, which has locked it: wait "
            "until that process is done, or stop it, and run the command again. Or copy the "
            f'database (sqlite3 {path} ".backup copy.db") and set backlog.source to the copy'
        )
    if message.startswith(_READ_ONLY) or cannot_open(message):
        return InputError(f"backlog.source: {path}: {_describe_unopened(path)}")
    if message.startswith((_DAMAGED, _NO_DATABASE, _FORMAT, _BAD_SCHEMA)):
        return InputError(f"backlog.source: {path} {_unreadable(path, message)}")
    if message.startswith(_READ_ERROR):
        return RunError(
            f"backlog.source: {path}: the disk or its locks failed while SQLite read it. Check "
            "the file system, or copy the database to another disk and set backlog.source to the "
            "copy"
        )
    if message.startswith(_NO_SPACE):
        return RunError(
            f"backlog.source: {path}: SQLite had too little memory, or too little room for its "
            "temporary files: make room, or set SQLITE_TMPDIR to a folder on a larger disk"
        )
    return None


def _describe_unopened(path: Path) -> str:
    files = sidecars_of(path)
    if files.with_content == files.journal:
        return (
            "the program that wrote it was stopped in the middle of a change, and "
            f"{files.journal.name} beside it says how to undo that. Let SQLite undo it once, with "
            f'no other program running: sqlite3 {path} "SELECT count(*) FROM sqlite_schema". If '
            "the folder cannot be written to, copy both files to one that can, do so there, and "
            "set backlog.source to the copy"
        )
    if files.with_content == files.wal:
        return (
            f"{files.wal.name} beside it holds changes that SQLite cannot bring together with the "
            "database here, because the folder cannot be written to. Copy both files to a folder "
            "that you can write to, and set backlog.source to the copy"
        )
    return (
        "SQLite cannot open it or a file beside it: check the permissions of the file and of its "
        "folder, and whether the disk is full"
    )


def _unreadable(path: Path, message: str) -> str:
    """Return what is wrong with the content, as the end of a sentence about the file."""
    with path.open("rb") as stream:
        header = stream.read(_HEADER_BYTES)
    size = path.stat().st_size
    if len(header) < _HEADER_BYTES:
        return (
            f"is cut off: it has {size:,} bytes, fewer than a SQLite database's header. Copy it "
            "again from where it came from"
        )
    (schema_format,) = struct.unpack(">I", header[44:48])
    is_header_plain = header[21:24] == b"\x40\x20\x20"  # fixed by SQLite's file format
    if not is_header_plain or schema_format > 2 * _NEWEST_SCHEMA_FORMAT:
        return (
            "begins like a SQLite database but is not one: it is encrypted or damaged. Decrypt it "
            "into a plain database (SQLCipher: sqlcipher_export), or restore a backup"
        )
    if schema_format > _NEWEST_SCHEMA_FORMAT or header[19] > _NEWEST_READ_VERSION:
        return (
            "has a newer file format than this version of SQLite reads. Write its content to a "
            f"new database with the program that made it, or: sqlite3 {path} .dump | sqlite3 "
            "new.db"
        )
    if message.startswith(_BAD_SCHEMA):
        return (
            "has a table definition that this version of SQLite cannot read "
            f"({message.removeprefix(_BAD_SCHEMA).strip()}). Copy the table of the posts to a new "
            "database with the program that made it"
        )
    stated = _stated_bytes(header)
    if size < stated:
        return (
            f"is cut off: it has {size:,} bytes, and its header says {stated:,}. Copy it again "
            "from where it came from"
        )
    return (
        "is damaged: SQLite cannot make sense of some of its pages. Restore a backup, or rescue "
        f"what can be read: sqlite3 {path} .recover | sqlite3 rescued.db"
    )


def _stated_bytes(header: bytes) -> int:
    """Return the size that a header states; 0 if it does not."""
    page_bytes, pages = struct.unpack(">H", header[16:18])[0], struct.unpack(">I", header[28:32])[0]
    is_valid = header[24:28] == header[92:96]
    return (65_536 if page_bytes == 1 else page_bytes) * pages if is_valid else 0
