"""What sacct and squeue of a real Slurm printed (tests/data/sacct), read row by row."""

from datetime import UTC
from pathlib import Path

import pytest

from hpc.executors.slurm.answers.parse import Record, parse_sacct, parse_squeue
from hpc.run.array_indices import TaskId, format_indices
from hpc.run.model.attempts import Phase

RECORDED = Path(__file__).parents[2] / "data" / "sacct"
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
        (one.job, format_indices(one.indices or ())): (
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
        (B, format_indices(range(0, 21, 2))): WAITS,
        (4003, format_indices(range(1, 200, 2))): WAITS,
        (4004, format_indices(i * i for i in range(1, 30))): WAITS,
    },
    "held": {(A, "1-3"): WAITS},
    "unknown": {},
    "cancelled-waiting": {(A, "0-3"): ended("CANCELLED by 0", "cancelled", node=None)},
    # Cancelled before accounting had heard of the array: its id alone.
    "cancelled-at-once": {(A, ""): ended("CANCELLED by 0", "cancelled", node=None)},
    "cancelled-at-once.24.11": {(A, "0-3"): ended("CANCELLED by 0", "cancelled", node=None)},
    "cancelled-one-by-one.running": {
        (A, "0"): ("active", "RUNNING", None, "0:0", "n1"),
        (A, "1-3"): ended("CANCELLED by 0", "cancelled", node=None),
    },
    "cancelled-one-by-one": {
        (A, "0"): ended("FAILED", "crashed", "3:0"),
        (A, "1-3"): ended("CANCELLED by 0", "cancelled", node=None),
    },
    # Of tasks 3 and 4, cancelled while they waited, nobody has any record.
    "half-cancelled": {
        (A, "0"): ended("CANCELLED by 0", "cancelled"),
        (A, "1"): ("active", "RUNNING", None, "0:0", "n1"),
        (A, "2"): ("active", "RUNNING", None, "0:0", "n1"),
        (A, "5-6"): WAITS,
    },
    "launch-failed": {(A, "0"): ("waiting", "REQUEUED", None, "0:0", "n2")},
    "reused.waiting": {(A, i): ended("FAILED", "crashed", "3:0") for i in "012"}
    | {(A, "0-2"): WAITS},
    "reused": {(A, i): ended("COMPLETED", "no_output") for i in "012"},
    # 24.11 shows the next life of a task that was put back, 22.05 the former one.
    "launch-failed.24.11": {(A, "0"): WAITS},
    "node-fail.24.11": {(A, "0"): ended("NODE_FAIL", "node", "1:0", "n3"), (B, "0"): WAITS},
    "preempted.24.11": {(A, "0"): ended("PREEMPTED", "preempted", node="n4"), (B, "0"): WAITS},
    "requeued.24.11": {(A, "0"): WAITS},
}

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
    "cancelled-waiting": {(A, "0-3"): ("ended", "CANCELLED", "cancelled", None, None)},
    "cancelled-at-once": {(A, ""): ("ended", "CANCELLED", "cancelled", None, None)},
    "cancelled-one-by-one.running": {
        (A, ""): ("ended", "CANCELLED", "cancelled", None, None),
        (A, "0"): ("active", "RUNNING", None, None, "n1"),
    },
    "cancelled-one-by-one": {
        (A, ""): ("ended", "CANCELLED", "cancelled", None, None),
        (A, "0"): ("ended", "FAILED", "crashed", None, "n1"),
    },
    "half-cancelled": {
        (A, "0"): ("ended", "CANCELLED", "cancelled", None, "n1"),
        (A, "1"): ("active", "RUNNING", None, None, "n1"),
        (A, "2"): ("active", "RUNNING", None, None, "n1"),
        (A, "5-6"): ("waiting", "PENDING", None, None, None),
    },
    "launch-failed": {(A, "0"): ("held", "PENDING", None, None, None)},
    "reused.waiting": {(A, "0-2"): ("waiting", "PENDING", None, None, None)},
    "reused": {(A, i): ("ended", "COMPLETED", "no_output", None, "n1") for i in "012"},
}
for scenario in ("cancelled-at-once", "launch-failed", "node-fail", "preempted", "requeued"):
    QUEUED[f"{scenario}.24.11"] = QUEUED[scenario]


def test_every_recording_is_compared() -> None:
    assert {name.removesuffix(".sacct.txt") for name in SACCT} == set(ACCOUNTED)
    assert {name.removesuffix(".squeue.txt") for name in SQUEUE} == set(QUEUED)


@pytest.mark.parametrize("scenario", ACCOUNTED)
def test_recorded_sacct_output_is_parsed(scenario: str) -> None:
    assert seen(parse_sacct(recorded(f"{scenario}.sacct.txt"))) == ACCOUNTED[scenario]


@pytest.mark.parametrize("scenario", QUEUED)
def test_recorded_squeue_output_is_parsed(scenario: str) -> None:
    assert seen(parse_squeue(recorded(f"{scenario}.squeue.txt"))) == QUEUED[scenario]


@pytest.mark.parametrize("name", SACCT + SQUEUE)
def test_only_an_ended_task_has_an_end_time_and_it_is_utc(name: str) -> None:
    """squeue gives an end to what runs as well: the one that its time limit allows."""
    read = parse_sacct if name in SACCT else parse_squeue
    for _, known in read(recorded(name)):
        assert (known.ended_at is not None) == (known.phase is Phase.ENDED)
        assert known.ended_at is None or known.ended_at.tzinfo is UTC
        if known.submitted_at and known.ended_at:
            assert known.submitted_at <= known.ended_at


def test_a_truncated_index_list_is_recognized() -> None:
    """Without SLURM_BITSTR_LEN=0, which hpc.executors.slurm.client sets."""
    rows = [line.split("|")[0] for line in recorded("pending.cut.txt").splitlines()[1:]]
    assert rows[:3] == ["4001_[4-10,12%2]", "4002_[0-20:2%3]", "4003_[1-199:2]"]
    (cut, _), *_ = parse_squeue(f"{rows[3]}|PENDING|N/A||BeginTime")
    assert cut == TaskId(4004, tuple(i * i for i in range(1, 19)), truncated=True)


def test_every_recorded_task_has_its_memory() -> None:
    """500 MB by default in the tests' cluster; accounting knows it before a task starts."""
    asked = {
        name: {known.req_mem_gb for _, known in parse_sacct(recorded(name))}
        for name in SACCT
        if name != "unknown.sacct.txt"
    }
    others = {
        "cancelled-at-once.sacct.txt": {None},  # 2**64 MB, says Slurm
        "out-of-memory.sacct.txt": {50 / 1024},
        "out-of-memory-in-a-step.sacct.txt": {50 / 1024},
        "preempted.sacct.txt": {4000 / 1024},  # --mem=0
        "preempted.24.11.sacct.txt": {4000 / 1024},
    }
    assert asked == {name: {500 / 1024} for name in asked} | others
