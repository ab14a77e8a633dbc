"""Explain why DuckDB cannot open a file: what is wrong with it, and what to do.

DuckDB has no codes for these errors. Its messages name them by constant words.
"""

import re
from pathlib import Path

from pipeline.errors import BusyError, InputError, RunError
from pipeline.sql import is_lock_message
from pipeline.terminal import one_line

_HOLDER = re.compile(r"held in (.+?) \(PID (\d+)\)")
_DAMAGED = ("Corrupt database file", "Failed to deserialize", "corrupt")
_CUT_OFF = "Could not read enough bytes"
_VERSION = re.compile(r"version number \"?(\d+)|written (?:with|by) .*?version", re.IGNORECASE)
_ENCRYPTED = re.compile(r"encrypt", re.IGNORECASE)
_LOG = re.compile(r"\bWAL\b|write-ahead", re.IGNORECASE)
_RESTORE = "restore a backup, or copy it again from where it came from"


def explain(path: Path, message: str) -> InputError | RunError:
    """Return the error that says what is wrong with a file and what to do.

    Args:
        path: the file.
        message: DuckDB's message.
    """
    if is_lock_message(message):
        holder = _HOLDER.search(message)
        name = f"process {holder[2]} ({holder[1]})" if holder else "another process"
        return BusyError(
            f"backlog.source: {path} is in use by {name}, which has it open for writing: close it "
            "there, and run the command again. Or copy the file when nobody writes to it, and set "
            "backlog.source to the copy"
        )
    return InputError(f"backlog.source: {path} {_describe(path, message)}")


def _describe(path: Path, message: str) -> str:
    """Return what is wrong with a file, as the end of a sentence about it."""
    if _ENCRYPTED.search(message):
        return (
            "is encrypted, and this program has no key for it: copy the table of the posts into "
            "a plain DuckDB file"
        )
    if _CUT_OFF in message:
        return f"is cut off: it ends in the middle of a block; {_RESTORE}"
    if _VERSION.search(message):
        return (
            "was written by a version of DuckDB whose files this one does not read: export the "
            "table of the posts there, with COPY posts TO 'posts.parquet'"
        )
    if any(words in message for words in _DAMAGED):
        return f"is damaged: the checksum or the content of a block is wrong; {_RESTORE}"
    log = path.with_name(f"{path.name}.wal")
    if _LOG.search(message) and log.exists():
        return (
            f"and its log {log.name} do not belong together, or the log is damaged. Open the file "
            "once with DuckDB where it was written, and close it there"
        )
    return f"cannot be opened: {one_line(message)}"
