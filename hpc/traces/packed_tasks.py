"""Pack what the tasks of gathered shards left: one log a shard, one list a run.

`logs/packed.jsonl` has a line for each attempt, and `logs/00007.log` the logs of all attempts of a
shard, one after another. Lines are only ever added. Of two lines about the same attempt the later
one counts. A last line that is incomplete, because the process was killed, does not count.
"""

import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path

import msgspec
from msgspec.structs import replace

from hpc.run.model.arrays import Submission
from hpc.run.model.attempts import LogExcerpt, LogExcerpts, TaskRecord
from pipeline import archive, files, limits
from pipeline.errors import DamagedError
from pipeline.name_errors import naming
from pipeline.run_files.last_words import LastWords
from pipeline.run_files.recorded_values import check_time, find_large_number

FILE_NAME = "packed.jsonl"

PackedTasks = Mapping[tuple[int, int], "PackedTask"]
"""By the number of the attempt and the index of the shard."""
PackedShards = Mapping[int, Collection[int]]
"""The indices of the shards that are packed, by the number of the attempt."""


class PackedTask(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is left of one attempt at a shard."""

    shard: int
    attempt: int
    record: TaskRecord | None = None
    """What the executor last reported."""
    words: LastWords | None = None
    """Its last words, without the traceback."""
    began: bool = False
    """Whether its own files showed that its worker had begun."""
    logs: LogExcerpts = LogExcerpts()
    """Where its logs are in the shard's log."""


class _PackedKey(msgspec.Struct, frozen=True):
    """Which attempt at which shard a line is about."""

    shard: int
    attempt: int


_TIMES = ("submitted_at", "started_at", "ended_at")
_DECODER = msgspec.json.Decoder(PackedTask)
_KEY_DECODER = msgspec.json.Decoder(_PackedKey)


def packed_log_path(run_dir: Path, shard: int) -> Path:
    """Return the one log of a shard that is packed."""
    return run_dir / "logs" / f"{shard:05d}.log"


def size_of_list(run_dir: Path) -> int:
    """Return how many bytes the list of packed tasks has; 0 if nothing is packed."""
    try:
        return archive.size_of(_path(run_dir))
    except FileNotFoundError:
        return 0


def read_packed_tasks(run_dir: Path) -> tuple[PackedTasks, list[str]]:
    """Return what is packed, and what is wrong with lines that do not count.

    Raises:
        OSError: the list is there but cannot be read now.
    """
    path = _path(run_dir)
    lines = _read_lines(path).splitlines()
    packed: dict[tuple[int, int], PackedTask] = {}
    problems: list[str] = []
    for number, line in enumerate(lines, start=1):
        try:
            task = _DECODER.decode(line)
            problem = _find_problem(line, task)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            problem = str(error)
        if problem:
            problems.append(f"{path}, line {number}: damaged: {problem}")
            continue
        packed[task.attempt, task.shard] = task
    return packed, problems


def _find_problem(line: bytes, task: PackedTask) -> str:
    """Return which value of a line no reader could use, and why; empty if there is none."""
    if key := find_large_number(line):
        return f"{key}: the number has more than 64 bits"
    for name in _TIMES if task.record else ():
        time = getattr(task.record, name)
        if time and (problem := check_time(time)):
            return f"record.{name} {problem}"
    return ""


def read_packed_keys(run_dir: Path, shards: Collection[int]) -> PackedShards | None:
    """Return the attempts and shards that are packed, without what is left of them.

    Reading only the keys takes a fifth of the time.

    Args:
        run_dir: the run's folder.
        shards: the shards whose tasks nobody will ask about.

    Returns:
        The shards by attempt. None if the list has other shards too, or a damaged line.

    Raises:
        OSError: the list is there but cannot be read now.
    """
    try:
        keys = _KEY_DECODER.decode_lines(_read_lines(_path(run_dir)))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    packed = packed_shards((key.attempt, key.shard) for key in keys)
    expected = frozenset(shards)
    return packed if all(expected.issuperset(each) for each in packed.values()) else None


def packed_shards(keys: Iterable[tuple[int, int]]) -> PackedShards:
    """Return the packed shards of each attempt.

    Args:
        keys: as `PackedTasks` has them.
    """
    shards: dict[int, set[int]] = {}
    for attempt, shard in keys:
        shards.setdefault(attempt, set()).add(shard)
    return shards


def without_packed(submissions: Iterable[Submission], packed: PackedShards) -> Iterator[Submission]:
    """Yield the submissions with those of their tasks that are not packed; none without any.

    Args:
        submissions: the submissions.
        packed: the shards that are packed.
    """
    for submission in submissions:
        plan, gone = submission.plan, packed.get(submission.number)
        if gone is None:
            yield submission
        elif rest := tuple(index for index in plan.indices if plan.offset + index not in gone):
            yield replace(submission, plan=replace(plan, indices=rest))


def add_packed_tasks(run_dir: Path, tasks: Iterable[PackedTask]) -> None:
    """Add lines to the list, and return when they would survive a power failure.

    The caller holds the run's lock.
    """
    lines = b"".join(msgspec.json.encode(task) + b"\n" for task in tasks)
    with naming(_path(run_dir)), _path(run_dir).open("a+b") as stream:
        _cut_half_line(stream.fileno())
        stream.write(lines)
        stream.flush()
        os.fsync(stream.fileno())


def read_excerpt(log: Path, excerpt: LogExcerpt) -> bytes | None:
    """Return a part of a shard's log; None if it cannot be read."""
    try:
        return archive.read_range(log, excerpt.offset, excerpt.length)
    except (OSError, DamagedError):
        return None


def _read_lines(path: Path) -> bytes:
    """Return the whole lines of the list; nothing if nothing is packed."""
    try:
        content = _read_list(path)
    except FileNotFoundError:
        return b""
    return content[: content.rfind(b"\n") + 1]


def _read_list(path: Path) -> bytes:
    try:
        return limits.read_file(path, limits.RECORD_BYTES)
    except FileNotFoundError:  # the run may be archived
        return bytes(files.read_whole(path, most_bytes=limits.RECORD_BYTES))


def _path(run_dir: Path) -> Path:
    return run_dir / "logs" / FILE_NAME


def _cut_half_line(descriptor: int) -> None:
    """Cut off an incomplete last line, or the next line would be appended to it."""
    size = os.fstat(descriptor).st_size
    end = size
    while end and os.pread(descriptor, 1, end - 1) != b"\n":
        block = os.pread(descriptor, min(4096, end), end - min(4096, end))
        end -= len(block) - (block.rfind(b"\n") + 1)
    if end < size:
        os.ftruncate(descriptor, end)
