"""Why a task died, in its own words: what Slurm's FAILED cannot tell."""

import json
import sys
import traceback
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType

from pipeline import files, out_of_memory
from pipeline.errors import Cause, InputError, TaskError
from pipeline.run_files.manifest import log_path

LONGEST_TRACEBACK = 20_000
WORDS_LOOKED_AT = 32
_ENDING = ".last-words.json"
_STOPPED = "stopped at once: "


@dataclass(frozen=True, kw_only=True, slots=True)
class LastWords:
    cause: Cause
    message: str
    traceback: str
    node: str
    written_at: str
    stops_run: bool = False


def path_of(run_dir: Path, attempt: int, index: int) -> Path:
    return log_path(run_dir, attempt) / f"{index:05d}{_ENDING}"


def read(run_dir: Path, attempt: int, index: int) -> LastWords | None:
    """None where the task said nothing, or its words cannot be read: Slurm's state stands then."""
    try:
        values = json.loads(path_of(run_dir, attempt, index).read_text(encoding="utf-8"))
        return LastWords(**{**values, "cause": Cause(values["cause"])})
    except (OSError, ValueError, KeyError, TypeError):
        return None


def earlier_rejection(run_dir: Path, attempt: int, index: int) -> str | None:
    """What another shard's task was refused, if that stops the run: then this one need not ask.

    The tasks of an array start in the order of their indices, and each that starts after a refusal
    says so again: a look at the last ones is enough, whatever else went wrong with the others.
    """
    folder = log_path(run_dir, attempt)
    names = (path.name for path in folder.glob(f"*{_ENDING}"))
    others = sorted(name for name in names if name != f"{index:05d}{_ENDING}")
    for name in reversed(others[-WORDS_LOOKED_AT:]):
        shard = name.removesuffix(_ENDING)
        words = read(run_dir, attempt, int(shard)) if shard.isdecimal() else None
        if words and words.stops_run:
            if words.message.startswith(_STOPPED):
                return words.message
            return f"{_STOPPED}shard {int(shard)} was refused: {words.message}"
    return None


class LastWordsWriter:
    """Around a task's work: writes the last words of an exception and ends the task with code 1.

    The exception goes no further: submitit would print and pickle it, unredacted. What is not
    an error (SystemExit, KeyboardInterrupt) leaves no words.
    """

    def __init__(self, run_dir: Path, attempt: int, index: int, node: str) -> None:
        self._path = path_of(run_dir, attempt, index)
        self._node = node
        self.redact: Callable[[str], str] = str

    def __enter__(self) -> "LastWordsWriter":
        # A requeued life of the same attempt must not be judged by its forerunner's words.
        self._path.unlink(missing_ok=True)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if not isinstance(error, Exception):
            return
        shown = self._shown("".join(traceback.format_exception(error)))
        print(shown, file=sys.stderr, flush=True)
        words = LastWords(
            cause=cause_of(error),
            message=self._shown(str(error) or type(error).__name__),
            traceback=shown[-LONGEST_TRACEBACK:],
            node=self._node,
            written_at=datetime.now(UTC).isoformat(timespec="seconds"),
            stops_run=stops_run(error),
        )
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            files.write_json(self._path, asdict(words))
        except OSError as full:
            print(f"{self._path}: not written: {full}", file=sys.stderr, flush=True)
        raise SystemExit(1) from None

    def _shown(self, text: str) -> str:
        """Without the key, and writable: half a surrogate pair, as of a path that is not UTF-8,
        would end the writing of the words with an error that Python prints, unredacted."""
        return self.redact(text).encode(errors="backslashreplace").decode()


def cause_of(error: Exception) -> Cause:
    if isinstance(error, TaskError):
        return error.cause
    if isinstance(error, InputError):
        return Cause.REFUSED
    if out_of_memory.is_cause_of(error):
        return Cause.OUT_OF_MEMORY
    return Cause.CRASHED


def stops_run(error: Exception) -> bool:
    return error.stops_run if isinstance(error, TaskError) else isinstance(error, InputError)


def blames_post(error: BaseException) -> bool:
    """Whether a classifier that ended so may have been ended by the post it had in hand."""
    if isinstance(error, TaskError):
        return error.blames_post
    # SystemExit and KeyboardInterrupt: a library that ends the process for one bad text.
    return not isinstance(error, Exception) or cause_of(error) is Cause.CRASHED
