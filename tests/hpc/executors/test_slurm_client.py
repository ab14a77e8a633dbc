"""What counts as submitted and as released, whatever sbatch, scontrol and sacct answer."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from hpc.executors.base import UnansweredError
from hpc.executors.slurm.answers.submission_answers import ReleaseRefusedError
from hpc.executors.slurm.client import Slurm
from hpc.executors.slurm.commands import (
    PROGRAMS,
    SlurmError,
    check_programs,
    run_command,
    run_sbatch,
)
from hpc.executors.waits import waits_shown_by
from pipeline.errors import InputError

JOB = 4711
ON_HOLD = f"JobId={JOB} ArrayJobId={JOB} JobState=PENDING StartTime=2099-11-29T09:00:00"
STARTED = f"JobId={JOB} ArrayJobId={JOB} JobState=RUNNING StartTime=2026-11-29T09:00:00"
DEPENDENT = f"JobId={JOB} ArrayJobId={JOB} JobState=PENDING Reason=Dependency StartTime=Unknown"
CANCELED = f"JobId={JOB} ArrayJobId={JOB} JobState=CANCELLED StartTime=2099-11-29T09:00:00"
INVALID = "echo 'slurm_load_jobs error: Invalid job id specified' >&2; exit 1"
DENIED = "echo 'Access/permission denied' >&2; exit 1"


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in front of PATH."""
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    return tmp_path


def program(path: Path, name: str, lines: str) -> None:
    (path / name).write_text(f"#!/bin/sh\n{lines}\n")
    (path / name).chmod(0o755)


def scripted_scontrol(path: Path, update: str, show: str) -> None:
    program(path, "scontrol", f'case "$*" in\nupdate*) {update};;\n*) {show};;\nesac')


def row(state: str) -> str:
    """What sacct prints of the array, as the parser asks for it."""
    end = "Unknown" if state in ("PENDING", "RUNNING") else "2026-11-29T09:05:00"
    return f"echo '{JOB}_0|{state}|0:0|2026-11-29T09:00:00|Unknown|{end}|0||n1|400M'"


@pytest.mark.parametrize(
    ("update", "show", "sacct"),
    [
        pytest.param("true", STARTED, "exit 1", id="it-runs"),
        pytest.param("true", DEPENDENT, "exit 1", id="released-and-waiting-for-another-array"),
        pytest.param(DENIED, STARTED, "exit 1", id="refused-as-it-has-started"),
        pytest.param(DENIED, CANCELED, "exit 1", id="canceled-on-hold"),
        pytest.param(DENIED, "", row("COMPLETED"), id="forgotten-by-the-controller-and-over"),
    ],
)
def test_an_array_that_starts_or_is_over_counts_as_released(
    path: Path, update: str, show: str, sacct: str
) -> None:
    scripted_scontrol(path, update, f"echo '{show}'" if show else INVALID)
    program(path, "sacct", sacct)
    Slurm().release(JOB)


@pytest.mark.parametrize(
    ("update", "show"),
    [
        pytest.param("true", ON_HOLD, id="accepted-and-not-done"),
        pytest.param(DENIED, ON_HOLD, id="refused"),
        pytest.param(DENIED, DEPENDENT, id="refused-and-waiting-for-another-array"),
        pytest.param(DENIED, f"{CANCELED}\n{ON_HOLD}", id="refused-and-one-task-canceled"),
    ],
)
def test_an_array_on_hold_after_an_answer_is_refused(path: Path, update: str, show: str) -> None:
    scripted_scontrol(path, update, f"echo '{show}'")
    with pytest.raises(ReleaseRefusedError):
        Slurm().release(JOB)


@pytest.mark.parametrize(
    ("show", "sacct"),
    [
        pytest.param(INVALID, "true", id="nobody-knows-it"),
        pytest.param(INVALID, row("PENDING"), id="accounting-calls-it-alive"),
        pytest.param(INVALID, "exit 1", id="accounting-does-not-answer"),
        pytest.param(INVALID, "echo 'Slurm accounting storage is disabled' >&2; exit 1", id="off"),
    ],
)
def test_an_array_that_nobody_shows_does_not_count_as_released(
    path: Path, show: str, sacct: str
) -> None:
    """PrivateData, another cluster, a filter: an empty answer is no end."""
    scripted_scontrol(path, DENIED, show)
    program(path, "sacct", sacct)
    with pytest.raises(SlurmError) as raised:
        Slurm().release(JOB)
    assert not isinstance(raised.value, ReleaseRefusedError)


TIMED_OUT = "echo 'sbatch: error: Socket timed out on send/recv operation' >&2; exit 1"


@pytest.mark.parametrize("sbatch", [TIMED_OUT, "exec sleep 60", "echo accepted"])
def test_a_submission_without_an_answer_is_looked_up_by_its_name(path: Path, sbatch: str) -> None:
    program(path, "sbatch", sbatch)
    slurm = Slurm(patience_s=1)
    for squeue in ("true", "exit 1"):
        program(path, "squeue", squeue)
        with pytest.raises(UnansweredError):
            slurm.submit(path / "script", "name")
    program(path, "squeue", f"echo {JOB}")
    assert slurm.submit(path / "script", "name") == JOB


def test_a_refusal_is_no_missing_answer(path: Path) -> None:
    program(path, "sbatch", "echo 'sbatch: error: Invalid qos specification' >&2; exit 1")
    program(path, "squeue", f"echo {JOB}")
    with pytest.raises(SlurmError) as raised:
        Slurm().submit(path / "script", "name")
    assert not isinstance(raised.value, UnansweredError)


def test_a_missing_command_is_wrong_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    for name in PROGRAMS[:-1]:
        program(tmp_path, name, "true")
    with pytest.raises(InputError, match=PROGRAMS[-1]):
        check_programs()
    program(tmp_path, PROGRAMS[-1], "true")
    check_programs()


@pytest.mark.parametrize("run", [run_command, run_sbatch])
@pytest.mark.parametrize("script", ["echo ready", "exit 1"])
def test_whoever_asks_slurm_the_wait_is_shown_until_the_answer(
    path: Path, run: Callable[[Sequence[str], float], str], script: str
) -> None:
    program(path, "sbatch", script)
    shown: list[str] = []

    @contextmanager
    def show(what: str) -> Iterator[None]:
        shown.append(what)
        try:
            yield
        finally:
            shown.append("over")

    def ask() -> None:
        try:
            run(["sbatch"], 60.0)
        except SlurmError:
            shown.append("refused")

    with waits_shown_by(show):
        ask()
    refused = ["refused"] if script == "exit 1" else []
    assert shown == ["waiting for Slurm to answer", "over", *refused]
    ask()
    assert shown.count("over") == 1
