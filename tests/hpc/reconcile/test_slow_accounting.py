"""sacct that is slow, or says what nobody knows: the controller and the outputs carry on."""

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from hpc.executors.slurm.client import Slurm
from hpc.executors.slurm.executor import SlurmExecutor
from hpc.reconcile.observe import observe
from hpc.run import run_folder, submissions
from hpc.run.judge import judge_all
from hpc.run.model.arrays import ArrayPlan, Submission
from hpc.run.model.attempts import Phase
from hpc.run.model.run import Run
from hpc.run.model.shards import State
from hpc.run.retry_policy import RetryPolicy
from tests.pipeline import run_builders

JOB = 4711


@pytest.fixture
def submitted_run(tmp_path: Path) -> Run:
    """Two shards, submitted as one array."""
    folder, _ = run_builders.make_run(tmp_path, run_builders.posts(4), shards=2)
    made = run_folder.load(folder)
    now = datetime.now(UTC)
    plan = ArrayPlan(offset=0, indices=(0, 1), throttle=2, parallel_tasks=2)
    submissions.write_submission(
        made,
        Submission(
            number=1, job_name="a", plan=plan, intended_at=now, array_job_id=JOB, released_at=now
        ),
    )
    return made


def programs(folder: Path, monkeypatch: pytest.MonkeyPatch, **scripts: str) -> None:
    for name, lines in scripts.items():
        path = folder / name
        path.write_text(f"#!/bin/sh\n{lines}\n")
        path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")


def states(run: Run, patience_s: float = 60.0) -> tuple[list[State], str | None]:
    seen = observe(run, SlurmExecutor(Slurm(patience_s)))
    judged = judge_all(seen, grace=datetime.min - datetime.min, policy=RetryPolicy())
    return [judgement.state for judgement in judged], seen.trouble


def test_when_sacct_times_out_its_tasks_are_unknown(
    submitted_run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = f"{JOB}_0|RUNNING|N/A|n1|None"
    programs(tmp_path, monkeypatch, squeue=f"echo '{row}'", sacct="exec sleep 60")
    assert states(submitted_run, 1.0) == ([State.RUNNING, State.UNKNOWN], "no answer in 1 s")


def test_a_task_in_an_unknown_slurm_state_counts_as_alive(
    submitted_run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = f"{JOB}_0|TELEPORTING|N/A|n1|None\\n{JOB}_1|PENDING|N/A||Priority"
    programs(tmp_path, monkeypatch, squeue=f"printf '{rows}\\n'", sacct="true")
    assert states(submitted_run) == ([State.RUNNING, State.QUEUED], None)
    assert (
        observe(submitted_run, SlurmExecutor(Slurm())).shards[0].attempts[0].phase is Phase.ACTIVE
    )


def test_the_last_answer_is_remembered_with_its_time(
    submitted_run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs(tmp_path, monkeypatch, squeue="true", sacct="true")
    first = observe(submitted_run, SlurmExecutor(Slurm()))
    programs(tmp_path, monkeypatch, squeue="exit 1", sacct="echo no connection >&2; exit 1")
    later = observe(submitted_run, SlurmExecutor(Slurm()))
    assert (later.answered, later.last_answer) == (False, first.last_answer)
    assert later.trouble == "exit code 1; no connection"
