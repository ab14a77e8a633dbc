"""Remember in the run's folder who was notified of what, so that each event is reported once.

A record is written before the command runs, and again when it has ended. Its folder is locked
meanwhile. So of two processes, on one machine or two, only one runs the command; and a record
without an end, found under the lock, is that of a process that died. Nobody knows then whether the
command had done its work, and it runs again: somebody who gets the same mail twice loses nothing,
and a run that needs a person and says so to nobody waits for days.
"""

import hashlib
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path

from msgspec.structs import replace

from hpc.locks import run_lock
from hpc.notifications.notice import Throttling
from pipeline import files
from pipeline.config.keys import Section
from pipeline.run_files.heartbeat import UtcTime
from pipeline.run_files.json_record import find_record

FOLDER = "notifications"
MOST_TRIES = 3
_THROTTLING = "throttling.json"


class Record(Section, frozen=True, kw_only=True):
    """What is known about the notification of one event."""

    key: tuple[str, ...]
    """What tells the event from others; its first item is the kind."""
    tries: int
    """How often the command was started for it."""
    tried_at: UtcTime
    """When it was started last (UTC)."""
    host: str
    """On which machine that was."""
    sent: bool = False
    """Whether the command ended with exit code 0."""
    problem: str = ""
    """Why it did not."""


def send_once(run_dir: Path, begun: Record, send: Callable[[], str]) -> tuple[str, int] | None:
    """Send a notice unless it was sent before; return what went wrong, and how many tries are left.

    Args:
        run_dir: the run's folder.
        begun: the record of the first try.
        send: sends the notice, and returns why that failed, or ''.

    Returns:
        None if it was sent before, or has failed too often.

    Raises:
        BusyError: another process is sending a notice of this run.
        RunError: the file system has no locks.
        OSError: nothing can be recorded, so nothing was sent.
        InputError: a record is damaged.
    """
    folder = run_dir / FOLDER
    folder.mkdir(exist_ok=True)  # never the run's own folder, which somebody may have moved
    with run_lock.locked(folder, "another process is sending a notification", noted=False):
        path = folder / _file_name(begun.key)
        before = find_record(path, Record)
        if before and (before.sent or before.tries >= MOST_TRIES):
            return None
        tried = replace(begun, tries=before.tries + begun.tries) if before else begun
        files.write_json(path, tried.to_json())
        problem = send()
        ended = replace(tried, sent=not problem, problem=problem)
        files.write_json(path, ended.to_json())
        return problem, MOST_TRIES - ended.tries


def read_throttling(run_dir: Path) -> Throttling | None:
    """Return since when a run is known to be throttled; None if it is not.

    Raises:
        UnreadableError: that cannot be read now.
        InputError: the file is damaged.
    """
    return find_record(run_dir / FOLDER / _THROTTLING, Throttling)


def write_throttling(run_dir: Path, throttling: Throttling | None) -> None:
    """Remember since when a run is throttled, for the next round or process."""
    path = run_dir / FOLDER / _THROTTLING
    if throttling is None:
        path.unlink(missing_ok=True)
        return
    path.parent.mkdir(exist_ok=True)
    files.write_json(path, throttling.to_json())


def first_try(key: tuple[str, ...], host: str, now: datetime) -> Record:
    """Return the record of a first try that begins now."""
    return Record(key=key, tries=1, tried_at=now, host=host)


def _file_name(key: Sequence[str]) -> str:
    digest = hashlib.sha256("\n".join(key).encode()).hexdigest()[:12]
    return f"{key[0]}-{digest}.json"
