"""What sacct and squeue print: as a real Slurm did (tests/data/sacct), and as it might."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpc.answers import Record, from_sacct, from_squeue, named_from_squeue
from hpc.arrays import TaskId, compress
from hpc.model import Phase, TaskRecord
from pipeline.errors import Cause

RECORDED = Path(__file__).parents[1] / "data" / "sacct"
SACCT = sorted(path.name for path in RECORDED.glob("*.sacct.txt"))
SQUEUE = sorted(path.name for path in RECORDED.glob("*.squeue.txt"))

Row = tuple[str, str, str | None, str | None, str | None]
Seen = dict[tuple[int, str], Row]

A, B = 4001, 4002
WAITS: Row = ("waiting", "PENDING", None, "0:0", None)


def recorded(name: str) -> str:
    return (RECORDED / name).read_text(encoding="utf-8")


def seen(records: tuple[Record, ...]) -> Seen:
    """By job and indices: phase, Slurm's state, cause, exit code, node; no times."""
    return {
        (one.job, compress(one.indices or ())): (
            known.phase.value,
            known.slurm_state,
            known.cause.value if known.cause else None,
            known.exit_code,
            known.node,
        )
        for one, known in records
    }


def ended(state: str, cause: str, code: str = "0:0", node: str | None = "n1") -> Row:
    return ("ended", state, cause, code, node)


ACCOUNTED: dict[str, Seen] = {
    "completed": {(A, i): ended("COMPLETED", "no_output") for i in "012"},
    "failed": {(A, i): ended("FAILED", "crashed", "3:0") for i in "37"},
    "out-of-memory": {(A, "5"): ended("OUT_OF_MEMORY", "out_of_memory", "0:125")},
    # The job is FAILED, its step ran out of memory; the one that went on all the same is no OOM.
    "out-of-memory-in-a-step": {
        (A, "5"): ended("FAILED", "out_of_memory", "1:0"),
        (A, "6"): ended("COMPLETED", "no_output"),
    },
    "timeout": {(A, "0"): ended("TIMEOUT", "timeout")},
    "timeout.completing": {(A, "0"): ended("TIMEOUT", "timeout")},
    "cancelled": {(A, i): ended("CANCELLED by 0", "cancelled") for i in "01"}
    | {(A, "2-9"): ended("CANCELLED by 0", "cancelled", node=None)},
    # Accounting shows only the life that ended, though the second task waits for its next one.
    "node-fail": {(job, "0"): ended("NODE_FAIL", "node", node="n3") for job in (A, B)},
    "preempted": {(job, "0"): ended("PREEMPTED", "preempted", node="n4") for job in (A, B)},
    "requeued": {(A, "0"): ("waiting", "REQUEUED", None, "0:0", "n1")},
    "requeued.second-life": {(A, "0"): ("active", "RUNNING", None, "0:0", "n1")},
    # Held, but only squeue knows.
    "requeued-on-hold": {(A, i): WAITS for i in "01"},
    "suspended": {(A, i): ("active", "SUSPENDED", None, "0:0", "n1") for i in "01"},
    "suspended.ended": {(A, i): ended("CANCELLED by 0", "cancelled") for i in "01"},
    "throttled": {(A, i): ("active", "RUNNING", None, "0:0", "n1") for i in "01"}
    | {(A, "2-10"): WAITS},
    "pending": {
        (A, "4-10,12"): WAITS,
        (B, compress(range(0, 21, 2))): WAITS,
        (4003, compress(range(1, 200, 2))): WAITS,
        (4004, compress(i * i for i in range(1, 30))): WAITS,
    },
    "held": {},
    "unknown": {},
}

HELD = "job requeued in held state"
QUEUED: dict[str, Seen] = {
    "completed": {(A, i): ("ended", "COMPLETED", "no_output", None, "n1") for i in "012"},
    "cancelled": {(A, i): ("ended", "CANCELLED", "cancelled", None, "n1") for i in "01"}
    | {(A, "2-9"): ("ended", "CANCELLED", "cancelled", None, None)},
    "failed": {(A, i): ("ended", "FAILED", "crashed", None, "n1") for i in "37"},
    "out-of-memory": {(A, "5"): ("ended", "OUT_OF_MEMORY", "out_of_memory", None, "n1")},
    # squeue knows no steps: crashed, until accounting says why.
    "out-of-memory-in-a-step": {
        (A, "5"): ("ended", "FAILED", "crashed", None, "n1"),
        (A, "6"): ("ended", "COMPLETED", "no_output", None, "n1"),
    },
    "timeout": {(A, "0"): ("ended", "TIMEOUT", "timeout", None, "n1")},
    "timeout.completing": {(A, "0"): ("active", "COMPLETING", None, None, "n1")},
    "node-fail": {
        (A, "0"): ("ended", "NODE_FAIL", "node", None, "n3"),
        (B, "0"): ("waiting", "PENDING", None, None, None),
    },
    "preempted": {
        (A, "0"): ("ended", "PREEMPTED", "preempted", None, "n4"),
        (B, "0"): ("waiting", "PENDING", None, None, None),
    },
    "requeued": {(A, "0"): ("waiting", "PENDING", None, None, None)},
    "requeued.second-life": {(A, "0"): ("active", "RUNNING", None, None, "n1")},
    "requeued-on-hold": {
        (A, "0"): ("held", "PENDING", None, None, None),
        (A, "1"): ("held", "SPECIAL_EXIT", None, None, None),
    },
    "suspended": {(A, i): ("active", "SUSPENDED", None, None, "n1") for i in "01"},
    "suspended.ended": {(A, i): ("ended", "CANCELLED", "cancelled", None, "n1") for i in "01"},
    "throttled": {(A, i): ("active", "RUNNING", None, None, "n1") for i in "01"}
    | {(A, "2-10"): ("waiting", "PENDING", None, None, None)},
    "pending": dict.fromkeys(ACCOUNTED["pending"], ("waiting", "PENDING", None, None, None)),
    "held": {(A, "1-3"): ("held", "PENDING", None, None, None)},
    "unknown": {},
}


def test_every_recording_is_compared() -> None:
    assert {name.removesuffix(".sacct.txt") for name in SACCT} == set(ACCOUNTED)
    assert {name.removesuffix(".squeue.txt") for name in SQUEUE} == set(QUEUED)


@pytest.mark.parametrize("scenario", ACCOUNTED)
def test_what_accounting_said(scenario: str) -> None:
    assert seen(from_sacct(recorded(f"{scenario}.sacct.txt"))) == ACCOUNTED[scenario]


@pytest.mark.parametrize("scenario", QUEUED)
def test_what_the_controller_said(scenario: str) -> None:
    assert seen(from_squeue(recorded(f"{scenario}.squeue.txt"))) == QUEUED[scenario]


@pytest.mark.parametrize("name", SACCT + SQUEUE)
def test_only_what_has_ended_has_an_end_and_it_is_in_utc(name: str) -> None:
    """squeue gives an end to what runs as well: the one that its time limit allows."""
    read = from_sacct if name in SACCT else from_squeue
    for _, known in read(recorded(name)):
        assert (known.ended_at is not None) == (known.phase is Phase.ENDED)
        assert known.ended_at is None or known.ended_at.tzinfo is UTC
        if known.submitted_at and known.ended_at:
            assert known.submitted_at <= known.ended_at


def test_a_cut_list_says_that_it_goes_on() -> None:
    """Without SLURM_BITSTR_LEN=0, which hpc.slurm sets."""
    rows = [line.split("|")[0] for line in recorded("pending.cut.txt").splitlines()[1:]]
    assert rows[:3] == ["4001_[4-10,12%2]", "4002_[0-20:2%3]", "4003_[1-199:2]"]
    (cut, _), *_ = from_squeue(f"{rows[3]}|PENDING|N/A||BeginTime")
    assert cut == TaskId(4004, tuple(i * i for i in range(1, 19)), truncated=True)


ROW = "4001_5|FAILED|1:0|2026-11-24T21:00:00|2026-11-24T21:01:00|2026-11-24T21:02:03|63||n1"
TASK = TaskRecord(
    phase=Phase.ENDED,
    slurm_state="FAILED",
    cause=Cause.CRASHED,
    exit_code="1:0",
    elapsed_s=63,
    node="n1",
    submitted_at=datetime(2026, 11, 24, 21, 0, tzinfo=UTC),
    started_at=datetime(2026, 11, 24, 21, 1, tzinfo=UTC),
    ended_at=datetime(2026, 11, 24, 21, 2, 3, tzinfo=UTC),
)


def test_a_whole_row() -> None:
    assert from_sacct(ROW) == ((TaskId(4001, (5,)), TASK),)


@pytest.mark.parametrize(
    "printed",
    ["", "\n\n", "JobID|State|ExitCode|Submit|Start|End|ElapsedRaw|MaxRSS|NodeList",
     "4001_5|FAILED", "a comment|with|bars|and|more|of|them|than|columns", ROW.replace("_5", "_")],
)  # fmt: skip
def test_rows_that_are_none_are_passed_over(printed: str) -> None:
    """A job not recorded yet is a header, or nothing, and exit code 0."""
    assert from_sacct(printed) == ()
    assert from_squeue(printed) == ()
    assert from_sacct(f"{printed}\n{ROW}\n{printed}") == ((TaskId(4001, (5,)), TASK),)


def test_a_bar_in_the_last_column_stays_there() -> None:
    """sacct -P escapes nothing, and a reason is an administrator's text."""
    ((_, task),) = from_squeue("4001_5|PENDING|N/A||(asked | for | it)")
    assert task == TaskRecord(
        phase=Phase.WAITING, slurm_state="PENDING", reason="(asked | for | it)"
    )


@pytest.mark.parametrize("step", ["0", "1", "batch", "extern"])
@pytest.mark.parametrize("shown", ["OUT_OF_MEMORY|0:125", "OUT_OF_ME+|0:9", "FAILED|0:125"])
def test_a_failed_task_with_a_step_out_of_memory_is_out_of_memory(step: str, shown: str) -> None:
    ((_, task),) = from_sacct(f"{ROW}\n4001_5.{step}|{shown}|||||1048576|n1")
    assert (task.slurm_state, task.cause) == ("FAILED", Cause.OUT_OF_MEMORY)
    assert task.max_rss_mb == 1.0


@pytest.mark.parametrize(
    ("state", "cause"),
    [("CANCELLED by 1001", Cause.CANCELLED), ("TIMEOUT", Cause.TIMEOUT),
     ("COMPLETED", Cause.NO_OUTPUT), ("PREEMPTED", Cause.PREEMPTED), ("RUNNING", None)],
)  # fmt: skip
def test_another_end_than_failed_keeps_its_cause_beside_an_oom(
    state: str, cause: Cause | None
) -> None:
    """A person's scancel must not be taken for something to try again."""
    steps = "4001_5.0|OUT_OF_MEMORY|0:125|||||0|n1"
    ((_, task),) = from_sacct(f"{ROW.replace('FAILED|1:0', f'{state}|0:125')}\n{steps}")
    assert task.cause is cause


def test_another_tasks_step_changes_nothing() -> None:
    other = "4001_6.0|OUT_OF_MEMORY|0:125|||||5G|n1"
    assert from_sacct(f"{ROW}\n{other}\n4001.0{other[8:]}") == ((TaskId(4001, (5,)), TASK),)


@pytest.mark.parametrize(
    ("shown", "mb"),
    [("1048576", 1.0), ("2048K", 2.0), ("1.50M", 1.5), ("2G", 2048.0), ("0", 0.0), ("", None),
     ("?", None)],
)  # fmt: skip
def test_the_largest_step_tells_the_memory(shown: str, mb: float | None) -> None:
    steps = [
        f"4001_5.{step}|COMPLETED|0:0|||||{rss}|n1" for step, rss in (("batch", ""), (0, shown))
    ]
    assert from_sacct("\n".join([ROW, *steps]))[0][1].max_rss_mb == mb
    both = "\n".join([ROW, *steps, "4001_5.1|COMPLETED|0:0|||||512K|n1"])
    assert from_sacct(both)[0][1].max_rss_mb == max(mb or 0.5, 0.5)


@given(st.text("4001_[]-:%.|+,\n batchRUNNIGFED5", max_size=200))
def test_no_output_makes_it_fail_and_no_step_is_a_task(printed: str) -> None:
    for one, _ in (*from_sacct(printed), *from_squeue(printed)):
        assert not one.step


def test_a_queue_with_names_is_the_queue_whatever_the_names_hold() -> None:
    printed = (
        "4711_[2-9%2]|PENDING|N/A||JobArrayTaskLimit|hpc-a-0001\n"
        "4711_1|RUNNING|2026-11-24T12:00:00|n3|None|hpc-a-0001\n"
        "no row at all\n"
        "4712|CANCELLED|2026-11-24T12:00:00|n4|None|odd | name\n"
    )
    rows = named_from_squeue(printed)
    assert [name for name, _, _ in rows] == ["hpc-a-0001", "hpc-a-0001", "odd | name"]
    bare = "".join(line.rpartition("|hpc-")[0] + "\n" for line in printed.splitlines()[:2])
    assert tuple((one, record) for _, one, record in rows)[:2] == from_squeue(bare)
    assert (rows[2][1], rows[2][2].phase) == (TaskId(4712, None), Phase.ENDED)
