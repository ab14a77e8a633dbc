"""Whether a cluster hides the jobs of others, and from whom."""

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest
from msgspec.structs import replace

from hpc.executors.slurm.client import Slurm
from hpc.executors.slurm.commands import SlurmError
from hpc.executors.slurm.executor import SlurmExecutor
from hpc.run import run_folder, submissions
from hpc.run.model.arrays import ArrayPlan
from hpc.run.model.run import Run
from tests.pipeline import run_builders

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
OTHER = 61_001


class Discreet(Slurm):
    """Answers these words to scontrol and sacctmgr, and nothing to squeue and sacct."""

    def __init__(self, config: str, level: str = "None") -> None:
        super().__init__()
        self._config = config
        self._level = level
        self.commands: list[str] = []

    def _run(self, program: str, *arguments: str) -> str:
        self.commands.append(program)
        if program == "sacctmgr" and not self._level:
            raise SlurmError([program], "exit code 1", "", "accounting is off")
        return {"scontrol": self._config, "sacctmgr": self._level}.get(program, "")


@pytest.fixture
def run(tmp_path: Path) -> Run:
    folder, _ = run_builders.make_run(tmp_path, run_builders.posts(4), shards=2)
    return run_folder.load(folder)


def config(private: str, administrator: int = 64_030) -> str:
    return (
        f"PrivateData             = {private}\nSlurmUser               = slurm({administrator})\n"
    )


@pytest.mark.parametrize(
    ("private", "level", "hides"),
    [
        ("none", "None", False),
        ("accounts,usage", "None", False),
        ("jobs", "None", True),
        ("accounts,jobs,users", "", True),
        ("all", "None", True),
        ("jobs", "Operator", False),
        ("jobs", "Administrator", False),
    ],
)
def test_private_jobs_are_hidden_from_all_but_operators(
    monkeypatch: pytest.MonkeyPatch, private: str, level: str, hides: bool
) -> None:
    monkeypatch.setattr(os, "getuid", lambda: OTHER)
    assert Discreet(config(private), level).hides_jobs() is hides


@pytest.mark.parametrize("uid", [0, 64_030])
def test_root_and_the_user_of_slurm_see_all_jobs(monkeypatch: pytest.MonkeyPatch, uid: int) -> None:
    monkeypatch.setattr(os, "getuid", lambda: uid)
    assert not Discreet(config("jobs")).hides_jobs()


def test_only_who_looks_at_the_jobs_of_another_user_asks_whether_they_are_hidden(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = ArrayPlan(offset=0, indices=(0, 1), throttle=2, parallel_tasks=2)
    (intent,) = submissions.plan_intents(run, (plan,), NOW)
    own = replace(intent, array_job_id=4711, released_at=NOW)
    slurm = Discreet(config("jobs"))
    assert SlurmExecutor(slurm).query(run, (own,), lock_is_ours=False).hidden == {}
    assert slurm.commands == ["squeue", "sacct"]
    monkeypatch.setattr(os, "getuid", lambda: OTHER)
    seen = SlurmExecutor(slurm).query(run, (own,), lock_is_ours=False)
    assert (list(seen.hidden), seen.trouble) == ([1], None)
