"""The local executor's own record of its tasks."""

import contextlib
import errno
import json
import os
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NoReturn

import pytest

from hpc.executors.local import task_record, tasks
from hpc.executors.local.executor import LocalExecutor
from hpc.executors.local.task_record import read_records
from hpc.locks import run_lock
from hpc.run.model.arrays import Submission
from hpc.run.model.attempts import Phase, TaskRecord
from hpc.run.model.run import Run
from hpc.run.submissions import plan_intents
from pipeline.errors import Cause, InputError
from pipeline.model import WorkOrder
from tests.hpc.cli_bench import valence_run
from tests.hpc.processes import tasks_of
from tests.hpc.run.test_plan import arrays

STARTED = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


def sent(run: Run, shards: int) -> Submission:
    plans = arrays(range(shards), array_size=1001, max_parallel=2)
    intents = plan_intents(run, plans, STARTED)
    (submission,) = LocalExecutor().submit(run, intents, (), 0)
    return submission


def recorded(run: Run, shard: int, exit_code: int | None, told_to_stop: bool = False) -> None:
    folder = run.folder / "logs" / "0001"
    folder.mkdir(parents=True, exist_ok=True)
    ended = None if exit_code is None else (STARTED + timedelta(seconds=90)).isoformat()
    record = {
        "started_at": STARTED.isoformat(),
        "ended_at": ended,
        "exit_code": exit_code,
        "told_to_stop": told_to_stop,
    }
    (folder / f"{shard:05d}.task.json").write_text(json.dumps(record))


def ended(exit_code: int, words: str, cause: Cause) -> TaskRecord:
    return TaskRecord(
        phase=Phase.ENDED,
        slurm_state=words,
        cause=cause,
        exit_code=str(exit_code),
        elapsed_s=90,
        started_at=STARTED,
        ended_at=STARTED + timedelta(seconds=90),
    )


# A task that somebody else ends, as daemons do when memory is short, may be ended every time: it
# counts as crashed. Only what its own parent tells to stop is not to blame.
ENDED = {
    (0, False): ended(0, "ended", Cause.NO_OUTPUT),
    (1, False): ended(1, "failed", Cause.CRASHED),
    (143, False): ended(143, "ended by SIGTERM", Cause.CRASHED),
    (-15, False): ended(-15, "killed by SIGTERM", Cause.CRASHED),
    (-9, False): ended(-9, "killed by SIGKILL", Cause.CRASHED),
    (143, True): ended(143, "stopped", Cause.PREEMPTED),
    (-15, True): ended(-15, "stopped", Cause.PREEMPTED),
    (-9, True): ended(-9, "stopped", Cause.PREEMPTED),
}


@pytest.mark.parametrize("in_use", [True, False])
def test_a_recorded_end_is_reported_whoever_holds_the_run(tmp_path: Path, in_use: bool) -> None:
    run = valence_run(tmp_path, 8, shards=8)
    submission = sent(run, 8)
    for shard, (code, told_to_stop) in enumerate(ENDED):
        recorded(run, shard, code, told_to_stop)
    assert read_records(run, [submission], in_use=in_use) == {
        (1, shard): record for shard, record in enumerate(ENDED.values())
    }


def test_a_task_without_a_recorded_end_is_alive_only_while_the_run_is_locked(
    tmp_path: Path,
) -> None:
    run = valence_run(tmp_path, 4)
    submission = sent(run, 2)
    recorded(run, 0, None)
    assert read_records(run, [submission], in_use=True) == {
        (1, 0): TaskRecord(phase=Phase.ACTIVE, slurm_state="running", started_at=STARTED),
        (1, 1): TaskRecord(phase=Phase.WAITING, slurm_state="waiting"),
    }
    assert read_records(run, [submission], in_use=False) == {
        (1, 1): TaskRecord(phase=Phase.ENDED, slurm_state="never started", cause=Cause.PREEMPTED),
    }


def test_a_task_that_was_asked_to_stop_and_ended_unseen_counts_as_preempted(tmp_path: Path) -> None:
    """Whoever told it has left: a second Ctrl-C."""
    run = valence_run(tmp_path, 4)
    submission = sent(run, 2)
    recorded(run, 0, None, told_to_stop=True)
    assert read_records(run, [submission], in_use=True)[1, 0].phase is Phase.ACTIVE
    assert read_records(run, [submission], in_use=False)[1, 0] == TaskRecord(
        phase=Phase.ENDED, slurm_state="stopped", cause=Cause.PREEMPTED, started_at=STARTED
    )


@pytest.mark.parametrize(
    "content", ["", "[]", '{"started_at": "yesterday"}', '{"exit_code": "0"}', '{"key_of_2030": 1}']
)
def test_a_record_that_this_version_cannot_read_is_reported_with_its_file(
    tmp_path: Path, content: str
) -> None:
    run = valence_run(tmp_path, 4)
    submission = sent(run, 2)
    recorded(run, 0, None)
    (record,) = run.folder.rglob("*.task.json")
    record.write_text(content)
    with pytest.raises(InputError) as error:
        read_records(run, [submission], in_use=True)
    assert str(record) in str(error.value)


def test_a_task_whose_start_cannot_be_recorded_does_not_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody would end it with the others, and the run would stay in its hands."""
    run = valence_run(tmp_path, 4)
    submission = sent(run, 2)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("hpc.executors.local.task_record.files.write_json", full)
    with run_lock.lock_run(run) as lock, pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
        tasks.run_array(run, submission, lock, print)
    assert tasks_of(tmp_path) == {}


@pytest.mark.parametrize("is_interrupted", [False, True])
def test_tasks_end_although_an_interruption_left_the_lock_of_popen_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_interrupted: bool
) -> None:
    """The handler of Ctrl-C raises between two lines of Popen, and nobody releases its lock."""
    run = valence_run(tmp_path, 4)
    submission = sent(run, 2)

    def waits_without_end(*_: object, **__: object) -> NoReturn:
        raise AssertionError("Popen waits for its lock without end")

    sleep, interruptions = time.sleep, [KeyboardInterrupt()] if is_interrupted else []

    def sleep_unless_interrupted(seconds: float) -> None:
        if interruptions:
            raise interruptions.pop()
        sleep(seconds)

    monkeypatch.setattr("subprocess.Popen.poll", lambda _: None)
    monkeypatch.setattr("subprocess.Popen.wait", waits_without_end)
    monkeypatch.setattr("time.sleep", sleep_unless_interrupted)
    interruption = pytest.raises(KeyboardInterrupt) if is_interrupted else contextlib.nullcontext()
    with run_lock.lock_run(run) as lock, interruption:
        tasks.run_array(run, submission, lock, print)
    records = read_records(run, [submission], in_use=False)
    assert {record.phase for record in records.values()} == {Phase.ENDED}
    assert tasks_of(tmp_path) == {}


@pytest.mark.parametrize("failing", ["record_start", "record_end"])
def test_a_task_that_cannot_be_recorded_ends_no_other_task(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    run = valence_run(tmp_path, 4)
    submission = sent(run, 2)
    original = getattr(task_record, failing)

    def record(order: WorkOrder, *arguments: int, **options: bool) -> None:
        if order.shard_index == 1:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        original(order, *arguments, **options)

    monkeypatch.setattr(task_record, failing, record)
    with run_lock.lock_run(run) as lock, pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
        tasks.run_array(run, submission, lock, print)
    published = {path.name for path in (run.folder / "outputs").iterdir()}
    both = {"00000.parquet", "00001.parquet"}
    assert published == (both if failing == "record_end" else {"00000.parquet"})
    assert read_records(run, [submission], in_use=False)[1, 0].exit_code == "0"
    assert tasks_of(tmp_path) == {}
