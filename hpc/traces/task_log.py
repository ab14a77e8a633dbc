"""Read the end of a task's log, whether it is a file of its own or part of its shard's log."""

from pathlib import Path

import msgspec

from hpc.run.model.attempts import Attempt, LogExcerpt
from hpc.run.model.run import Run
from hpc.traces.packed_tasks import packed_log_path, read_excerpt
from pipeline.run_files import last_words
from pipeline.run_files.manifest import server_log_path
from pipeline.terminal import last_lines, last_lines_of_file


class TaskLog(msgspec.Struct, frozen=True):
    """Where a log is."""

    path: Path
    """The file."""
    excerpt: LogExcerpt | None = None
    """The part of it; None for all."""

    def last_lines(self, most: int) -> list[str] | None:
        """Return at most this many lines, safe to show on a terminal; None if it cannot be read."""
        if self.excerpt is None:
            return last_lines_of_file(self.path, most)
        text = _read(self.path, self.excerpt)
        return None if text is None else last_lines(text, most)


def log_of(run: Run, shard: int, attempt: Attempt, own: Path | None) -> TaskLog | None:
    """Return the log of an attempt; None if there is none.

    Args:
        run: the run.
        shard: the index of the shard.
        attempt: the attempt at it.
        own: the file that the executor lets the task write to.
    """
    packed = attempt.packed.log if attempt.packed else None
    return _packed_log(run, shard, packed) or (TaskLog(own) if own else None)


def server_log_of(run: Run, shard: int, attempt: Attempt) -> TaskLog | None:
    """Return the log of the server that the task started; None where it started none."""
    if attempt.packed is None:
        path = server_log_path(run.folder, attempt.number, shard)
        return TaskLog(path) if path.exists() else None
    return _packed_log(run, shard, attempt.packed.server_log)


def traceback_of(run: Run, shard: int, attempt: Attempt) -> str:
    """Return the traceback of an attempt's last words; '' if there is none."""
    if attempt.packed is None:
        words = last_words.read(run.folder, attempt.number, shard)
        return words.traceback if words else ""
    log = _packed_log(run, shard, attempt.packed.traceback)
    return (_read(log.path, log.excerpt) or "") if log and log.excerpt else ""


def _packed_log(run: Run, shard: int, excerpt: LogExcerpt | None) -> TaskLog | None:
    return TaskLog(packed_log_path(run.folder, shard), excerpt) if excerpt else None


def _read(path: Path, excerpt: LogExcerpt) -> str | None:
    content = read_excerpt(path, excerpt)
    return None if content is None else content.decode(errors="replace")
