"""Parse what sacct, squeue, sbatch and scontrol print. Pure."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Protocol

import msgspec

from hpc.executors.slurm.answers.reasons import advice
from hpc.executors.slurm.answers.states import meaning
from hpc.run.array_indices import TaskId, parse_task_id
from hpc.run.model.attempts import Phase, TaskRecord
from pipeline.errors import Cause

SACCT_FORMAT = (
    "JobID,State,ExitCode,Submit,Start,End,ElapsedRaw,MaxRSS,NodeList,ReqMem,TotalCPU,AllocTRES"
)
_COLUMNS = SACCT_FORMAT.count(",") + 1
_USED = SACCT_FORMAT.split(",").index("MaxRSS")
# Without the last two, a row says all that decides about a task.
_FEWEST_COLUMNS = _COLUMNS - 2
SQUEUE_FORMAT = "%i|%T|%e|%N|%r"
NAMED_FORMAT = f"{SQUEUE_FORMAT}|%j"
SACCT_NAMED_FORMAT = "JobID,State,End,NodeList,Reason,JobName"
COUNT_FORMAT = "%i|%U|%T"
_OOM_SIGNAL = ":125"
_ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_USED_MEMORY = re.compile(r"(\d+(?:\.\d+)?)([KMGT]?)")
_REQUESTED_MEMORY = re.compile(r"(\d+(?:\.\d+)?)([KMGT])n?")
_CPU_TIME = re.compile(r"(?:(?:(\d+)-)?(\d+):)?(\d+):(\d+(?:\.\d+)?)")
_UNITS = {"": 1.0, "K": 2.0**10, "M": 2.0**20, "G": 2.0**30, "T": 2.0**40}
_MB = 2.0**20
_GB = 2.0**30
_ENDLESS_GB = 2.0**40

Record = tuple[TaskId, TaskRecord]


class _Submitted(Protocol):
    """A task's row, or its record: what says when the task was submitted."""

    @property
    def submitted_at(self) -> datetime | None:
        """Return when the task was submitted (UTC); None if that is not known."""


class _Row(msgspec.Struct):
    """A task's own row of sacct, and what the rows of its steps add to it."""

    fields: list[str]
    submitted_at: datetime | None
    used_mb: float | None = None
    """Peak memory in MiB."""
    ran_out_of_memory: bool = False

    def add_step(self, state: str, exit_code: str, used_memory: str) -> None:
        """Add the row of one of the task's steps."""
        used = _mb(used_memory)
        if used is not None and (self.used_mb is None or used > self.used_mb):
            self.used_mb = used
        if exit_code.endswith(_OOM_SIGNAL) or state.startswith("OUT_OF_ME"):
            self.ran_out_of_memory = True


def parse_sacct(printed: str) -> tuple[Record, ...]:
    """Return one record per task from `sacct -n -P -o SACCT_FORMAT`, completed by its steps.

    An out-of-memory kill may be recorded for a step only, while the task itself is FAILED; MaxRSS
    is recorded for steps only. Lines that are not rows (a job's comment with a line break) are
    skipped. If job ids were reused, a task has several rows, and the one submitted last counts.
    """
    rows: dict[TaskId, _Row] = {}
    # A task's three or four steps follow it. So a step's id is read only if it follows elsewhere.
    task, begins_step = None, "\n"
    # The row before belongs to an older task of the same id, and so do the steps that follow it.
    outdated: set[TaskId] = set()
    for line in printed.splitlines():
        if line.count("|") < _FEWEST_COLUMNS - 1:
            continue
        if line.startswith(begins_step) and line[len(begins_step)] not in "| ":
            if task:
                _, state, exit_code, _, _, _, _, used, _ = line.split("|", _USED + 1)
                task.add_step(state, exit_code, used)
            continue
        fields = line.split("|", _COLUMNS - 1)
        fields += [""] * (_COLUMNS - len(fields))
        shown = fields[0].strip()
        identity = parse_task_id(shown)
        if identity is None:
            continue
        if identity.step:
            owner = TaskId(identity.job, identity.indices)
            if owner in rows and owner not in outdated:
                rows[owner].add_step(fields[1], fields[2], fields[_USED])
            continue
        row, begins_step = _Row(fields, _time(fields[3])), f"{shown}."
        if newer(row, rows.get(identity)):
            task = rows[identity] = row
            outdated.discard(identity)
        else:
            task = None
            outdated.add(identity)
    return tuple((identity, _record_of_accounting(row)) for identity, row in rows.items())


def _record_of_accounting(row: _Row) -> TaskRecord:
    _, state, exit_code, _, start, end, elapsed, _, nodes, req_mem, cpu_time, tres = row.fields
    allocated = dict(part.partition("=")[::2] for part in tres.split(",")) if tres else {}
    phase, cause = meaning(state)
    # A task that went on and succeeded, or was cut off by something else, keeps its own cause.
    is_killed = row.ran_out_of_memory or exit_code.endswith(_OOM_SIGNAL)
    return TaskRecord(
        phase=phase,
        slurm_state=state,
        cause=Cause.OUT_OF_MEMORY if is_killed and cause is Cause.CRASHED else cause,
        exit_code=exit_code or None,
        elapsed_s=int(elapsed) if elapsed.isdigit() else None,
        max_rss_mb=row.used_mb,
        req_mem_gb=_req_mem_gb(req_mem),
        cpu_s=_cpu_seconds(cpu_time),
        alloc_cpus=_count(allocated.get("cpu", "")),
        alloc_mem_gb=_req_mem_gb(allocated.get("mem", "")),
        node=_node(nodes),
        submitted_at=row.submitted_at,
        started_at=_time(start),
        ended_at=_time(end) if phase is Phase.ENDED else None,
    )


def newer(task: _Submitted, known: _Submitted | None) -> bool:
    """Tell whether a record replaces the one known so far: unless it was submitted earlier.

    This also decides between the row of a whole array and that of one task: a pending array is one
    row, and the tasks of an older array with the same id have rows of their own.
    """
    if known is None or task.submitted_at is None or known.submitted_at is None:
        return True
    return task.submitted_at >= known.submitted_at


def parse_squeue(printed: str) -> tuple[Record, ...]:
    """Return one record per row of `squeue -h -o SQUEUE_FORMAT`."""
    return tuple((identity, _record_of_queue(*fields)) for identity, fields in _rows(printed, 5))


def parse_squeue_names(printed: str) -> tuple[tuple[str, TaskId, TaskRecord], ...]:
    """Return the same with the job's name, which is any text.

    The rows are those of `squeue -h -o NAMED_FORMAT`, or of `sacct -n -P -X -o SACCT_NAMED_FORMAT`.
    """
    return tuple(
        (name, identity, _record_of_queue(*fields))
        for identity, (*fields, name) in _rows(printed, 6)
    )


def _record_of_queue(state: str, end: str, nodes: str, reason: str) -> TaskRecord:
    # The end (%e) of a task that is running is only Slurm's estimate.
    phase, cause = meaning(state, reason)
    return TaskRecord(
        phase=phase,
        slurm_state=state,
        cause=cause,
        node=_node(nodes),
        reason=None if reason in ("", "None") else reason,
        advice=advice(reason) if phase is not Phase.ENDED else "",
        ended_at=_time(end) if phase is Phase.ENDED else None,
    )


def _rows(printed: str, columns: int) -> Iterator[tuple[TaskId, list[str]]]:
    for line in printed.splitlines():
        first, *rest = line.split("|", columns - 1)
        identity = parse_task_id(first)
        if identity is not None and len(rest) == columns - 1:
            yield identity, rest


def parse_sbatch_answer(printed: str) -> tuple[int | None, str | None]:
    """Return the job id that `sbatch --parsable` printed, and the cluster if it names one.

    The answer is `4711`, or `4711;cluster` after -M. Wrappers of sites print banners before or
    after it, in color, or the sentence of sbatch without --parsable. There is no id if no line, or
    several different ones, could be the answer.
    """
    lines = [_ANSI.sub("", line).strip() for line in printed.splitlines()]
    matches = [
        re.fullmatch(r"(?:Submitted batch job )?(\d+)(?:(?:;| on cluster )(\S+))?", line)
        for line in lines
    ]
    answers = [(int(match[1]), match[2]) for match in matches if match]
    jobs = {job for job, _ in answers}
    clusters = {cluster for _, cluster in answers if cluster}
    if len(jobs) != 1 or len(clusters) > 1:
        return None, None
    return jobs.pop(), next(iter(clusters), None)


def states_of_job(shown: str) -> set[str]:
    """Return the states of a job's parts, from `scontrol --oneliner show job`."""
    return set(re.findall(r"(?:^|\s)JobState=(\S+)", shown))


def script_of_job(shown: str) -> str | None:
    """Return the batch script of a job, from `scontrol --oneliner show job`."""
    found = re.search(r"\sCommand=(/.+?)(?= WorkDir=|$)", shown, re.MULTILINE)
    return found[1] if found else None


def begin_of_pending(shown: str) -> datetime | None:
    """Return when the pending part of a job begins, from `scontrol --oneliner show job`.

    Returns None if nothing of it is pending, or Slurm does not say.
    """
    for line in shown.splitlines():
        fields = dict(field.partition("=")[::2] for field in line.split())
        if fields.get("JobState") == "PENDING":
            return _time(fields.get("StartTime", ""))
    return None


def _time(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text).replace(tzinfo=UTC)
    except ValueError:  # Unknown, None, N/A
        return None


def _mb(text: str) -> float | None:
    if not text:
        return None
    if text.isdecimal():
        return float(text) / _MB
    match = _USED_MEMORY.fullmatch(text)
    return float(match[1]) * _UNITS[match[2]] / _MB if match else None


def _req_mem_gb(text: str) -> float | None:
    """Return the requested memory of a task in GiB; None if the row does not say.

    `400M` is the memory of the whole job, which has one node. `400Mn` meant the same before Slurm
    21.08. Its `400Mc` is the memory of one CPU, and no column says how many there were. None also
    stands for 0 (all memory of the node), and for 2**64, which Slurm prints for unknown numbers.
    """
    if not text:
        return None
    match = _REQUESTED_MEMORY.fullmatch(text.strip())
    gb = float(match[1]) * _UNITS[match[2]] / _GB if match else 0.0
    return gb if 0 < gb < _ENDLESS_GB else None


def _cpu_seconds(text: str) -> float | None:
    """Return a time such as `01:02.345` or `1-02:03:04` in seconds; None if it is no time."""
    match = _CPU_TIME.fullmatch(text) if text else None
    if not match:
        return None
    days, hours, minutes, seconds = (float(part or 0) for part in match.groups())
    return ((days * 24 + hours) * 60 + minutes) * 60 + seconds


def _count(text: str) -> int | None:
    return int(text) if text.isdecimal() else None


def _node(text: str) -> str | None:
    return None if text in ("", "None assigned", "(null)", "n/a") else text
