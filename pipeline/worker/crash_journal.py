"""Which posts a task has in hand, written down as they are taken: a death shows who is to blame.

A post that is in hand when a task crashes is a suspect. The next attempt asks suspects one at a
time, and one at which it crashes again, alone, is set aside by the attempt after that: else one
post that kills its task would cost a shard all attempts, and with them all its other posts.

The journal is one byte a post, in the shard's order. It is written with pwrite: the kernel has it
when SIGKILL comes, and a full disk is an error (of a memory map, it would be SIGBUS).
"""

import contextlib
import errno
import os
import sys
import time
import uuid
import weakref
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from pipeline.errors import Cause, TaskError

WAITING, IN_HAND, ANSWERED = range(3)
JOURNAL, TRIAL = ".in-hand", ".trial"
# A classifier that takes posts this quickly has some written ahead, twice as many each time, and
# answers are written with them: each write lets go of the interpreter, which for valence cost a
# tenth of its speed. Posts that are suspected for it are asked alone, and cleared.
AHEAD, QUICK_SECONDS = 16, 0.01


def trials_by_attempt(folder: Path) -> dict[int, int]:
    """How many posts each attempt was asking alone when it ended, by the names of its files."""
    trials: dict[int, int] = {}
    for attempt, _ in _trials(folder, "*"):
        trials[attempt] = trials.get(attempt, 0) + 1
    return trials


@dataclass(frozen=True, kw_only=True, slots=True)
class Evidence:
    """What crashed attempts left: by row, which of them had its post in hand; those that died
    when they asked it alone."""

    held: dict[int, set[int]] = field(default_factory=dict)
    alone: frozenset[int] = frozenset()

    def verdict(self, row: int) -> str:
        *others, last = map(str, sorted(self.held[row]))
        which = f"attempts {', '.join(others)} and {last}" if others else f"attempt {last}"
        return f"poison: the task died at this post in {which}"


def evidence(folder: Path, crashed: Iterable[int]) -> Evidence:
    held: dict[int, set[int]] = {}
    alone: set[int] = set()
    for attempt in crashed:
        rows: set[int] = set()
        for path in folder.glob(f"{attempt:04d}-*{JOURNAL}"):
            try:
                states = path.read_bytes()
            except OSError as error:
                print(f"{path}: left out, it cannot be read: {error}", file=sys.stderr)
                continue
            rows.update(row for row, state in enumerate(states) if state == IN_HAND)
        tried = {row for _, row in _trials(folder, f"{attempt:04d}")}
        for row in rows | tried:
            held.setdefault(row, set()).add(attempt)
        alone |= tried
    return Evidence(held=held, alone=frozenset(alone))


def clear(folder: Path) -> None:
    """Removes all journals and trials of a shard that is published. A life that still runs writes
    on into a file without a name."""
    for path in (*folder.glob(f"[0-9]*{JOURNAL}"), *folder.glob(f"[0-9]*{TRIAL}")):
        path.unlink(missing_ok=True)


class CrashJournal:
    """One life's journal, in a `with` around its work. It stays behind where the task dies without
    leaving the block, or leaves it with `blamed` set; all other ends are nobody's fault.

    Args:
        folder: the shard's work folder; made where missing.
        uris: of the shard's posts, in its order.
    """

    def __init__(self, folder: Path, *, attempt: int, uris: Sequence[str]) -> None:
        self._prefix = folder / f"{attempt:04d}-"
        self._rows = {uri: row for row, uri in enumerate(uris)}
        self._path = Path(f"{self._prefix}{uuid.uuid4().hex[:8]}{JOURNAL}")
        self._states = bytearray([ANSWERED]) * len(uris)
        self._first, self._last = len(uris), 0
        self._handed_out = self._written = 0.0
        self._ahead = 1
        self._trial: Path | None = None
        self._fault: TaskError | None = None
        self.alone = False
        self.blamed = False
        # Lives of the same attempt ended by a requeue, and no crash.
        for suffix in (JOURNAL, TRIAL):
            for left in folder.glob(f"{self._prefix.name}*{suffix}"):
                left.unlink(missing_ok=True)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            # All of it now: a disk that is full should stop the task before it has asked.
            self._path.write_bytes(bytes(len(uris)))
            self._file = os.open(self._path, os.O_WRONLY)
        except OSError as error:
            raise self._trouble(error) from None
        # Not closed before that: the classifier's thread may outlive the block, and the number of
        # a closed file is soon another's.
        weakref.finalize(self, os.close, self._file)

    def __enter__(self) -> "CrashJournal":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.blamed:
            return
        with contextlib.suppress(OSError):  # the task's end should be told, not this
            self._path.unlink(missing_ok=True)
            if self._trial:
                self._trial.unlink(missing_ok=True)

    def will_be_asked(self, row: int) -> None:
        """Among others: it may be written ahead."""
        self._states[row] = WAITING

    def handed_out(self, uri: str) -> None:
        """Before the classifier gets it. While `alone` is set, a file of its own says so.

        Raises TaskError where that cannot be written, or what was answered before could not.
        """
        if self._fault:
            raise self._fault
        try:
            self._hand_out(self._rows[uri])
        except OSError as error:
            raise self._trouble(error) from None

    def answered(self, uri: str) -> None:
        """Raises nothing: that would cost this answer and all that are under way, and they are paid
        for. What fails here is raised before the next post is handed out; until then posts may be
        suspected that were answered, but for those whose answers are kept."""
        row = self._rows.get(uri)
        if row is None:
            return
        self._states[row] = ANSWERED
        if row < self._first:
            self._first = row
        if row >= self._last:
            self._last = row + 1
        try:
            if self._trial:
                self._trial.unlink(missing_ok=True)
                self._trial = None
            if time.monotonic() - self._written >= QUICK_SECONDS:
                self._write(row, row + 1)
        except OSError as error:
            self._fault = self._trouble(error)

    def _hand_out(self, row: int) -> None:
        if self.alone:
            self._trial = Path(f"{self._prefix}{row:05d}{TRIAL}")
            self._trial.touch()
            self._states[row] = IN_HAND
            self._write(row, row + 1)
        elif self._states[row] != IN_HAND:
            now = time.monotonic()
            quick = now - self._handed_out < QUICK_SECONDS
            self._ahead = min(2 * self._ahead, AHEAD) if quick else 1
            self._handed_out = now
            end = row + self._ahead
            self._states[row:end] = self._states[row:end].replace(
                bytes([WAITING]), bytes([IN_HAND])
            )
            self._write(row, end)

    def _write(self, start: int, end: int) -> None:
        """These rows, and those whose answers came since the last write."""
        start, end = min(start, self._first), max(end, self._last)
        self._first, self._last = len(self._states), 0
        try:
            os.pwrite(self._file, self._states[start:end], start)
        except OSError as error:
            # On NFS, of a file that another life has removed: that shard needs no journal any more.
            if error.errno != errno.ESTALE:
                raise
        self._written = time.monotonic()

    def _trouble(self, error: OSError) -> TaskError:
        return TaskError(Cause.CRASHED, f"{self._path}: {error.strerror}")


def _trials(folder: Path, attempt: str) -> list[tuple[int, int]]:
    """(attempt, row) of each trial that was not ended by an answer."""
    found = []
    for path in folder.glob(f"{attempt}-*{TRIAL}"):
        first, _, row = path.stem.partition("-")
        if first.isdecimal() and row.isdecimal():
            found.append((int(first), int(row)))
    return found
