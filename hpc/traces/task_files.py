"""Read what the tasks of a run wrote, during one look at it, and collect what is wrong with it."""

import os
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import TypeVar

import msgspec

from hpc.run.model import Run
from hpc.traces.file_memory import FileMemory, MemoryFile, Stamp
from hpc.traces.log_folder import LogFolder, list_log_folder
from hpc.traces.packed_tasks import PackedTasks, read_packed_tasks, size_of_list
from hpc.traces.work_folder import WorkFolder, list_work_folder
from pipeline.errors import InputError, UnreadableError
from pipeline.run_files import answer_journal, heartbeat, last_words
from pipeline.run_files.heartbeat import Heartbeat
from pipeline.run_files.last_words import LastWords
from pipeline.run_files.manifest import work_path

T = TypeVar("T")
_NOTHING = WorkFolder()


class TaskFiles:
    """The files of a run's tasks. Each folder is listed once, when it is first needed."""

    def __init__(self, run: Run) -> None:
        """Read what earlier looks remember of the files."""
        self._run = run
        self._words = FileMemory(run.folder, MemoryFile.LAST_WORDS, LastWords)
        self._heartbeats = FileMemory(run.folder, MemoryFile.HEARTBEATS, Heartbeat)
        self._journals = FileMemory(run.folder, MemoryFile.JOURNALS, int)
        self._logs: dict[int, LogFolder] = {}
        self._work: dict[int, WorkFolder] = {}
        self._work_folders = _names(run.folder / "work")
        self.unreadable: list[str] = []
        """What is wrong with files: they are damaged, unreadable, or of another version."""
        self.packed: PackedTasks = {}
        """What was packed, and is in no file of its own any more."""
        self._packed_size = 0
        self._read_packed()

    def list_folders(self, attempts: Iterable[int]) -> None:
        """List the log folders of attempts and the work folders, and read again what is packed.

        To be called when the executor has answered. Somebody may have packed tasks since, and they
        are on the list before their files are removed.
        """
        for attempt in attempts:
            self.logs(attempt)
        self._work_folders = _names(self._run.folder / "work")
        self._read_packed()

    def _read_packed(self) -> None:
        """Read what is packed, unless nothing was added since."""
        size = size_of_list(self._run.folder)
        if size != self._packed_size:
            self.packed, problems = read_packed_tasks(self._run.folder)
            self.unreadable += [problem for problem in problems if problem not in self.unreadable]
            self._packed_size = size

    def logs(self, attempt: int) -> LogFolder:
        """Return what lies in an attempt's log folder."""
        if attempt not in self._logs:
            self._logs[attempt] = list_log_folder(self._run.folder, attempt)
        return self._logs[attempt]

    def work(self, shard: int) -> WorkFolder:
        """Return what lies in a shard's work folder."""
        if f"{shard:05d}" not in self._work_folders:
            return _NOTHING
        if shard not in self._work:
            self._work[shard] = list_work_folder(self._run.folder, shard)
        return self._work[shard]

    def kept_rows(self, attempt: int, shard: int) -> int:
        """Return how many answers an attempt has kept, in parts and journals.

        Opens the journals, so do not ask about a running task: its heartbeat counts their rows.
        """
        work = self.work(shard)
        rows = work.rows.get(attempt, 0)
        for name, stamp in work.journals.get(attempt, {}).items():
            count = partial(answer_journal.count_rows, work_path(self._run.folder, shard) / name)
            rows += self._read(self._journals, f"{shard}/{name}", stamp, count) or 0
        return rows

    def last_words(self, attempt: int, shard: int) -> LastWords | None:
        """Return a task's last words without the traceback, which may be long.

        Returns None where there are none, or they cannot be read.
        """
        stamp = self.logs(attempt).spoke.get(shard)
        read = partial(_read_words, self._run, attempt, shard)
        return self._read(self._words, f"{attempt}/{shard}", stamp, read)

    def heartbeat(self, attempt: int, shard: int) -> Heartbeat | None:
        """Return a task's heartbeat; None without one, or where it cannot be read."""
        read = partial(_read_heartbeat, self._run, attempt, shard)
        stamp = self.work(shard).heartbeats.get(attempt)
        return self._read(self._heartbeats, f"{shard}/{attempt}", stamp, read)

    def remember(self) -> None:
        """Write down what was read, for the next look."""
        self._words.remember()
        self._heartbeats.remember()
        self._journals.remember()

    def _read(
        self, memory: FileMemory[T], name: str, stamp: Stamp | None, read: Callable[[], T | None]
    ) -> T | None:
        if stamp is None:
            return None
        try:
            return memory.value(name, stamp, read)
        except (InputError, UnreadableError) as error:
            self.unreadable.append(str(error))
            return None


def _read_words(run: Run, attempt: int, shard: int) -> LastWords | None:
    words = last_words.read(run.folder, attempt, shard)
    return msgspec.structs.replace(words, traceback="") if words else None


def _read_heartbeat(run: Run, attempt: int, shard: int) -> Heartbeat | None:
    return heartbeat.read(work_path(run.folder, shard), attempt)


def _names(folder: Path) -> frozenset[str]:
    try:
        with os.scandir(folder) as entries:
            return frozenset(entry.name for entry in entries)
    except FileNotFoundError:
        return frozenset()
