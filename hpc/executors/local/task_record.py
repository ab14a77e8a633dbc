"""Keep the local executor's record of a task: `logs/0001/00007.task.json`.

The parent writes it before the task starts, when it asks the task to stop, and when it has ended.
"""

import contextlib
import signal
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import msgspec

from hpc.run.model.arrays import Submission
from hpc.run.model.attempts import Phase, Records, TaskRecord
from hpc.run.model.run import Run
from hpc.traces.file_cache import CacheFile, FileCache, Stamp, listed, stamp_of
from pipeline import files
from pipeline.config.keys import Section
from pipeline.errors import ENDED_BY_SIGNAL, Cause, UnreadableError
from pipeline.model import WorkOrder
from pipeline.run_files.heartbeat import UtcTime
from pipeline.run_files.json_record import read_record as read_json_record
from pipeline.run_files.manifest import log_path

_ENDING = ".task.json"


class _LocalRecord(Section, frozen=True, kw_only=True):
    """What the file holds. Times are UTC; a value is None until it is known."""

    started_at: UtcTime | None = None
    ended_at: UtcTime | None = None
    exit_code: int | None = None
    """As `subprocess.Popen.returncode` has it."""
    told_to_stop: bool = False
    """Whether the parent asked the task to stop."""


def record_start(order: WorkOrder) -> None:
    """Record that a task starts now.

    Raises:
        OSError: the record could not be written, so the task must not start.
    """
    _write(order, _LocalRecord(started_at=_now()))


def forget_start(order: WorkOrder) -> None:
    """Delete the record of a task that could not be started after all."""
    with contextlib.suppress(OSError):
        _path(order).unlink()


def record_stop_request(order: WorkOrder) -> None:
    """Record that the task was asked to stop, in case nobody sees how it ends.

    Without this, a task whose parent leaves early would count as lost.
    """
    # A full disk: the task's end matters more.
    with contextlib.suppress(OSError, UnreadableError):
        record = _read(_path(order)) or _LocalRecord()
        _write(order, msgspec.structs.replace(record, told_to_stop=True))


def record_end(order: WorkOrder, exit_code: int, *, stop_requested: bool = False) -> None:
    """Record how a task ended.

    Args:
        order: the task's order.
        exit_code: as `subprocess.Popen.returncode` has it.
        stop_requested: whether the parent asked the task to stop.

    Raises:
        OSError: the record could not be written.
        UnreadableError: the record of the start cannot be read now.
    """
    started = _read(_path(order)) or _LocalRecord()
    ended = msgspec.structs.replace(
        started, ended_at=_now(), exit_code=exit_code, told_to_stop=stop_requested
    )
    _write(order, ended)


def read_records(run: Run, submissions: Sequence[Submission], *, in_use: bool) -> Records:
    """Return what is known of the tasks; nothing of one that died together with its parent.

    Args:
        run: the run of the submissions.
        submissions: the submissions to look for.
        in_use: whether somebody holds the run's lock, so that tasks may be alive or pending.

    Raises:
        InputError: another version wrote a record, or it is damaged.
        UnreadableError: one cannot be read now. Without it, the task would seem never to have
            started.
    """
    records: Records = {}
    cache = FileCache(run.folder, CacheFile.TASK_RECORDS, _LocalRecord)
    for submission in submissions:
        folder = log_path(run.folder, submission.number)
        stamps = _stamps(folder)
        for index in submission.plan.indices:
            name = _name(submission.plan.offset + index)
            kept = None
            if stamp := stamps.get(name):
                kept = cache.value(
                    f"{folder.name}/{name}", stamp, partial(_read_named, folder, name)
                )
            if record := _task_record(kept, in_use=in_use):
                records[submission.number, index] = record
    cache.save()
    return records


def _stamps(folder: Path) -> dict[str, Stamp]:
    """Return the stamps of an attempt's records by their names, from one listing."""
    with listed(folder) as entries:
        stamps = {entry.name: stamp_of(entry) for entry in entries if entry.name.endswith(_ENDING)}
    return {name: stamp for name, stamp in stamps.items() if stamp}


def _task_record(record: _LocalRecord | None, *, in_use: bool) -> TaskRecord | None:
    """Return what a record means; None if the task started and died together with its parent."""
    if record is None:
        if in_use:
            return TaskRecord(phase=Phase.WAITING, slurm_state="waiting")
        # Nobody is left to start it: this was no attempt, and none is counted.
        return TaskRecord(phase=Phase.ENDED, slurm_state="never started", cause=Cause.PREEMPTED)
    started, code = record.started_at, record.exit_code
    if record.ended_at is None or code is None:
        if in_use:
            return TaskRecord(phase=Phase.ACTIVE, slurm_state="running", started_at=started)
        if not record.told_to_stop:
            return None
        return TaskRecord(
            phase=Phase.ENDED,
            slurm_state="stopped",
            cause=Cause.PREEMPTED,
            started_at=started,
        )
    return TaskRecord(
        phase=Phase.ENDED,
        slurm_state="stopped" if record.told_to_stop else _describe_exit(code),
        cause=_cause(code, stop_requested=record.told_to_stop),
        exit_code=str(code),
        elapsed_s=int((record.ended_at - started).total_seconds()) if started else None,
        started_at=started,
        ended_at=record.ended_at,
    )


def _cause(code: int, *, stop_requested: bool) -> Cause:
    """Return why a task ended.

    A task that its parent stopped (Ctrl-C does that) counts as preempted. One that somebody else
    stops, as daemons do when memory is short, may be stopped every time, so it counts as crashed.
    """
    if code == 0:
        return Cause.NO_OUTPUT
    return Cause.PREEMPTED if stop_requested else Cause.CRASHED


def _describe_exit(code: int) -> str:
    if code < 0:
        return f"killed by {signal.Signals(-code).name}"
    return {0: "ended", ENDED_BY_SIGNAL: "ended by SIGTERM"}.get(code, "failed")


def _name(shard: int) -> str:
    return f"{shard:05d}{_ENDING}"


def record_path(run_dir: Path, attempt: int, shard: int) -> Path:
    """Return the file of a task's record."""
    return log_path(run_dir, attempt) / _name(shard)


def _path(order: WorkOrder) -> Path:
    return record_path(Path(order.run_dir), order.attempt, order.shard_index)


def _write(order: WorkOrder, record: _LocalRecord) -> None:
    files.write_json(_path(order), msgspec.to_builtins(record))


def _read_named(folder: Path, name: str) -> _LocalRecord | None:
    return _read(folder / name)


def _read(path: Path) -> _LocalRecord | None:
    try:
        return read_json_record(path, _LocalRecord)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise UnreadableError(path, error) from error


def _now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)
