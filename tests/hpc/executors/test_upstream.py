"""What Slurm knows of the jobs that a run waits for, from its two answers."""

from hpc.executors.slurm.answers.parse import parse_sacct, parse_squeue
from hpc.executors.slurm.upstream import collect

ACCOUNTED = """\
7|RUNNING|0:0|2026-11-30T10:00:00|2026-11-30T10:00:01|Unknown|5||n1|100M
7.batch|RUNNING|0:0|2026-11-30T10:00:01|2026-11-30T10:00:01|Unknown|5||n1|
8_0|COMPLETED|0:0|2026-11-30T10:00:00|2026-11-30T10:00:01|2026-11-30T10:00:09|8||n1|100M
8_1|FAILED|1:0|2026-11-30T10:00:00|2026-11-30T10:00:01|2026-11-30T10:00:09|8||n1|100M
8|COMPLETED|0:0|2026-11-30T10:00:00|2026-11-30T10:00:01|2026-11-30T10:00:09|8||n1|100M
9|COMPLETED|0:0|2026-11-30T10:00:00|2026-11-30T10:00:01|2026-11-30T10:00:09|8||n1|100M
"""
QUEUED = """\
7|COMPLETED|2026-11-30T10:00:09|n1|None
6_[0-2%1]|PENDING|N/A||Priority
5|PENDING|N/A||Priority
"""


def test_the_controller_counts_where_both_know_a_task_and_steps_and_other_jobs_are_left_out() -> (
    None
):
    found = collect((6, 7, 8, 4), parse_sacct(ACCOUNTED), parse_squeue(QUEUED))
    states = {
        job: {index: record.slurm_state for index, record in tasks.items()}
        for job, tasks in found.items()
    }
    assert states == {
        6: {0: "PENDING", 1: "PENDING", 2: "PENDING"},
        7: {None: "COMPLETED"},
        8: {0: "COMPLETED", 1: "FAILED"},
        4: {},
    }
