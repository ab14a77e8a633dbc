"""`executor: local`: a run's tasks as processes of this machine, so many at once.

Each inherits the run's lock: as long as one of them lives, however its parent died, nobody submits
the run's shards again.
"""

import contextlib
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from hpc.executors.slurm.submitit_executor import work_order
from hpc.run.model import Phase, Records, Run, Submission, TaskRecord
from pipeline import files
from pipeline.errors import Cause
from pipeline.model import JsonObject, WorkOrder
from pipeline.run_files.manifest import log_path
from pipeline.text import counted
from pipeline.worker.process import ENDED_BY_SIGNAL

TICK_S = 0.05
PATIENCE_S = 30.0  # between SIGTERM and SIGKILL, as Slurm's KillWait


def run_array(
    run: Run, submission: Submission, lock: int, say: Callable[[str], None] = lambda line: None
) -> None:
    """Runs an array's tasks, in the order of their indices, until all have ended.

    Interrupted, it tells those that run to stop, says so, and waits: they keep what they have.
    Interrupted once more, it leaves: they have been told, and hold the lock until they have ended.

    Args:
        lock: file descriptor of the run's lock.
    """
    log_path(run.folder, submission.number).mkdir(parents=True, exist_ok=True)
    waiting = list(submission.plan.indices)
    alive: dict[int, subprocess.Popen[bytes]] = {}
    try:
        while waiting or alive:
            while waiting and len(alive) < submission.plan.throttle:
                index = waiting.pop(0)
                alive[index] = _start(work_order(submission, index, run.folder), lock)
            ended = [index for index, process in alive.items() if process.poll() is not None]
            for index in ended:
                _record_end(work_order(submission, index, run.folder), alive.pop(index).returncode)
            if not ended:
                time.sleep(TICK_S)
    finally:
        _end_all(run, submission, alive, say)


def records(run: Run, asked: Iterable[Submission], *, in_use: bool) -> Records:
    """What is known of the tasks; none of one that started and died together with its parent.

    Args:
        in_use: somebody holds the run's lock, and so tasks may be alive or waiting.
    """
    found: Records = {}
    for submission in asked:
        folder = log_path(run.folder, submission.number)
        for index in submission.plan.indices:
            record = _record(folder / _record_name(submission.plan.offset + index), in_use)
            if record:
                found[submission.number, index] = record
    return found


def log_file(folder: Path, shard: int) -> Path:
    return folder / f"{shard:05d}.log"


def _start(order: WorkOrder, lock: int) -> subprocess.Popen[bytes]:
    folder = log_path(Path(order.run_dir), order.attempt)
    command = [sys.executable, "-m", "pipeline.worker"]
    for name, value in asdict(order).items():
        command += [f"--{name.replace('_', '-')}", str(value)]
    # First: a task that runs unrecorded would be nobody's to end.
    _write(order, {"started_at": _now(), "ended_at": None, "exit_code": None})
    with log_file(folder, order.shard_index).open("ab") as log:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            # Ctrl-C is for the parent, which then ends its tasks in good order.
            start_new_session=True,
            pass_fds=(lock,),
        )


def _end_all(
    run: Run,
    submission: Submission,
    alive: dict[int, subprocess.Popen[bytes]],
    say: Callable[[str], None],
) -> None:
    if not alive:
        return
    for process in alive.values():
        process.terminate()
    with contextlib.suppress(BrokenPipeError):  # `| tee` goes with the same Ctrl-C
        say(
            f"telling {counted(len(alive), 'task')} to stop, which takes up to {PATIENCE_S:.0f} s: "
            "what is answered is kept; Ctrl-C again leaves at once, and the rest stops by itself"
        )
    for index in alive:
        _record_told_to_stop(work_order(submission, index, run.folder))
    deadline = time.monotonic() + PATIENCE_S
    for index, process in alive.items():
        try:
            process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        order = work_order(submission, index, run.folder)
        _record_end(order, process.returncode, told_to_stop=True)


def _record_told_to_stop(order: WorkOrder) -> None:
    """Before its end, which nobody may be here to see: it would count as lost."""
    with contextlib.suppress(OSError):  # a full disk; the task's end matters more
        _write(order, {**_read(_record_path(order)), "told_to_stop": True})


def _record_end(order: WorkOrder, exit_code: int, *, told_to_stop: bool = False) -> None:
    started = _read(_record_path(order)).get("started_at")
    ended = {"ended_at": _now(), "exit_code": exit_code, "told_to_stop": told_to_stop}
    _write(order, {"started_at": started, **ended})


def _record(path: Path, in_use: bool) -> TaskRecord | None:
    values = _read(path)
    if not values:
        if in_use:
            return TaskRecord(phase=Phase.WAITING, slurm_state="waiting")
        # Without the lock's holder it never will be: no attempt, and none to be counted.
        return TaskRecord(phase=Phase.ENDED, slurm_state="never started", cause=Cause.PREEMPTED)
    started = _time(values["started_at"])
    told_to_stop = bool(values.get("told_to_stop"))
    if values["ended_at"] is None:
        if in_use:
            return TaskRecord(phase=Phase.ACTIVE, slurm_state="running", started_at=started)
        if not told_to_stop:
            return None
        return TaskRecord(
            phase=Phase.ENDED,
            slurm_state="told to stop",
            cause=Cause.PREEMPTED,
            started_at=started,
        )
    code, ended = int(values["exit_code"]), _time(values["ended_at"])
    return TaskRecord(
        phase=Phase.ENDED,
        slurm_state="told to stop" if told_to_stop else _in_words(code),
        cause=_cause(code, told_to_stop),
        exit_code=str(code),
        elapsed_s=int((ended - started).total_seconds()) if started and ended else None,
        started_at=started,
        ended_at=ended,
    )


def _cause(code: int, told_to_stop: bool) -> Cause:
    """A task that its parent told to stop (Ctrl-C ends in that) is not to blame, like a preempted
    one; one that somebody else ends, as daemons do when memory is short, may be ended for ever."""
    if code == 0:
        return Cause.NO_OUTPUT
    return Cause.PREEMPTED if told_to_stop else Cause.CRASHED


def _in_words(code: int) -> str:
    if code < 0:
        return f"killed by {signal.Signals(-code).name}"
    return {0: "ended", ENDED_BY_SIGNAL: "ended by SIGTERM"}.get(code, "failed")


def _record_name(shard: int) -> str:
    return f"{shard:05d}.task.json"


def _record_path(order: WorkOrder) -> Path:
    return log_path(Path(order.run_dir), order.attempt) / _record_name(order.shard_index)


def _write(order: WorkOrder, values: JsonObject) -> None:
    files.write_json(_record_path(order), values)


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
