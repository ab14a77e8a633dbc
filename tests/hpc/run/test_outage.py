"""A service that answers nobody: one shard asks again, and its attempts cost no shard anything."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from hpc.run import run_folder
from hpc.run.judge import judge_all
from hpc.run.model.attempts import Attempt, Phase, TaskRecord
from hpc.run.model.run import Run
from hpc.run.model.shards import Observation, ShardFacts, State
from hpc.run.next_step import next_command
from hpc.run.outage import Outage, find_outage
from hpc.run.plan import ShardSelection, plan
from hpc.run.retry_policy import RetryPolicy
from hpc.run.run_state import RunStatus
from hpc.run.selection import shards_to_submit
from pipeline.errors import Cause
from pipeline.run_files.heartbeat import Heartbeat
from pipeline.run_files.last_words import LastWords
from pipeline.run_files.output import OutputCheck
from tests.pipeline import run_builders

START = datetime(2026, 12, 1, 3, 0, tzinfo=UTC)
NOW = START + timedelta(hours=30)
SINCE = "no task of the run got an answer since 2026-12-01 04:00 UTC"


def ended(number: int, cause: Cause = Cause.UNAVAILABLE, **more: Any) -> Attempt:
    """Return an attempt that ended `number` hours after the start."""
    words = LastWords(cause=cause, message="Connection refused", traceback="", node="n1",
                      written_at="2026-12-01T04:00:00+00:00")  # fmt: skip
    at = START + timedelta(hours=number)
    record = TaskRecord(phase=Phase.ENDED, slurm_state="FAILED", cause=Cause.CRASHED, ended_at=at)
    return Attempt(number=number, array_job_id=number, array_task_index=0, submitted_at=START,
                   record=record, words=words, **more)  # fmt: skip


def alive(number: int, phase: Phase = Phase.ACTIVE) -> Attempt:
    record = TaskRecord(phase=phase, slurm_state="RUNNING", started_at=START)
    return Attempt(number=number, array_job_id=number, array_task_index=0, submitted_at=START,
                   record=record)  # fmt: skip


def seen(*shards: tuple[Attempt, ...], done: int = 0, **more: Any) -> Observation:
    """Return what is seen of shards with these attempts, the first `done` of which are done."""
    facts = tuple(
        ShardFacts(index=index, posts=1, attempts=attempts,
                   output=OutputCheck(publication="p" if index < done else None), **more)
        for index, attempts in enumerate(shards)
    )  # fmt: skip
    return Observation(observed_at=NOW, shards=facts, answered=True, last_answer=NOW)


def beat(rate: float, at: datetime) -> Heartbeat:
    return Heartbeat(written_at=at, progress_at=at, rows=5, posts=10, rate_per_minute=rate,
                     last_error="", node="n1")  # fmt: skip


def status(run: Run, observation: Observation) -> RunStatus:
    judgements = judge_all(observation, grace=timedelta(minutes=2), policy=run.retry)
    return RunStatus(run=run, observation=observation, judgements=judgements)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    folder, _ = run_builders.make_run(tmp_path, run_builders.posts(4), shards=4)
    return run_folder.load(folder)


def test_an_outage_lasts_from_its_first_to_its_last_task() -> None:
    at = START + timedelta(hours=1)
    assert find_outage(seen((ended(1),), (ended(1), ended(2)))) == Outage(
        since=at, tries=2, was_answered=False
    )
    published = seen((ended(1, Cause.NO_OUTPUT),), (ended(1),), done=1)
    assert find_outage(published) == Outage(since=at, tries=1, was_answered=True)


@pytest.mark.parametrize(
    "observation",
    [
        seen(()),
        seen((ended(1, Cause.THROTTLED),)),
        seen((ended(1), ended(2)), (ended(1),), done=1),  # the second attempt published
        seen((ended(1), ended(2, Cause.CRASHED)), (ended(1),)),  # it got further
        seen((ended(1), alive(2)), heartbeat=beat(3.0, START + timedelta(hours=2))),
        seen((ended(1), replace(alive(2), forced=True))),
    ],
    ids=["nothing ran", "a quota", "published", "another end", "gets answers", "forced"],
)
def test_nothing_is_an_outage_after_an_answer(observation: Observation) -> None:
    assert find_outage(observation) is None


@pytest.mark.parametrize(
    "heartbeat",
    [None, beat(0.0, START + timedelta(hours=2)), beat(3.0, START)],
    ids=["none yet", "it has only started", "its answers are older"],
)
def test_a_task_that_asks_does_not_end_an_outage(heartbeat: Heartbeat | None) -> None:
    assert find_outage(seen((ended(1), alive(2)), heartbeat=heartbeat)) is not None


@pytest.mark.parametrize(("tries", "minutes"), [(1, 10), (2, 20), (3, 40), (4, 60), (400, 60)])
def test_each_pause_is_twice_as_long_up_to_an_hour(tries: int, minutes: float) -> None:
    outage = Outage(since=START, tries=tries, was_answered=True)
    assert outage.pause_min(RetryPolicy()) == minutes
    assert outage.pause_min(RetryPolicy(throttled_minutes=90.0)) == 90


def test_a_service_that_has_never_answered_is_asked_without_pauses(run: Run) -> None:
    """A person who mistyped its address learns of it soon."""
    now = status(run, seen((ended(1), ended(2)), (ended(1),)))
    (asking,) = plan(now, ShardSelection(shards=(0,), is_patient=True))
    assert (asking.delay_s, asking.throttle) == (0, 1)


def test_one_failed_shard_asks_again_and_planned_ones_wait(run: Run) -> None:
    down = (ended(1),)
    assert shards_to_submit(status(run, seen(down, down, ()))) == (0,)
    assert shards_to_submit(status(run, seen(down, (alive(1),), ()))) == ()
    assert shards_to_submit(status(run, seen((alive(2, Phase.WAITING),), down, ()))) == ()
    back = seen((ended(1), ended(2)), down, down, (), done=1)
    assert shards_to_submit(status(run, back)) == (1, 2, 3)


def test_only_a_supervising_process_waits_before_it_asks_again(run: Run) -> None:
    now = status(run, seen((ended(1), ended(2)), (ended(1),), rows=3))
    (patient,) = plan(now, ShardSelection(shards=(0,), is_patient=True))
    assert (patient.delay_s, patient.throttle) == (1200, 1)
    assert patient.why == "unavailable: in 20 min, to ask the service again"
    (by_a_person,) = plan(now, ShardSelection(shards=(0, 1)))
    assert (by_a_person.delay_s, by_a_person.why) == (0, "unavailable: same settings")


def test_such_attempts_do_not_count_and_the_message_says_since_when(run: Run) -> None:
    now = status(run, seen(tuple(map(ended, range(1, 7))), (ended(1),), (ended(1),), done=0))
    # Without any answer so far, the address may be wrong.
    assert {each.state for each in now.judgements} == {State.BLOCKED}
    answered = seen(
        (ended(1, Cause.NO_OUTPUT),), tuple(map(ended, range(1, 7))), (ended(1),), done=1
    )
    going_on = status(run, answered)
    assert [each.state for each in going_on.judgements[1:]] == [State.FAILED, State.FAILED]
    assert going_on.judgements[2].message == f"Connection refused; {SINCE}"
    assert next_command(going_on).verb == "supervise"


def test_a_person_is_needed_after_the_last_try_until_the_shards_are_forced(run: Run) -> None:
    tries = tuple(map(ended, range(1, run.retry.max_unavailable + 1)))
    observation = seen((ended(1, Cause.NO_OUTPUT),), tries, (ended(1),), (), done=1)
    now = status(run, observation)
    blocked = now.judgements[2]
    assert (blocked.state, blocked.rule, blocked.cause) == (State.BLOCKED, 8, Cause.UNAVAILABLE)
    assert blocked.message == (
        f"Connection refused; {SINCE}; it was asked 24 times. hpc check shows when it answers again"
    )
    assert shards_to_submit(now) == ()
    forced = (*tries, ended(tries[-1].number + 1, forced=True))
    again = status(run, seen((ended(1, Cause.NO_OUTPUT),), forced, (ended(1),), (), done=1))
    assert [each.state for each in again.judgements[1:3]] == [State.FAILED, State.FAILED]
