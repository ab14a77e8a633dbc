"""Reading what sacct and squeue print. Pure: text in, records out."""

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime

from hpc.arrays import TaskId, task_id
from hpc.model import Phase, TaskRecord
from hpc.slurm_states import meaning
from pipeline.errors import Cause

SACCT_FORMAT = "JobID,State,ExitCode,Submit,Start,End,ElapsedRaw,MaxRSS,NodeList"
SQUEUE_FORMAT = "%i|%T|%e|%N|%r"
NAMED_FORMAT = f"{SQUEUE_FORMAT}|%j"
_OOM_SIGNAL = ":125"
_UNITS = {"": 1.0, "K": 2.0**10, "M": 2.0**20, "G": 2.0**30, "T": 2.0**40}
_MB = 2.0**20

Record = tuple[TaskId, TaskRecord]


def from_sacct(printed: str) -> tuple[Record, ...]:
    """`sacct -n -P -o SACCT_FORMAT`: one record a task row, told what its steps say.

    An out-of-memory kill may stand on a step only, while the task itself is FAILED; MaxRSS stands
    on steps only. Rows that are none (a job's comment with a line break) are passed over.
    """
    tasks: dict[TaskId, TaskRecord] = {}
    for identity, fields in _rows(printed, 9):
        state, exit_code, submit, start, end, elapsed, max_rss, nodes = fields
        owner = TaskId(identity.job, identity.indices)
        if identity.step:
            if owner in tasks:
                tasks[owner] = _with_step(tasks[owner], state, exit_code, max_rss)
            continue
        phase, cause = meaning(state)
        if exit_code.endswith(_OOM_SIGNAL) and cause is Cause.CRASHED:
            cause = Cause.OUT_OF_MEMORY
        tasks[identity] = TaskRecord(
            phase=phase,
            slurm_state=state,
            cause=cause,
            exit_code=exit_code or None,
            elapsed_s=int(elapsed) if elapsed.isdigit() else None,
            max_rss_mb=_mb(max_rss),
            node=_node(nodes),
            submitted_at=_time(submit),
            started_at=_time(start),
            ended_at=_time(end) if phase is Phase.ENDED else None,
        )
    return tuple(tasks.items())


def from_squeue(printed: str) -> tuple[Record, ...]:
    """`squeue -h -o SQUEUE_FORMAT`."""
    return tuple((identity, _queued(*fields)) for identity, fields in _rows(printed, 5))


def named_from_squeue(printed: str) -> tuple[tuple[str, TaskId, TaskRecord], ...]:
    """`squeue -h -o NAMED_FORMAT`: the job's name as well, which may hold anything."""
    return tuple(
        (name, identity, _queued(*fields)) for identity, (*fields, name) in _rows(printed, 6)
    )


def _queued(state: str, end: str, nodes: str, reason: str) -> TaskRecord:
    """The end of a task that runs (%e) is only Slurm's guess."""
    phase, cause = meaning(state, reason)
    return TaskRecord(
        phase=phase,
        slurm_state=state,
        cause=cause,
        node=_node(nodes),
        reason=None if reason in ("", "None") else reason,
        ended_at=_time(end) if phase is Phase.ENDED else None,
    )


def _rows(printed: str, columns: int) -> Iterator[tuple[TaskId, list[str]]]:
    for line in printed.splitlines():
        first, *rest = line.split("|", columns - 1)
        identity = task_id(first)
        if identity is not None and len(rest) == columns - 1:
            yield identity, rest


def _with_step(task: TaskRecord, state: str, exit_code: str, max_rss: str) -> TaskRecord:
    used = max((mb for mb in (task.max_rss_mb, _mb(max_rss)) if mb is not None), default=None)
    died_of_memory = state.startswith("OUT_OF_ME") or exit_code.endswith(_OOM_SIGNAL)
    # A task that went on and succeeded, or was cut off by something else, keeps its own cause.
    if died_of_memory and task.cause is Cause.CRASHED:
        return replace(task, max_rss_mb=used, cause=Cause.OUT_OF_MEMORY)
    return replace(task, max_rss_mb=used)


def _time(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text).replace(tzinfo=UTC)
    except ValueError:  # Unknown, None, N/A
        return None


def _mb(text: str) -> float | None:
    found = re.fullmatch(r"([\d.]+)([KMGT]?)", text)
    return float(found[1]) * _UNITS[found[2]] / _MB if found else None


def _node(text: str) -> str | None:
    return None if text in ("", "None assigned", "(null)", "n/a") else text
