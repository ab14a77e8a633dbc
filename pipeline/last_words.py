"""Why a task died, in its own words: what Slurm's FAILED cannot tell."""

import json
import sys
import traceback
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType

from pipeline import files
from pipeline.errors import Cause, InputError, TaskError
from pipeline.manifest import log_path

LONGEST_TRACEBACK = 20_000


@dataclass(frozen=True, kw_only=True, slots=True)
class LastWords:
    cause: Cause
    message: str
    traceback: str
    node: str
    written_at: str


def path_of(run_dir: Path, attempt: int, index: int) -> Path:
    return log_path(run_dir, attempt) / f"{index:05d}.last-words.json"


def read(run_dir: Path, attempt: int, index: int) -> LastWords | None:
    """None where the task said nothing, or its words cannot be read: Slurm's state stands then."""
    try:
        values = json.loads(path_of(run_dir, attempt, index).read_text(encoding="utf-8"))
        return LastWords(**{**values, "cause": Cause(values["cause"])})
    except (OSError, ValueError, KeyError, TypeError):
        return None


class Dying:
    """Around a task's work: writes the last words of an exception and ends the task with code 1.

    The exception goes no further: submitit would print and pickle it, unredacted. What is not
    an error (SystemExit, KeyboardInterrupt) leaves no words.
    """

    def __init__(self, run_dir: Path, attempt: int, index: int, node: str) -> None:
        self._path = path_of(run_dir, attempt, index)
        self._node = node
        self.redact: Callable[[str], str] = str

    def __enter__(self) -> "Dying":
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
    # torch.cuda.OutOfMemoryError is a RuntimeError; torch must not be imported to ask.
    if (
        isinstance(error, MemoryError)
        or type(error).__name__ == "OutOfMemoryError"
        or "CUDA out of memory" in str(error)
    ):
        return Cause.OUT_OF_MEMORY
    return Cause.CRASHED
