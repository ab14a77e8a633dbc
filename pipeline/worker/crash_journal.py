"""Keep a journal of the posts in flight, so that a crash shows which post may have caused it.

A post that is in flight when a task crashes is a suspect. The next attempt asks about suspects
one at a time, in a solo attempt each. If it crashes during a solo attempt, the attempt after that
sets the post aside. Otherwise one post that kills its task would use up all attempts of a shard,
and with them all its other posts.

The journal holds one byte per post, in the shard's order. It is written with pwrite: the kernel
has the bytes when SIGKILL comes, and a full disk is an error (with a memory map it would be
SIGBUS).
"""

import contextlib
import errno
import math
import os
import sys
import time
import uuid
import weakref
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import msgspec

from pipeline import files, limits
from pipeline.errors import DamagedError

WAITING, IN_FLIGHT, ANSWERED = range(3)
# The suffixes are part of the run folder's format: attempts of an older version wrote them too.
JOURNAL, SOLO_ATTEMPT = ".in-hand", ".trial"
# When a classifier takes posts this quickly, the journal marks posts ahead, twice as many each
# time, and records answers together with them. Each write releases the interpreter, which cost
# valence a tenth of its speed. Posts that become suspects this way are asked alone, and cleared.
MAX_AHEAD, QUICK_SECONDS = 16, 0.01


def solo_attempts_by_attempt(names: Iterable[str]) -> dict[int, int]:
    """Return how many solo attempts each attempt left unfinished, from the names in a work folder.

    An attempt without any is missing from the result.
    """
    return dict(Counter(attempt for attempt, _ in _solo_attempts(names)))


class CrashEvidence(msgspec.Struct, frozen=True, kw_only=True):
    """Which posts a shard's crashed attempts had in flight, by row in the shard."""

    suspects: dict[int, set[int]] = {}
    """The attempts that crashed with this row in flight."""
    died_alone: frozenset[int] = frozenset()
    """The rows at which a task crashed during a solo attempt."""

    def reason(self, row: int) -> str:
        """Return the reason that a post gets when it is set aside."""
        *others, last = map(str, sorted(self.suspects[row]))
        which = f"submissions {', '.join(others)} and {last}" if others else f"submission {last}"
        return f"poison: the task died at this post in {which}"


def read_evidence(folder: Path, crashed: Iterable[int]) -> CrashEvidence:
    """Return what the crashed attempts left in a shard's work folder.

    What is no journal is named on stderr and ignored.

    Raises:
        UnreadableError: a journal cannot be read now. Without it, a deadly post would be asked
            about together with others.
    """
    suspects: dict[int, set[int]] = {}
    died_alone: set[int] = set()
    solo_attempts = _solo_attempts(files.names_in(folder))
    for attempt in crashed:
        solo_rows = {row for number, row in solo_attempts if number == attempt}
        for row in _rows_in_flight(folder, attempt) | solo_rows:
            suspects.setdefault(row, set()).add(attempt)
        died_alone |= solo_rows
    return CrashEvidence(suspects=suspects, died_alone=frozenset(died_alone))


def clear(folder: Path) -> None:
    """Delete the journals and solo attempts of a published shard.

    A task of the shard that still runs goes on writing into a file without a name.
    """
    for path in (*folder.glob(f"[0-9]*{JOURNAL}"), *folder.glob(f"[0-9]*{SOLO_ATTEMPT}")):
        files.delete(path)


@contextlib.contextmanager
def closing_journal(journal: "CrashJournal") -> Iterator["CrashJournal"]:
    """Yield a journal for the block and delete it at the end, unless a post is to blame.

    It stays behind if the process dies within the block, or leaves it with `blamed` set.
    """
    try:
        yield journal
    finally:
        if not journal.blamed:
            journal.delete()


class CrashJournal:
    """The journal of one process; `closing_journal` deletes it.

    Set `solo` to begin solo attempts, and `blamed` if the post in flight may have ended the task.
    """

    def __init__(self, folder: Path, *, attempt: int, uris: Sequence[str]) -> None:
        """Create the journal file.

        Args:
            folder: the shard's work folder; created if missing.
            attempt: the attempt's number.
            uris: the uris of the shard's posts, in the shard's order.

        Raises:
            FileNotFoundError: the run was moved or deleted.
            OSError: the file cannot be created. What there is of it is deleted by the next try.
        """
        self._prefix = folder / f"{attempt:04d}-"
        self._rows = {uri: row for row, uri in enumerate(uris)}
        self._path = Path(f"{self._prefix}{uuid.uuid4().hex[:8]}{JOURNAL}")
        self._states = bytearray([ANSWERED]) * len(uris)
        self._first_unwritten, self._end_unwritten = len(uris), 0
        self._handed_out_at = self._written_at = -math.inf
        self._ahead = 1
        self._is_behind = False  # whether the last write failed
        self._solo_path: Path | None = None
        self.solo = False
        self.blamed = False
        # Processes of the same attempt ended by a requeue, not by a crash.
        for suffix in (JOURNAL, SOLO_ATTEMPT):
            for former in folder.glob(f"{self._prefix.name}*{suffix}"):
                former.unlink(missing_ok=True)
        files.make_folder_of_run(folder)
        # At full size now: a full disk should stop the task before it has asked anything.
        self._path.write_bytes(bytes(len(uris)))
        self._file = os.open(self._path, os.O_WRONLY)
        # Not closed earlier: the classifier's thread may outlive the task's work, and the number
        # of a closed file soon belongs to another file.
        weakref.finalize(self, os.close, self._file)

    def delete(self) -> None:
        """Delete this journal's files, as far as the file system lets it."""
        with contextlib.suppress(OSError):  # how the task ended matters more than this
            self._path.unlink(missing_ok=True)
            if self._solo_path:
                self._solo_path.unlink(missing_ok=True)

    def will_be_asked(self, row: int) -> None:
        """Allow this row to be marked ahead of time: it is asked about together with others."""
        self._states[row] = WAITING

    def record_handed_out(self, *uris: str) -> None:
        """Record that the classifier takes these posts, by one write, before it gets them.

        While `solo` is set, a file of its own records the solo attempt.

        Raises:
            OSError: this cannot be written, or an earlier answer could not. It may be tried again.
        """
        self._end_solo_attempt()
        rows = [self._rows[uri] for uri in uris]
        if len(rows) > 1 and not self.solo:
            for row in rows:
                self._states[row] = IN_FLIGHT
            self._write(min(rows), max(rows) + 1)
            return
        for row in rows:
            self._hand_out(row)

    def record_answered(self, uri: str) -> None:
        """Record that this post is answered.

        Never raises: that would lose all answers that are under way, and they are paid for. What
        fails is tried again before the next post is handed out. Until then answered posts may stay
        suspects, except those whose answers are kept.
        """
        row = self._rows.get(uri)
        if row is None:
            return
        self._states[row] = ANSWERED
        if row < self._first_unwritten:
            self._first_unwritten = row
        if row >= self._end_unwritten:
            self._end_unwritten = row + 1
        with contextlib.suppress(OSError):
            self._end_solo_attempt()
            if time.monotonic() - self._written_at >= QUICK_SECONDS:
                self._write(row, row + 1)

    def _end_solo_attempt(self) -> None:
        """Delete the file of a solo attempt whose post is answered."""
        if self._solo_path:
            self._solo_path.unlink(missing_ok=True)
            self._solo_path = None

    def _hand_out(self, row: int) -> None:
        if self.solo:
            self._solo_path = Path(f"{self._prefix}{row:05d}{SOLO_ATTEMPT}")
            self._solo_path.touch()
            self._states[row] = IN_FLIGHT
            self._write(row, row + 1)
        elif self._states[row] != IN_FLIGHT or self._is_behind:
            now = time.monotonic()
            is_quick = now - self._handed_out_at < QUICK_SECONDS
            self._ahead = min(2 * self._ahead, MAX_AHEAD) if is_quick else 1
            self._handed_out_at = now
            end = row + self._ahead
            self._states[row:end] = self._states[row:end].replace(
                bytes([WAITING]), bytes([IN_FLIGHT])
            )
            self._write(row, end)

    def _write(self, start: int, end: int) -> None:
        """Write these rows, and those that were answered since the last write."""
        start, end = min(start, self._first_unwritten), max(end, self._end_unwritten)
        self._first_unwritten, self._end_unwritten = start, end
        try:
            os.pwrite(self._file, self._states[start:end], start)
        except OSError as error:
            # On NFS: another task published the shard and deleted this file, so nobody needs it.
            if error.errno != errno.ESTALE:
                self._is_behind = True
                raise
        self._is_behind = False
        self._first_unwritten, self._end_unwritten = len(self._states), 0
        self._written_at = time.monotonic()


def _rows_in_flight(folder: Path, attempt: int) -> set[int]:
    rows: set[int] = set()
    for name in files.names_in(folder):
        if not (name.startswith(f"{attempt:04d}-") and name.endswith(JOURNAL)):
            continue
        path = folder / name
        try:
            states = files.read_whole(path, most_bytes=limits.RECORD_BYTES)
        except FileNotFoundError:  # another attempt has published the shard
            continue
        except DamagedError as error:
            print(f"{path}: ignored, {error.problem}", file=sys.stderr)
            continue
        rows.update(row for row, state in enumerate(states) if state == IN_FLIGHT)
    return rows


def _solo_attempts(names: Iterable[str]) -> list[tuple[int, int]]:
    """Return (attempt, row) of each solo attempt that no answer ended."""
    pairs = []
    for name in names:
        if not name.endswith(SOLO_ATTEMPT):
            continue
        number, _, row = name.removesuffix(SOLO_ATTEMPT).partition("-")
        if number.isdecimal() and row.isdecimal():
            pairs.append((int(number), int(row)))
    return pairs
