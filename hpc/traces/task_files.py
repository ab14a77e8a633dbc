"""Read what the tasks of a run wrote, and collect the problems with it, during one look."""

import os
from collections.abc import Callable, Collection, Iterable
from functools import partial
from pathlib import Path
from typing import TypeVar

import msgspec

from hpc.run.model.attempts import UnreadableFile
from hpc.run.model.run import Run
from hpc.traces.file_cache import CacheFile, FileCache, Stamp, stamp_of
from hpc.traces.log_folder import LogFolder, list_log_folder
from hpc.traces.packed_tasks import (
    PackedShards,
    PackedTasks,
    read_packed_keys,
    read_packed_tasks,
    size_of_list,
)
from hpc.traces.work_folder import WorkFolder, list_work_folder
from pipeline import files
from pipeline.errors import InputError, UnreadableError
from pipeline.run_files import heartbeat, last_words
from pipeline.run_files.checkpoints import answer_journal
from pipeline.run_files.heartbeat import Heartbeat
from pipeline.run_files.last_words import LastWords
from pipeline.run_files.manifest import work_name, work_path

T = TypeVar("T")
_NOTHING = WorkFolder()


class TaskFiles:
    """The files of a run's tasks. Each folder is listed once, when it is first needed."""

    def __init__(self, run: Run, *, without: Collection[int] = ()) -> None:
        """Read the caches that earlier looks have saved.

        Args:
            run: the run.
            without: shards whose packed tasks are of no interest. `packed` has them nevertheless
                if it has others, too.
        """
        self._run = run
        self._words = FileCache(run.folder, CacheFile.LAST_WORDS, LastWords)
        self._heartbeats = FileCache(run.folder, CacheFile.HEARTBEATS, Heartbeat)
        self._journals = FileCache(run.folder, CacheFile.JOURNALS, int)
        self._logs: dict[int, LogFolder] = {}
        self._work: dict[int, WorkFolder] = {}
        self._work_folders = _names(run.folder / "work")
        self.unreadable: list[str] = []
        """What is wrong with files: they are damaged, unreadable, or of another version."""
        self.packed: PackedTasks = {}
        """What was packed and no longer has files of its own."""
        self.left_out: PackedShards = {}
        """What is packed, and what `packed` leaves out."""
        self._without = without
        self._packed_size = 0
        self._read_packed()

    def list_folders(self, attempts: Iterable[int]) -> None:
        """List the log folders of attempts and the work folders, and read the packed tasks again.

        Call this after the executor has answered. Somebody may have packed tasks since, and their
        lines are written before their files are deleted.
        """
        for attempt in attempts:
            self.logs(attempt)
        self._work_folders = _names(self._run.folder / "work")
        self._read_packed()

    def _read_packed(self) -> None:
        """Read the packed tasks, unless nothing was added since."""
        size = size_of_list(self._run.folder)
        if size != self._packed_size:
            self._packed_size = size
            keys = read_packed_keys(self._run.folder, self._without) if self._without else None
            self.left_out = keys or {}
            if keys is not None:
                self.packed = {}
                return
            self.packed, problems = read_packed_tasks(self._run.folder)
            self.unreadable += [problem for problem in problems if problem not in self.unreadable]

    def read_left_out(self) -> None:
        """Read the packed tasks of all shards."""
        self._without, self._packed_size = (), 0
        self._read_packed()

    def logs(self, attempt: int) -> LogFolder:
        """Return what lies in an attempt's log folder."""
        if attempt not in self._logs:
            self._logs[attempt] = list_log_folder(self._run.folder, attempt)
        return self._logs[attempt]

    def work(self, shard: int) -> WorkFolder:
        """Return what lies in a shard's work folder."""
        if work_name(shard) not in self._work_folders:
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
            counted = self._read(self._journals, f"{shard}/{name}", stamp, count)
            rows += counted if isinstance(counted, int) else 0
        return rows

    def last_words(self, attempt: int, shard: int) -> LastWords | UnreadableFile | None:
        """Return a task's last words without the traceback, which may be long.

        Returns None if there are none, or if they are damaged.
        """
        stamp = self.logs(attempt).last_words.get(shard)
        read = partial(_read_words, self._run, attempt, shard)
        return self._read(self._words, f"{attempt}/{shard}", stamp, read)

    def heartbeat(self, attempt: int, shard: int) -> Heartbeat | UnreadableFile | None:
        """Return a task's heartbeat; None if there is none, or if it is damaged."""
        if attempt not in self.work(shard).heartbeats:
            return None
        read = partial(_read_heartbeat, self._run, attempt, shard)
        stamp = stamp_of(heartbeat.path_of(work_path(self._run.folder, shard), attempt))
        return self._read(self._heartbeats, f"{shard}/{attempt}", stamp, read)

    def remember(self) -> None:
        """Save the caches for the next look."""
        self._words.save()
        self._heartbeats.save()
        self._journals.save()

    def _read(
        self, cache: FileCache[T], name: str, stamp: Stamp | None, read: Callable[[], T | None]
    ) -> T | UnreadableFile | None:
        if stamp is None:
            return None
        try:
            return cache.value(name, stamp, read)
        except InputError as error:
            self.unreadable.append(str(error))
            return None
        except UnreadableError as error:
            self.unreadable.append(str(error))
            return UnreadableFile(str(error), files.needs_person(error))


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
