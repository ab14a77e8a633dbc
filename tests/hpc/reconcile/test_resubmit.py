"""Resubmitting a run whose tasks ended a moment ago, by a Slurm that answers as it is written."""

import json
import os
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from hpc.display.live.plain_lines import PlainLines
from hpc.executors.base import ExecutorError
from hpc.executors.slurm.client import Slurm
from hpc.executors.slurm.executor import SlurmExecutor
from hpc.locks import run_lock
from hpc.reconcile.loop import supervise
from hpc.reconcile.resubmit import Outcome, Request, preview, resubmit
from hpc.run import run_folder
from hpc.run.exit_codes import FAILED, UNDER_WAY
from hpc.run.model.arrays import ArrayPlan, ResourceRequest, Submission
from hpc.run.model.run import Run, Say, Wait
from hpc.run.model.shards import State
from hpc.run.run_view import Sight
from hpc.run.submissions import read_submissions, write_submission
from pipeline.errors import Cause, RunError
from pipeline.run_files import heartbeat, last_words
from pipeline.run_files.heartbeat import HeartbeatWriter
from pipeline.run_files.last_words import LastWords
from pipeline.run_files.manifest import work_path
from tests.pipeline import run_builders

LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)
GRACE_S = 3600.0
PLAIN = Request(
    indices=None, override=ResourceRequest(time_min=0), force=False, caretaker=False, dry_run=False
)
FORCE = replace(PLAIN, force=True)
PROGRAMS = {
    "squeue": "true",
    "sbatch": "echo 4712",
    "scontrol": "true",
    "sacctmgr": "true",
    "sinfo": "echo 'normal|1-00:00:00|1000|n1'",
}


class SeenStates(PlainLines):
    """Keeps the states of the shards that it is asked to show."""

    def __init__(self, say: Say) -> None:
        super().__init__(say)
        self.states: list[list[State]] = []

    def show(self, sight: Sight) -> None:
        self.states.append([judgement.state for judgement in sight.status.judgements])


class ScriptedSlurm:
    """Programs on the PATH: sacct says how and when each shard's task ended."""

    def __init__(self, folder: Path, run: Run) -> None:
        self._folder = folder
        self.run = run
        self.waits: list[float] = []
        for name, line in PROGRAMS.items():
            self._program(name, line)

    def ended(self, *states: str, ago: timedelta) -> None:
        end = datetime.now(UTC) - ago
        start = end - timedelta(minutes=1)
        lines = [
            f"4711_{index}|{state}|1:0|{start:%FT%T}|{start:%FT%T}|{end:%FT%T}|60||n1|"
            for index, state in enumerate(states)
        ]
        self._program("sacct", "cat <<END\n" + "\n".join(lines) + "\nEND")

    def waits_for_later(self, cause: Cause, *, others: str = "FAILED") -> Submission:
        """Let shard 0 fail for a cause, and wait in the queue for an hour."""
        now = datetime.now(UTC)
        self.ended("FAILED", others, ago=timedelta(seconds=2 * GRACE_S))
        self._program("squeue", "echo '4713_0|PENDING|N/A||BeginTime'")
        self._program("scontrol", f'echo "$*" >> {self._folder}/asked')
        words = LastWords(cause=cause, message="no", traceback="", node="n1", written_at="")
        path = last_words.path_of(self.run.folder, 1, 0)
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(words.to_json()))
        plan = ArrayPlan(offset=0, indices=(0,), throttle=1, parallel_tasks=1, delay_s=3600)
        return write_submission(
            self.run,
            Submission(
                number=2, job_name="job 2", plan=plan, intended_at=now, array_job_id=4713,
                released_at=now,
            ),
        )  # fmt: skip

    @property
    def started(self) -> bool:
        """Whether the waiting task was started since this was last asked."""
        asked = self._folder / "asked"
        lines = asked.read_text().splitlines() if asked.exists() else []
        asked.unlink(missing_ok=True)
        return "update JobId=4713_0 StartTime=now" in lines

    def supervise_once(self) -> list[list[State]]:
        """Return the states of the shards that the supervisor showed, one list a sight."""
        seen = SeenStates(lambda line: None)
        with run_lock.lock_run(self.run) as lock:
            supervise(self.run, SlurmExecutor(Slurm()), lock, seen, once=True)
        return seen.states

    def rejects(self) -> None:
        self._program("sbatch", "echo 'Invalid account' >&2; exit 1")

    def _program(self, name: str, lines: str) -> None:
        (self._folder / name).write_text(f"#!/bin/sh\n{lines}\n")
        (self._folder / name).chmod(0o755)

    def resubmit(self, request: Request) -> Outcome:
        def never(seconds: float, why: str) -> None:
            raise AssertionError(f"{why}: {seconds} s")

        return self._resubmit(request, never)

    def resubmit_after_waiting(self, request: Request, *states: str, publish: int = -1) -> Outcome:
        """Resubmit. Once it waits, the grace time passes, and a file may show up."""

        def pass_time(seconds: float, why: str) -> None:
            self.waits.append(seconds)
            self.ended(*states, ago=timedelta(seconds=2 * GRACE_S))
            if publish >= 0:
                run_builders.publish_shard(self.run.folder, self.run.manifest, publish)

        return self._resubmit(request, pass_time)

    def _resubmit(self, request: Request, wait: Wait) -> Outcome:
        executor = SlurmExecutor(Slurm())
        with run_lock.lock_run(self.run) as lock:
            return resubmit(self.run, executor, request, lock, lambda line: None, wait)


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ScriptedSlurm:
    """Two shards in one array that was submitted long ago."""
    cluster = {**run_builders.LOCAL_CLUSTER, "executor": "slurm", "grace_seconds": GRACE_S}
    posts = run_builders.posts(4)
    folder, _ = run_builders.make_run(tmp_path, posts, shards=2, cluster=cluster)
    run = run_folder.load(folder)
    plan = ArrayPlan(offset=0, indices=(0, 1), throttle=2, parallel_tasks=2)
    write_submission(
        run,
        Submission(
            number=1, job_name="job 1", plan=plan, intended_at=LONG_AGO, array_job_id=4711,
            released_at=LONG_AGO,
        ),
    )  # fmt: skip
    programs = tmp_path / "programs"
    programs.mkdir()
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("TZ", "UTC")
    return ScriptedSlurm(programs, run)


def jobs(outcome: Outcome) -> list[tuple[int, ...]]:
    return [submission.plan.shards for submission in outcome.sent]


def test_a_shard_that_ended_just_now_is_left_out_and_is_still_under_way(
    slurm: ScriptedSlurm,
) -> None:
    slurm.ended("FAILED", "TIMEOUT", ago=timedelta(seconds=1))
    for request in (PLAIN, replace(PLAIN, indices=(1,)), replace(PLAIN, dry_run=True)):
        outcome = slurm.resubmit(request)
        assert (outcome.shards, jobs(outcome), outcome.exit_code) == ((), [], UNDER_WAY)


def test_with_force_it_waits_and_then_resubmits(slurm: ScriptedSlurm) -> None:
    states = ("FAILED", "CANCELLED by 1001")
    slurm.ended(*states, ago=timedelta(seconds=60))
    outcome = slurm.resubmit_after_waiting(FORCE, *states)
    assert sorted(shard for shards in jobs(outcome) for shard in shards) == [0, 1]
    assert outcome.exit_code == 0
    (seconds,) = slurm.waits
    assert 0 < seconds <= GRACE_S - 59


def test_with_force_an_output_that_shows_up_late_is_not_labeled_again(
    slurm: ScriptedSlurm,
) -> None:
    states = ("FAILED", "CANCELLED by 1001")
    slurm.ended(*states, ago=timedelta(seconds=1))
    named = replace(FORCE, indices=(0, 1))
    outcome = slurm.resubmit_after_waiting(named, *states, publish=1)
    assert (jobs(outcome), outcome.exit_code) == ([(0,)], 0)


def test_a_dry_run_with_force_waits_for_nothing_and_shows_what_would_follow(
    slurm: ScriptedSlurm,
) -> None:
    slurm.ended("FAILED", "CANCELLED by 1001", ago=timedelta(seconds=1))
    outcome = preview(
        slurm.run, SlurmExecutor(Slurm()), replace(FORCE, dry_run=True), lambda line: None
    )
    assert (outcome.shards, jobs(outcome), outcome.exit_code) == ((0, 1), [], 0)


def test_blocked_shards_alone_are_no_success(slurm: ScriptedSlurm) -> None:
    slurm.ended("CANCELLED by 1001", "CANCELLED by 1001", ago=timedelta(days=1))
    outcome = slurm.resubmit(PLAIN)
    assert (jobs(outcome), outcome.exit_code) == ([], FAILED)
    with pytest.raises(RunError):
        slurm.resubmit(replace(PLAIN, indices=(0,)))


def test_something_that_failed_is_resubmitted_beside_what_is_blocked(slurm: ScriptedSlurm) -> None:
    slurm.ended("FAILED", "CANCELLED by 1001", ago=timedelta(days=1))
    outcome = slurm.resubmit(PLAIN)
    assert (jobs(outcome), outcome.exit_code) == ([(0,)], 0)


def test_a_rejected_submission_says_how_to_correct_the_run(slurm: ScriptedSlurm) -> None:
    slurm.ended("FAILED", "FAILED", ago=timedelta(seconds=2 * GRACE_S))
    slurm.rejects()
    with pytest.raises(ExecutorError, match=f"resubmit --set .*{slurm.run.run_id}"):
        slurm.resubmit(PLAIN)


NAMED = replace(PLAIN, indices=(0,))


@pytest.mark.parametrize(
    ("cause", "request_", "starts"),
    [
        (Cause.UNAVAILABLE, PLAIN, True),
        (Cause.UNAVAILABLE, NAMED, True),
        (Cause.UNAVAILABLE, replace(PLAIN, indices=(1,)), False),
        (Cause.UNAVAILABLE, replace(FORCE, corrected=True), False),
        (Cause.THROTTLED, PLAIN, False),
        (Cause.THROTTLED, NAMED, True),
        (Cause.THROTTLED, FORCE, True),
    ],
)
def test_a_task_that_waits_for_its_time_starts_when_a_person_wants_it(
    slurm: ScriptedSlurm, cause: Cause, request_: Request, starts: bool
) -> None:
    slurm.waits_for_later(cause)
    preview(slurm.run, SlurmExecutor(Slurm()), request_, lambda line: None)
    assert not slurm.started
    outcome = slurm.resubmit(request_)
    assert 0 not in outcome.shards
    assert (slurm.started, outcome.exit_code) == (starts, 0)
    # It may wait for a node now, and is not started again.
    _, waiting, *_ = read_submissions(slurm.run)
    assert waiting.started_early == ((0,) if starts else ())
    if starts and request_ is NAMED:
        with pytest.raises(RunError, match="still alive"):
            slurm.resubmit(NAMED)


def test_a_supervisor_starts_the_waiting_task_once_another_one_gets_answers(
    slurm: ScriptedSlurm,
) -> None:
    slurm.waits_for_later(Cause.UNAVAILABLE, others="RUNNING")
    slurm.supervise_once()
    assert not slurm.started
    path = heartbeat.path_of(work_path(slurm.run.folder, 1), 1)
    HeartbeatWriter(path, posts=2, rows=0, node="n1").tick(time.monotonic() + 60, 1)
    slurm.supervise_once()
    assert slurm.started
    slurm.supervise_once()
    assert not slurm.started


def test_a_supervisor_shows_what_it_has_just_submitted_as_queued(slurm: ScriptedSlurm) -> None:
    """The next look, which asks Slurm, may be most of a minute away."""
    slurm.ended("FAILED", "FAILED", ago=timedelta(seconds=2 * GRACE_S))
    assert slurm.supervise_once() == [[State.FAILED] * 2, [State.QUEUED] * 2]
