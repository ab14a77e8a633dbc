"""The jobs of a run that Slurm has and no record names."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest
from msgspec.structs import replace

from hpc.executors.base import UnrecordedJob
from hpc.executors.slurm.answers.parse import parse_squeue_names
from hpc.executors.slurm.client import Prefix, Slurm
from hpc.executors.slurm.unrecorded import find_unrecorded
from hpc.naming.job_names import earlier_prefix, new_prefix
from hpc.run import run_folder, submissions
from hpc.run.array_indices import TaskId
from hpc.run.model.arrays import ArrayPlan, Submission
from hpc.run.model.attempts import TaskRecord
from hpc.run.model.run import Run
from tests.pipeline import run_builders

RUN = run_builders.RUN_ID
NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
IN_A_YEAR = "2099-11-24T12:00:00"


class Controller(Slurm):
    """Shows these jobs, and says of each when it begins and which script it runs."""

    def __init__(self, rows: str, begins: str = IN_A_YEAR, script: str = "") -> None:
        super().__init__()
        self._rows = rows
        self._shown = f"JobState=PENDING StartTime={begins} Command={script} WorkDir=/home/ana"
        self.canceled: list[int] = []

    def jobs(self, prefix: Prefix) -> tuple[tuple[str, TaskId, TaskRecord], ...]:
        rows = parse_squeue_names(self._rows)
        return tuple(row for row in rows if row[0].startswith(prefix))

    def show(self, *what: str) -> str:
        state = "RUNNING" if f"{what[-1]}_0|RUNNING" in self._rows else "PENDING"
        return f"JobId={what[-1]} {self._shown.replace('PENDING', state)}\n"

    def cancel_waiting(self, jobs: Sequence[int]) -> None:
        self.canceled += jobs


@pytest.fixture
def run(tmp_path: Path) -> Run:
    folder, _ = run_builders.make_run(tmp_path, run_builders.posts(4), shards=4)
    return run_folder.load(folder)


def recorded(run: Run, *jobs: int | None, prefix: str = "") -> list[Submission]:
    plan = ArrayPlan(offset=0, indices=(0, 1, 2, 3), throttle=2, parallel_tasks=2)
    intents = submissions.plan_intents(run, [plan] * len(jobs), NOW)
    if prefix:
        intents = [replace(each, job_name=f"{prefix}{each.number:04d}") for each in intents]
    return [replace(each, array_job_id=job) for each, job in zip(intents, jobs, strict=True)]


PREFIXES = (new_prefix(RUN, ""), earlier_prefix(RUN, ""))


@pytest.mark.parametrize("prefix", PREFIXES, ids=["this version", "an earlier version"])
def test_arrays_on_hold_that_no_record_names_are_canceled_and_live_ones_are_reported(
    run: Run, prefix: str
) -> None:
    slurm = Controller(
        f"4711_[1-3]|PENDING|N/A||Resources|{prefix}0001\n"
        f"4712_[0-3]|PENDING|N/A||BeginTime|{prefix}0001\n"
        f"4713_[0-3]|PENDING|N/A||BeginTime|{prefix}0002\n"
        f"4714_[0-3]|PENDING|N/A||BeginTime|{prefix}0003\n"
        f"4715_0|RUNNING|N/A|n1|None|{prefix}0003\n"
        f"4715_[1-3]|PENDING|N/A||Resources|{prefix}0003\n"
        f"4716|PENDING|N/A||Dependency|{prefix}caretaker\n"
        f"4717|PENDING|N/A||Dependency|{prefix}understudy\n"
        f"4718_0|CANCELLED|N/A||None|{prefix}0012\n"
        "4719_[0-3]|PENDING|N/A||BeginTime|hpc-another-0099\n"
        "4720_[0-3]|PENDING|N/A||BeginTime|another-20240601T120000-0123abcd-0099\n"
    )
    found = find_unrecorded(run, slurm, recorded(run, 4711, None, prefix=prefix))
    assert found.canceled == (4712, 4714)
    assert slurm.canceled == [4712, 4714]
    assert found.alive == (UnrecordedJob(job=4715, name=f"{prefix}0003"),)
    assert (found.ended, found.last_number) == ({12}, 12)


@pytest.mark.parametrize("begins", ["2026-11-24T12:00:00", "Unknown"])
def test_a_pending_array_that_was_released_is_alive(run: Run, begins: str) -> None:
    """Its record was lost: canceling its pending tasks would hide that, and running ones go on."""
    slurm = Controller(f"4714_[0-3]|PENDING|N/A||Priority|hpc-{RUN}-0001\n", begins)
    found = find_unrecorded(run, slurm, ())
    assert [job.job for job in found.alive] == [4714]
    assert (found.canceled, slurm.canceled) == ((), [])


@pytest.mark.parametrize("prefix", [new_prefix(RUN, "0a1b2c"), earlier_prefix(RUN, "0a1b2c")])
def test_the_jobs_of_other_copies_are_found_and_never_canceled(
    run: Run, tmp_path: Path, prefix: str
) -> None:
    copy, _ = run_builders.make_run(tmp_path / "copy", run_builders.posts(4), shards=4)
    slurm = Controller(
        f"4714_[0-3]|PENDING|N/A||BeginTime|{prefix}0001\n",
        script=f"{copy}/logs/0001/sbatch.sh",
    )
    found = find_unrecorded(run, slurm, ())
    assert found.alive == (UnrecordedJob(job=4714, name=f"{prefix}0001", copy=copy),)
    assert slurm.canceled == []


@pytest.mark.parametrize(
    ("name", "root", "is_found"),
    [
        ("test", "", True),
        ("other", "", False),
        ("test", "elsewhere", False),
    ],
    ids=["of this name", "of another name", "of another project"],
)
@pytest.mark.parametrize("prefix_of", [new_prefix, earlier_prefix])
def test_before_a_first_submission_arrays_of_runs_without_a_folder_are_found(
    run: Run, name: str, root: str, *, is_found: bool, prefix_of: Callable[[str, str], str]
) -> None:
    name = run.manifest.name if name == "test" else name
    lost = run.folder.parent / root / f"20240601T120000-{name}-89abcdef"
    job = f"{prefix_of(lost.name, '')}0001"
    slurm = Controller(
        f"4714_0|RUNNING|N/A|n1|None|{job}\n4713_0|CANCELLED|N/A||None|{job[:-1]}2\n",
        script=f"{lost}/logs/0001/sbatch.sh",
    )
    expected = UnrecordedJob(job=4714, name=job, lost_folder=lost)
    assert find_unrecorded(run, slurm, ()).alive == ((expected,) if is_found else ())
    assert find_unrecorded(run, slurm, recorded(run, 4711)).alive == ()
    lost.mkdir(parents=True)
    assert find_unrecorded(run, slurm, ()).alive == ()
