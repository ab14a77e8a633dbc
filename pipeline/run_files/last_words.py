"""Record why a task ended, in its own words: Slurm's FAILED does not say it."""

import contextlib
import json
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from pipeline import files
from pipeline.config.keys import Section
from pipeline.errors import Cause, InputError, TaskError, UnreadableError
from pipeline.run_files.json_record import find_record
from pipeline.run_files.manifest import log_path
from pipeline.system import out_of_memory
from pipeline.system.shortage import find_shortage
from pipeline.system.spare_descriptors import SpareDescriptors
from pipeline.terminal import without_middle

LONGEST_TRACEBACK = 20_000
LONGEST_MESSAGE_IN_PLACE, LONGEST_TRACEBACK_IN_PLACE = 1_000, 1_500
WORDS_LOOKED_AT = 32
# How long to wait before each new try to write, in seconds. Slurm may send SIGKILL soon.
_WRITE_PAUSES = (0.2, 1.0, 2.0)
_ENDING = ".last-words.json"
_STOPPED = "stopped at once: "


class LastWords(Section, frozen=True, kw_only=True):
    """Why a task ended, in its own words."""

    cause: Cause
    message: str
    traceback: str
    node: str
    written_at: str
    """ISO 8601, UTC."""
    stops_run: bool = False
    """Whether the run's other shards would fail in the same way."""


def path_of(run_dir: Path, attempt: int, index: int) -> Path:
    """Return the file of an attempt's last words about a shard."""
    return log_path(run_dir, attempt) / f"{index:05d}{_ENDING}"


def shard_of(name: str) -> int | None:
    """Return the shard that a file of this name has last words about; None for other files."""
    if not name.endswith(_ENDING):
        return None
    shard = name.removesuffix(_ENDING)
    return int(shard) if shard.isdecimal() else None


def read(run_dir: Path, attempt: int, index: int) -> LastWords | None:
    """Return why a task ended, in its own words; None where it left none.

    Raises:
        InputError: another version wrote the file, or it is damaged.
        UnreadableError: the file cannot be read now.
    """
    return find_record(path_of(run_dir, attempt, index), LastWords)


def earlier_rejection(run_dir: Path, attempt: int, index: int) -> str | None:
    """Return why another shard was rejected, if that stops the run; None if none was.

    The tasks of an array start in the order of their indices, and each that starts after a
    rejection repeats it. So the last few of them are enough, whatever went wrong with the others.
    """
    folder = log_path(run_dir, attempt)
    shards = {shard_of(path.name) for path in folder.glob(f"*{_ENDING}")} - {index, None}
    others = sorted(shard for shard in shards if shard is not None)
    for shard in reversed(others[-WORDS_LOOKED_AT:]):
        words = None
        # Last words of another version reject nothing; a verb reports them. Nor do those that
        # cannot be read now: this only spares the task a rejection of its own.
        with contextlib.suppress(InputError, UnreadableError):
            words = read(run_dir, attempt, shard)
        if words and words.stops_run:
            if words.message.startswith(_STOPPED):
                return words.message
            return f"{_STOPPED}shard {shard} was refused: {words.message}"
    return None


@contextlib.contextmanager
def recorded(run_dir: Path, attempt: int, index: int, node: str) -> Iterator["LastWordsWriter"]:
    """Record an exception of the block as the task's last words, and end the task with code 1.

    The exception itself goes no further, because submitit would print and pickle it unredacted.
    SystemExit and KeyboardInterrupt are not errors: they leave no last words.

    Raises:
        SystemExit: with code 1, in place of the exception.
    """
    writer = LastWordsWriter(path_of(run_dir, attempt, index), node)
    try:
        # After a requeue of the same attempt, the last words of the former process do not count.
        writer.path.unlink(missing_ok=True)
        yield writer
    except Exception as error:  # noqa: BLE001 - whatever ended the task is recorded
        writer.write(error)
        raise SystemExit(1) from None


class LastWordsWriter:
    """Writes the last words of one task. Set `redact` as soon as the key is known."""

    def __init__(self, path: Path, node: str) -> None:
        """Keep the file to write and the node's name."""
        self.path = path
        self._node = node
        self._spare = SpareDescriptors()
        self.redact: Callable[[str], str] = str
        self.replaceable: Path | None = None
        """A file of the task that may become the last words where the disk has no room for both."""

    def write(self, error: Exception) -> None:
        """Write the error to stderr and to the file, both without the key.

        Tries a few times. What cannot be written even then is on stderr only.
        """
        self._spare.release()
        message = self._redact(str(error) or type(error).__name__)
        origin = self._redact(_origin(error))
        shown = f"{message}\n{origin}".rstrip() if _says_it_all(error) else origin
        with contextlib.suppress(OSError):  # a log without room must not keep the words away
            print(shown, file=sys.stderr, flush=True)
        words = LastWords(
            cause=cause_of(error),
            message=message,
            traceback=origin[-LONGEST_TRACEBACK:],
            node=self._node,
            written_at=datetime.now(UTC).isoformat(timespec="seconds"),
            stops_run=stops_run(error),
        )
        for pause in (*_WRITE_PAUSES, None):
            try:
                files.make_folder_of_run(self.path.parent)
                files.write_json(self.path, words.to_json())
                return
            except OSError as failure:
                problem = f"{self.path}: not written: {failure}"
            if pause is not None:
                time.sleep(pause)
        if self.replaceable is None or not _write_in_place(self.replaceable, self.path, words):
            with contextlib.suppress(OSError):
                print(problem, file=sys.stderr, flush=True)

    def _redact(self, text: str) -> str:
        """Return the text without the key and without half surrogate pairs.

        A path that is not UTF-8 contains such halves. Writing one would raise an error, which
        Python would print unredacted.
        """
        return self.redact(text).encode(errors="backslashreplace").decode()


def _origin(error: Exception) -> str:
    """Return what is known of an error beside its message: its traceback, or only its notes."""
    if _says_it_all(error):
        return "\n".join(getattr(error, "__notes__", ()))
    return "".join(traceback.format_exception(error))


def _says_it_all(error: Exception) -> bool:
    """Return whether an error was foreseen: its message says what happened, where and what to do.

    One that wraps another has the other's traceback, which shows what nobody foresaw.
    """
    return isinstance(error, TaskError | InputError) and error.__cause__ is None


def _write_in_place(existing: Path, target: Path, words: LastWords) -> bool:
    """Let a small file become the last words, shortened to the block that it has on a full disk."""
    short = msgspec.structs.replace(
        words,
        message=without_middle(words.message, LONGEST_MESSAGE_IN_PLACE),
        traceback=words.traceback[-LONGEST_TRACEBACK_IN_PLACE:],
    )
    try:
        files.overwrite(existing, json.dumps(short.to_json()).encode())
        existing.replace(target)
    except OSError:
        return False
    return True


def cause_of(error: Exception) -> Cause:
    """Return why a task that ended with this error has failed."""
    if isinstance(error, TaskError):
        return error.cause
    if isinstance(error, InputError):
        return Cause.REFUSED
    if isinstance(error, UnreadableError):
        return cause_of(error.reason)
    if out_of_memory.is_cause_of(error):
        return Cause.OUT_OF_MEMORY
    return Cause.CRASHED


def stops_run(error: Exception) -> bool:
    """Return whether the run's other shards would fail in the same way."""
    return error.stops_run if isinstance(error, TaskError) else isinstance(error, InputError)


def blames_post(error: BaseException) -> bool:
    """Return whether the post in flight may be why a classifier ended with this error."""
    if isinstance(error, TaskError):
        return error.blames_post
    if isinstance(error, UnreadableError) or find_shortage(error):
        return False
    # SystemExit and KeyboardInterrupt: a library that ends the process for one bad text.
    return not isinstance(error, Exception) or cause_of(error) is Cause.CRASHED
