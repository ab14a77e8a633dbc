"""What sacct and squeue might print: rows made up for it. What they did: test_recorded_answers."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpc.executors.slurm.answers.parse import parse_sacct, parse_squeue, parse_squeue_names
from hpc.run.array_indices import TaskId
from hpc.run.model.attempts import Phase, TaskRecord
from pipeline.errors import Cause

ROW = "4001_5|FAILED|1:0|2026-11-24T21:00:00|2026-11-24T21:01:00|2026-11-24T21:02:03|63||n1|4G"
TASK = TaskRecord(
    phase=Phase.ENDED,
    slurm_state="FAILED",
    cause=Cause.CRASHED,
    exit_code="1:0",
    elapsed_s=63,
    req_mem_gb=4.0,
    node="n1",
    submitted_at=datetime(2026, 11, 24, 21, 0, tzinfo=UTC),
    started_at=datetime(2026, 11, 24, 21, 1, tzinfo=UTC),
    ended_at=datetime(2026, 11, 24, 21, 2, 3, tzinfo=UTC),
)


def test_every_field_of_a_row_is_read() -> None:
    assert parse_sacct(ROW) == ((TaskId(4001, (5,)), TASK),)


@pytest.mark.parametrize(
    "printed",
    ["", "\n\n", "JobID|State|ExitCode|Submit|Start|End|ElapsedRaw|MaxRSS|NodeList|ReqMem",
     "4001_5|FAILED", "a comment|with|bars|and|more|of|them|than|columns", ROW.replace("_5", "_")],
)  # fmt: skip
def test_lines_that_are_not_rows_are_skipped(printed: str) -> None:
    """A job not recorded yet is a header, or nothing, and exit code 0."""
    assert parse_sacct(printed) == ()
    assert parse_squeue(printed) == ()
    assert parse_sacct(f"{printed}\n{ROW}\n{printed}") == ((TaskId(4001, (5,)), TASK),)


def test_a_bar_in_the_last_column_is_kept() -> None:
    """sacct -P escapes nothing, and a reason is an administrator's text."""
    ((_, task),) = parse_squeue("4001_5|PENDING|N/A||(asked | for | it)")
    assert task == TaskRecord(
        phase=Phase.WAITING, slurm_state="PENDING", reason="(asked | for | it)"
    )


@pytest.mark.parametrize("step", ["0", "1", "batch", "extern"])
@pytest.mark.parametrize("shown", ["OUT_OF_MEMORY|0:125", "OUT_OF_ME+|0:9", "FAILED|0:125"])
def test_a_failed_task_with_a_step_out_of_memory_is_out_of_memory(step: str, shown: str) -> None:
    ((_, task),) = parse_sacct(f"{ROW}\n4001_5.{step}|{shown}|||||1048576|n1|")
    assert (task.slurm_state, task.cause) == ("FAILED", Cause.OUT_OF_MEMORY)
    assert task.max_rss_mb == 1.0


@pytest.mark.parametrize(
    ("state", "cause"),
    [("CANCELLED by 1001", Cause.CANCELLED), ("TIMEOUT", Cause.TIMEOUT),
     ("COMPLETED", Cause.NO_OUTPUT), ("PREEMPTED", Cause.PREEMPTED), ("RUNNING", None)],
)  # fmt: skip
def test_a_state_other_than_failed_keeps_its_cause_beside_an_oom_step(
    state: str, cause: Cause | None
) -> None:
    """A person's scancel must not be taken for something to try again."""
    steps = "4001_5.0|OUT_OF_MEMORY|0:125|||||0|n1|"
    ((_, task),) = parse_sacct(f"{ROW.replace('FAILED|1:0', f'{state}|0:125')}\n{steps}")
    assert task.cause is cause


def test_a_step_of_another_task_changes_nothing() -> None:
    other = "4001_6.0|OUT_OF_MEMORY|0:125|||||5G|n1|"
    assert parse_sacct(f"{ROW}\n{other}\n4001.0{other[8:]}") == ((TaskId(4001, (5,)), TASK),)


@pytest.mark.parametrize(
    ("shown", "mb"),
    [("1048576", 1.0), ("2048K", 2.0), ("1.50M", 1.5), ("2G", 2048.0), ("0", 0.0), ("", None),
     ("?", None)],
)  # fmt: skip
def test_a_tasks_memory_is_that_of_its_largest_step(shown: str, mb: float | None) -> None:
    steps = [
        f"4001_5.{step}|COMPLETED|0:0|||||{rss}|n1|" for step, rss in (("batch", ""), (0, shown))
    ]
    assert parse_sacct("\n".join([ROW, *steps]))[0][1].max_rss_mb == mb
    both = "\n".join([ROW, *steps, "4001_5.1|COMPLETED|0:0|||||512K|n1|"])
    assert parse_sacct(both)[0][1].max_rss_mb == max(mb or 0.5, 0.5)


@pytest.mark.parametrize(
    ("shown", "gb"),
    [("400M", 400 / 1024), ("4G", 4.0), ("4194304K", 4.0), ("1.50T", 1536.0),
     ("4096Mn", 4.0),
     # A CPU's, all that the node has, and what no Slurm says.
     ("500Mc", None), ("0", None), ("0n", None), ("0M", None),
     ("18446744073709551616.00M", None),
     ("", None), ("?", None), ("16?", None), ("4000", None), (".M", None), ("1.2.3G", None)],
)  # fmt: skip
def test_requested_memory_is_in_gib_per_node(shown: str, gb: float | None) -> None:
    ((_, task),) = parse_sacct(
        f"{ROW.removesuffix('4G')}{shown}\n4001_5.batch|FAILED|1:0|||||0|n1|"
    )
    assert task.req_mem_gb == gb


def test_of_two_jobs_with_the_same_id_the_later_submission_counts() -> None:
    """Job ids begin again with a new controller, and sacct lists both."""
    older = ROW.replace("FAILED|1:0|2026-11-24T21", "FAILED|1:0|2026-11-23T21")
    older = f"{older}\n4001_5.0|OUT_OF_MEMORY|0:125|||||1048576|n1|"
    assert parse_sacct(f"{older}\n{ROW}") == ((TaskId(4001, (5,)), TASK),)
    assert parse_sacct(f"{ROW}\n{older}") == ((TaskId(4001, (5,)), TASK),)


def test_a_row_with_an_unknown_state_counts_as_alive() -> None:
    """Nothing may be submitted again on a guess."""
    ((_, task),) = parse_sacct(ROW.replace("FAILED|", "NEW_IN_2027|"))
    assert (task.phase, task.cause, task.ended_at) == (Phase.ACTIVE, None, None)
    ((_, seen_now),) = parse_squeue("4001_5|NEW_IN_2027|N/A|n1|None")
    assert (seen_now.phase, seen_now.slurm_state) == (Phase.ACTIVE, "NEW_IN_2027")


@given(st.text("4001_[]-:%.|+,\n batchRUNNIGFED5", max_size=200))
def test_no_output_makes_the_parser_fail_and_no_step_counts_as_a_task(printed: str) -> None:
    for task_id, _ in (*parse_sacct(printed), *parse_squeue(printed)):
        assert not task_id.step


def test_job_names_never_change_how_a_queue_is_read() -> None:
    printed = (
        "4711_[2-9%2]|PENDING|N/A||JobArrayTaskLimit|hpc-a-0001\n"
        "4711_1|RUNNING|2026-11-24T12:00:00|n3|None|hpc-a-0001\n"
        "no row at all\n"
        "4712|CANCELLED|2026-11-24T12:00:00|n4|None|odd | name\n"
    )
    rows = parse_squeue_names(printed)
    assert [name for name, _, _ in rows] == ["hpc-a-0001", "hpc-a-0001", "odd | name"]
    bare = "".join(line.rpartition("|hpc-")[0] + "\n" for line in printed.splitlines()[:2])
    assert tuple((task_id, record) for _, task_id, record in rows)[:2] == parse_squeue(bare)
    assert (rows[2][1], rows[2][2].phase) == (TaskId(4712, None), Phase.ENDED)
