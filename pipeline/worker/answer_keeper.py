"""Keep answers that are paid for, even while the disk is full or no file can be opened.

A task that cannot write its answers sends no more requests. It keeps its answers in memory and
retries until it can write them, or is asked to stop. Ending instead would lose the answers, and the
next attempt would pay for them again.
"""

import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

from pipeline.errors import Cause, TaskError
from pipeline.model import Answer, Post
from pipeline.run_files.checkpoints.checkpoint import Checkpoint
from pipeline.system import out_of_memory
from pipeline.system.shortage import is_shortage
from pipeline.system.spare_descriptors import SpareDescriptors
from pipeline.text import counted
from pipeline.worker.crash_journal import CrashJournal

T = TypeVar("T")

# Seconds between two tries to write; they double.
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 15.0
# A task that is to stop tries for so long after the drain: SIGKILL comes 30 s after SIGTERM.
FINAL_SECONDS = 10.0
# More memory than now comes only if answers under way end, and a larger task needs a new attempt.
MEMORY_SECONDS = 60.0
_POLL_SECONDS = 0.05
_RECOVERED = "answers can be written again"


class AnswerKeeper:
    """Keeps the answers of a shard: what a classifier's thread gives it, and writes it.

    The classifier's thread calls `record_handed_out` and `record_answered`; all else is called by
    the task's own thread.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        journal: CrashJournal,
        stopping: threading.Event,
        *,
        rows: int,
        seconds: float,
        say: Callable[[str], None],
    ) -> None:
        """Begin without trouble.

        Args:
            checkpoint: holds the answers.
            journal: records which posts are in flight.
            stopping: set when the task is to stop.
            rows: how many answers a part holds.
            seconds: how long an answer waits for its part.
            say: prints a line to the task's log.
        """
        self._checkpoint = checkpoint
        self._journal = journal
        self._stopping = stopping
        self._rows, self._seconds = rows, seconds
        self._say = say
        self._awaited: set[str] = set()
        self._last_part = time.monotonic()
        self._failure: Exception | None = None
        self._unrecorded: OSError | None = None
        self._failing_since = self._next_try = 0.0
        self._pause = FIRST_PAUSE
        self._is_closed = False
        self._spare = SpareDescriptors()
        self.wake = threading.Event()
        """Is set when the task's own thread has something to write."""
        self._answers = 0
        self._copied = self._copied_saved = 0

    @property
    def trouble(self) -> str:
        """Why nothing is asked at the moment; '' if nothing is wrong."""
        failure = self._failure or self._unrecorded
        if failure is None:
            return ""
        return f"cannot write its answers, and sends no requests until it can: {_describe(failure)}"

    @property
    def awaited(self) -> frozenset[str]:
        """The posts that have no answer yet."""
        return frozenset(self._awaited)

    @property
    def saved(self) -> int:
        """How many posts have one of its answers that is on the disk, in a part or the journal.

        Copies count once no answer is in memory only.
        """
        return self._answers - self._checkpoint.unsaved + self._copied_saved

    def ask_about(self, posts: list[Post]) -> None:
        """Accept answers about these posts from now on, and no others."""
        self._awaited = {post.uri for post in posts}

    def record_handed_out(self, uris: Sequence[str]) -> None:
        """Record that posts are in flight, once everything before them is written."""
        self._wait_while_failing()
        self._retry_record(partial(self._journal.record_handed_out, *uris))

    def record_answered(self, answers: Sequence[Answer]) -> None:
        """Keep answers, and return once they are written as far as they can be.

        Raises:
            TaskError: an answer breaks the classifier protocol. Those before are kept.
        """
        for position, answer in enumerate(answers):
            if answer.uri not in self._awaited:
                self._keep(answers[:position])
                raise TaskError(
                    Cause.REFUSED,
                    f"the classifier answered for {answer.uri!r}, but no answer for it was "
                    "expected: this breaks the classifier protocol",
                )
            self._awaited.discard(answer.uri)
        self._keep(answers)

    def _keep(self, answers: Sequence[Answer]) -> None:
        failure = self._checkpoint.add_together(answers)
        self._answers += len(answers)
        for answer in answers:
            self._copied += self._checkpoint.posts_of(answer.uri) - 1
            self._journal.record_answered(answer.uri)
        self._count_saved_copies()
        if failure is not None:
            self._fail(failure)
        if failure is not None or self._checkpoint.pending >= self._rows:
            self.wake.set()
        self._wait_while_failing()

    def is_part_due(self, now: float) -> bool:
        """Return whether a part should be written now; `now` is on the monotonic clock."""
        if self._failure is not None:
            return now >= self._next_try
        is_full = self._checkpoint.pending >= self._rows
        return is_full or now - self._last_part >= self._seconds

    def write_part(self) -> bool:
        """Write the pending answers; return False if that failed and has to be tried again.

        Raises:
            FileNotFoundError: the run was moved or deleted.
            MemoryError, OSError: there is too little memory, and there will not be more.
        """
        if not self._try(self._checkpoint.flush):
            return False
        self._last_part = time.monotonic()
        return True

    def retry_until_written(self, write: Callable[[], None], meanwhile: Callable[[], None]) -> bool:
        """Try to write until it works; return False if the task was asked to stop before.

        Args:
            write: writes something; raises OSError or MemoryError if that fails.
            meanwhile: called again and again while this waits.

        Raises:
            FileNotFoundError, MemoryError, OSError: as `write_part` does.
        """
        give_up_at: float | None = None
        while not self._try(write):
            while (now := time.monotonic()) < self._next_try:
                if self._stopping.is_set():
                    give_up_at = now + FINAL_SECONDS if give_up_at is None else give_up_at
                    self._next_try = min(self._next_try, now + FIRST_PAUSE)
                    if now >= give_up_at:
                        return False
                meanwhile()
                time.sleep(_POLL_SECONDS)
        return True

    def write_all(self, meanwhile: Callable[[], None]) -> None:
        """Write all answers, however long that takes; say how many are lost if it never works.

        Raises:
            FileNotFoundError, MemoryError, OSError: as `write_part` does.
        """
        if not self.retry_until_written(self._checkpoint.flush, meanwhile) and (
            lost := self._checkpoint.unsaved
        ):
            trouble = _describe(self._failure) if self._failure else ""
            self._say(f"{counted(lost, 'answer')} could not be written and are lost: {trouble}")

    def close(self) -> None:
        """Let a classifier's thread that waits for the disk go on: nothing is written any more."""
        self._is_closed = True
        self._spare.release()

    def _wait_while_failing(self) -> None:
        while self._failure is not None and not self._must_go_on():
            time.sleep(_POLL_SECONDS)

    def _retry_record(self, record: Callable[[], None]) -> None:
        """Write to the crash journal, from the classifier's thread, until it works."""
        pause = FIRST_PAUSE
        while not self._must_go_on():
            try:
                record()
                break
            except OSError as error:
                is_new, self._unrecorded = self._unrecorded is None, error
            if is_new:
                self._say(self.trouble)
            until = time.monotonic() + pause
            while time.monotonic() < until and not self._must_go_on():
                time.sleep(_POLL_SECONDS)
            pause = min(2 * pause, LONGEST_PAUSE)
        if self._unrecorded is not None:
            self._unrecorded = None
            self._say(_RECOVERED)

    def _count_saved_copies(self) -> None:
        copied = self._copied  # first, because another thread may add an answer meanwhile
        if not self._checkpoint.unsaved:
            self._copied_saved = copied

    def _must_go_on(self) -> bool:
        return self._is_closed or self._stopping.is_set()

    def _try(self, write: Callable[[], None]) -> bool:
        try:
            with self._spare.released():
                write()
        except FileNotFoundError:
            raise
        except (OSError, MemoryError) as error:
            self._fail(error)
            now = time.monotonic()
            if out_of_memory.is_cause_of(error) and now - self._failing_since > MEMORY_SECONDS:
                raise
            self._next_try = now + self._pause
            self._pause = min(2 * self._pause, LONGEST_PAUSE)
            return False
        self._count_saved_copies()
        if self._failure is not None:
            self._say(_RECOVERED)
            self._failure = None
        self._pause = FIRST_PAUSE
        return True

    def _fail(self, error: Exception) -> None:
        is_new, self._failure = self._failure is None, error
        if is_new:
            self._failing_since = time.monotonic()
            self._next_try = 0.0
            self._say(self.trouble)


def begin_with_room(
    begin: Callable[[], T], stopping: threading.Event, say: Callable[[str], None]
) -> T | None:
    """Return what `begin` returns, once there is room for what it creates.

    A task that ended instead would use up an attempt, and so would the next ones: a disk is often
    full for hours.

    Args:
        begin: creates files.
        stopping: set when the task is to stop; then this returns None.
        say: prints a line to the task's log.

    Raises:
        FileNotFoundError: the run was moved or deleted.
        TaskError: a file cannot be created for another reason than a lack.
    """
    pause, trouble = FIRST_PAUSE, ""
    while True:
        try:
            begun = begin()
        except FileNotFoundError:
            raise
        except OSError as error:
            if not is_shortage(error):
                raise TaskError(Cause.CRASHED, f"cannot begin: {_describe(error)}") from error
            if not trouble:
                trouble = f"cannot begin, and asks nothing until it can: {_describe(error)}"
                say(trouble)
        else:
            if trouble:
                say("the task can begin now")
            return begun
        if stopping.wait(pause):
            return None
        pause = min(2 * pause, LONGEST_PAUSE)


def _describe(error: Exception) -> str:
    where = getattr(error, "filename", None)
    what = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return f"{what} ({where})" if where else what
