"""The local executor's record of a task: `logs/0001/00007.task.json`.

The parent writes it before the task starts, when it asks the task to stop, and when it has ended.
"""

import contextlib
import json
import signal
from datetime import UTC, datetime
from pathlib import Path

from hpc.run.model import Phase, TaskRecord
from pipeline import files
from pipeline.errors import Cause
from pipeline.model import JsonObject, WorkOrder
from pipeline.run_files.manifest import log_path
from pipeline.worker.process import ENDED_BY_SIGNAL


def record_start(order: WorkOrder) -> None:
    """Record that a task starts now.

    Raises:
        OSError: the record could not be written, so the task must not start.
    """
    _write(order, {"started_at": _now(), "ended_at": None, "exit_code": None})


def record_stop_request(order: WorkOrder) -> None:
    """Record that the task was asked to stop, in case nobody sees how it ends.

    Without this, a task whose parent leaves early would count as lost.
    """
    with contextlib.suppress(OSError):  # a full disk; the task's end matters more
        _write(order, {**_read(_path(order)), "told_to_stop": True})


def record_end(order: WorkOrder, exit_code: int, *, stop_requested: bool = False) -> None:
    """Record how a task ended.

    Args:
        order: the task's order.
        exit_code: as `subprocess.Popen.returncode` has it.
        stop_requested: whether the parent asked the task to stop.
    """
    started = _read(_path(order)).get("started_at")
    end = {"ended_at": _now(), "exit_code": exit_code, "told_to_stop": stop_requested}
    _write(order, {"started_at": started, **end})


def read_record(folder: Path, shard: int, *, in_use: bool) -> TaskRecord | None:
    """Return what is known of a task; None of one that started and died together with its parent.

    Args:
        folder: the attempt's log folder.
        shard: the index of the task's shard.
        in_use: whether somebody holds the run's lock, so that tasks may be alive or pending.
    """
    values = _read(folder / _name(shard))
    if not values:
        if in_use:
            return TaskRecord(phase=Phase.WAITING, slurm_state="waiting")
        # Nobody is left to start it: this was no attempt, and none is counted.
        return TaskRecord(phase=Phase.ENDED, slurm_state="never started", cause=Cause.PREEMPTED)
    started = _time(values["started_at"])
    stop_requested = bool(values.get("told_to_stop"))
    if values["ended_at"] is None:
        if in_use:
            return TaskRecord(phase=Phase.ACTIVE, slurm_state="running", started_at=started)
        if not stop_requested:
            return None
        return TaskRecord(
            phase=Phase.ENDED,
            slurm_state="stopped",
            cause=Cause.PREEMPTED,
            started_at=started,
        )
    code, ended = int(values["exit_code"]), _time(values["ended_at"])
    return TaskRecord(
        phase=Phase.ENDED,
        slurm_state="stopped" if stop_requested else _describe_exit(code),
        cause=_cause(code, stop_requested=stop_requested),
        exit_code=str(code),
        elapsed_s=int((ended - started).total_seconds()) if started and ended else None,
        started_at=started,
        ended_at=ended,
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
    return f"{shard:05d}.task.json"


def _path(order: WorkOrder) -> Path:
    return log_path(Path(order.run_dir), order.attempt) / _name(order.shard_index)


def _write(order: WorkOrder, values: JsonObject) -> None:
    files.write_json(_path(order), values)


def _read(path: Path) -> JsonObject:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return values if isinstance(values, dict) else {}


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
