"""Pack what the tasks of gathered shards left: such a shard keeps an input, an output and one log.

Three attempts at 10,000 shards leave some 120,000 files, and many sites limit their number. First a
shard's log is written, then the list gets a line for each of its attempts, and only then the files
go. A process that is killed in between loses nothing, and the next one goes on from there.
"""

import contextlib
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import msgspec

from hpc.database.gathered_shards import read_gathered_shards
from hpc.executors.base import Executor
from hpc.run.causes import task_name
from hpc.run.model.arrays import Submission
from hpc.run.model.attempts import Attempt, LogExcerpts
from hpc.run.model.run import Run, Say
from hpc.run.model.shards import ShardFacts
from hpc.run.run_state import RunStatus
from hpc.run.submissions import has_returned, read_submissions
from hpc.traces.file_cache import delete_caches
from hpc.traces.inodes import count_inodes
from hpc.traces.log_folder import LogFolder, list_log_folder
from hpc.traces.packable import shards_of_ended_tasks
from hpc.traces.packed_tasks import (
    PackedTask,
    PackedTasks,
    add_packed_tasks,
    packed_log_path,
    read_packed_tasks,
)
from hpc.traces.shard_log import ShardLog, remove_begun
from hpc.traces.work_folder import attempt_of_file
from pipeline import files
from pipeline.errors import Cause, InputError, RunError
from pipeline.run_files import last_words
from pipeline.run_files.last_words import LastWords
from pipeline.run_files.manifest import output_path, server_log_path, work_path
from pipeline.text import counted

SHARDS_AT_ONCE = 500


@dataclass(frozen=True, kw_only=True, slots=True)
class Packed:
    """What one packing did."""

    shards: int = 0
    """How many shards were packed."""
    problems: tuple[str, ...] = ()
    """Why files of shards were left where they are."""


def pack_gathered(status: RunStatus, executor: Executor) -> Packed:
    """Pack the shards of a run that the database has. The caller holds the run's lock.

    Args:
        status: the run as it was seen, best by a look that includes the shards that are done.
        executor: what ran its tasks.

    Raises:
        BusyError: another process has the database open.
        OSError: the run's folder cannot be read now.
    """
    packing = _plan_packing(status, executor)
    return packing.pack_all() if packing else Packed()


def _plan_packing(status: RunStatus, executor: Executor) -> "_Packing | None":
    """Return the packing of the shards that may be packed; None if nothing is left to pack."""
    run, observation = status.run, status.observation
    # Somebody may have submitted shards again before this process took the lock.
    if read_submissions(run) != observation.submissions:
        return None
    grace = timedelta(seconds=run.cluster.grace_seconds)
    ended = shards_of_ended_tasks(observation, status.judgements, grace=grace)
    if not ended:
        return None
    packing = _Packing.begin(run, executor, observation.submissions)
    with_files = [shard for shard in ended if packing.has_files(observation.shards[shard])]
    if not with_files:
        return None
    gathered = read_gathered_shards(run, observation)
    packing.todo = [observation.shards[shard] for shard in with_files if shard in gathered]
    return packing if packing.todo else None


def pack_and_report(status: RunStatus, executor: Executor, say: Say) -> None:
    """Pack the shards that are gathered, and say how many files and folders are left.

    An error here is not a failure of the command: the files stay, and the next gathering retries.
    """
    try:
        packing = _plan_packing(status, executor)
        if packing is None:
            return
        # Counting lists every folder of the run, so it is left out where nothing is packed.
        before = count_inodes(status.run.folder)
        packed = packing.pack_all()
        after = count_inodes(status.run.folder)
    except (OSError, RunError) as error:
        say(f"the logs of tasks are not packed yet: {error}")
        return
    if after < before:
        say(
            f"packed the files of {counted(packed.shards, 'shard')}: the run had {before:,} files "
            f"and folders, and now has {after:,}"
        )
    if packed.problems:
        more = f" (and {counted(len(packed.problems) - 1, 'more shard')})"
        say(f"not packed: {packed.problems[0]}{more if packed.problems[1:] else ''}")


@dataclass(kw_only=True, slots=True)
class _Packing:
    """Packs shards, a batch at a time."""

    run: Run
    executor: Executor
    submissions: dict[int, Submission]
    logs: dict[int, LogFolder]
    """The log folders by attempt."""
    work_folders: frozenset[str]
    known: PackedTasks
    todo: list[ShardFacts] = field(default_factory=list)
    """The shards to pack."""
    packed_shards: int = 0
    problems: list[str] = field(default_factory=list)

    @classmethod
    def begin(cls, run: Run, executor: Executor, submissions: Iterable[Submission]) -> "_Packing":
        """List the folders with the files of tasks."""
        by_number = {submission.number: submission for submission in submissions}
        known, _ = read_packed_tasks(run.folder)
        return cls(
            run=run,
            executor=executor,
            submissions=by_number,
            logs={number: list_log_folder(run.folder, number) for number in by_number},
            work_folders=frozenset(_names(run.folder / "work")),
            known=known,
        )

    def has_files(self, shard: ShardFacts) -> bool:
        """Tell whether anything of a shard is left to be packed or removed."""
        return f"{shard.index:05d}" in self.work_folders or any(
            path.name in self.logs[attempt.number].names
            for attempt in shard.attempts
            for path in self._log_files(shard.index, attempt)
        )

    def pack_all(self) -> Packed:
        """Pack the shards, a batch at a time."""
        for first in range(0, len(self.todo), SHARDS_AT_ONCE):
            self.pack(self.todo[first : first + SHARDS_AT_ONCE])
        remove_begun(self.run.folder)
        delete_caches(self.run.folder)
        return Packed(shards=self.packed_shards, problems=tuple(self.problems))

    def pack(self, shards: Iterable[ShardFacts]) -> None:
        """Write the logs of shards, then their lines in the list, and then remove their files."""
        lines: list[PackedTask] = []
        packed: list[ShardFacts] = []
        for shard in shards:
            try:
                lines += self._pack_shard(shard)
            except (OSError, InputError, RunError) as error:
                self.problems.append(f"shard {shard.index}: {error}")
            else:
                packed.append(shard)
        # Nothing is removed before the logs would survive a power failure.
        logs = [packed_log_path(self.run.folder, shard.index) for shard in packed]
        files.sync_all([*filter(Path.exists, logs), self.run.folder / "logs"])
        add_packed_tasks(self.run.folder, lines)
        for shard in packed:
            try:
                self._remove_files(shard)
            except OSError as error:
                self.problems.append(f"shard {shard.index}: {error}")
            else:
                self.packed_shards += 1

    def _pack_shard(self, shard: ShardFacts) -> list[PackedTask]:
        """Write a shard's log; return the lines about those of its attempts that left files."""
        known = {
            attempt.number: self.known.get((attempt.number, shard.index))
            for attempt in shard.attempts
        }
        recorded = max((_end(task.logs) for task in known.values() if task), default=0)
        log = ShardLog(self.run.folder, shard.index, recorded=recorded)
        tasks = [
            self._pack_attempt(shard.index, attempt, known[attempt.number], log)
            for attempt in shard.attempts
        ]
        log.write()
        return [task for task in tasks if task != known[task.attempt]]

    def _pack_attempt(
        self, shard: int, attempt: Attempt, known: PackedTask | None, log: ShardLog
    ) -> PackedTask:
        """Add an attempt's logs to the shard's log, and return its line."""
        run, number = self.run.folder, attempt.number
        task = known or PackedTask(
            shard=shard,
            attempt=number,
            record=attempt.record,
            began=self._has_begun(shard, attempt),
        )
        words = self._last_words(shard, number)
        title = f"submission {number}{f', {task_name(attempt)}' if attempt.task else ''}"
        own = self.executor.log_file(self.run, shard, attempt)
        server = server_log_path(run, number, shard)
        logs = LogExcerpts(
            log=log.add_file(title, own, task.logs.log) if own else task.logs.log,
            server_log=log.add_file(f"{title}: its server", server, task.logs.server_log),
            traceback=log.add(f"{title}: traceback", words.traceback.encode(), task.logs.traceback)
            if words
            else task.logs.traceback,
        )
        if words:
            words = msgspec.structs.replace(words, traceback="")
        return msgspec.structs.replace(task, words=words or task.words, logs=logs)

    def _has_begun(self, shard: int, attempt: Attempt) -> bool:
        """Tell whether the files of an attempt show that its worker had begun."""
        logs = self.logs[attempt.number]
        if shard in logs.last_words or shard in logs.with_server:
            return True
        if attempt.number in map(attempt_of_file, self._work_files(shard)):
            return True
        if attempt.record is None or attempt.record.cause is not Cause.NO_OUTPUT:
            return False
        submission = self.submissions[attempt.number]
        own = self.executor.log_file(self.run, shard, attempt)
        return has_returned(submission, attempt.array_task_index, logs.names, own)

    def _last_words(self, shard: int, attempt: int) -> LastWords | None:
        if shard not in self.logs[attempt].last_words:
            return None
        return last_words.read(self.run.folder, attempt, shard)

    def _log_files(self, shard: int, attempt: Attempt) -> list[Path]:
        """Return the files of an attempt in its log folder, whether or not they are there."""
        run, number = self.run.folder, attempt.number
        own = self.executor.log_file(self.run, shard, attempt)
        return [
            *([own] if own else []),
            *self.executor.task_files(self.run, shard, attempt),
            last_words.path_of(run, number, shard),
            server_log_path(run, number, shard),
        ]

    def _work_files(self, shard: int) -> list[str]:
        """Return the names in a shard's work folder."""
        if f"{shard:05d}" not in self.work_folders:
            return []
        return _names(work_path(self.run.folder, shard))

    def _remove_files(self, shard: ShardFacts) -> None:
        """Remove what a shard's attempts left, and nothing else.

        Raises:
            OSError: a file cannot be removed.
        """
        folder = work_path(self.run.folder, shard.index)
        numbers = {attempt.number for attempt in shard.attempts}
        # Without its output, the shard would need these: a person may have just removed it.
        if output_path(self.run.folder, shard.index).exists():
            for name in self._work_files(shard.index):
                if attempt_of_file(name) in numbers:
                    (folder / name).unlink(missing_ok=True)
            with contextlib.suppress(OSError):  # somebody else's file is in there, or none ever was
                folder.rmdir()
        for attempt in shard.attempts:
            names = self.logs[attempt.number].names
            for path in self._log_files(shard.index, attempt):
                if path.name in names:
                    path.unlink(missing_ok=True)


def _end(logs: LogExcerpts) -> int:
    excerpts = (logs.log, logs.server_log, logs.traceback)
    return max((each.offset + each.length for each in excerpts if each), default=0)


def _names(folder: Path) -> list[str]:
    try:
        with os.scandir(folder) as entries:
            return [entry.name for entry in entries]
    except FileNotFoundError:
        return []
