"""Which event a run has come to, and for whom it is the same one."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from hpc.notifications.notice import Throttling, ending_notice, throttled_notice, throttling_now
from hpc.notifications.notifier import Notifier
from hpc.run.judge import judge_all
from hpc.run.model.arrays import ArrayPlan, Submission
from hpc.run.model.attempts import Attempt, Phase, TaskRecord
from hpc.run.model.run import Run
from hpc.run.model.shards import Observation, ShardFacts
from hpc.run.retry_policy import RetryPolicy
from hpc.run.run_state import RunStatus
from pipeline.config.notify_settings import Event, NotifySettings
from pipeline.errors import Cause, InputError
from pipeline.run_files.heartbeat import Heartbeat
from pipeline.run_files.last_words import LastWords
from pipeline.run_files.output import OutputCheck
from tests.hpc.cli_bench import valence_run

NOW = datetime(2026, 11, 30, 12, 0, tzinfo=UTC)
DONE = OutputCheck(publication="p")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return valence_run(tmp_path_factory.mktemp("run"), 4, shards=2)


def at(minutes_ago: float) -> datetime:
    return NOW - timedelta(minutes=minutes_ago)


def attempt(phase: Phase, cause: Cause | None = None, number: int = 1) -> Attempt:
    words = cause and LastWords(
        cause=cause, message="in words", traceback="", node="n1", written_at=at(60).isoformat()
    )
    record = TaskRecord(phase=phase, slurm_state="RUNNING", cause=cause)
    return Attempt(
        number=number, array_job_id=number, array_task_index=0, submitted_at=at(90),
        record=record, words=words or None,
    )  # fmt: skip


def status(run: Run, *shards: ShardFacts, submissions: int = 1, now: datetime = NOW) -> RunStatus:
    plan = ArrayPlan(offset=0, indices=(0, 1), throttle=2, parallel_tasks=2)
    observation = Observation(
        observed_at=now,
        shards=shards,
        answered=True,
        last_answer=None,
        submissions=tuple(
            Submission(number=number, job_name="j", plan=plan, intended_at=at(99))
            for number in range(1, submissions + 1)
        ),
    )
    judgements = judge_all(observation, grace=timedelta(), policy=RetryPolicy(max_attempts=2))
    return RunStatus(run=run, observation=observation, judgements=judgements)


def shard(index: int, *attempts: Attempt, beat: Heartbeat | None = None) -> ShardFacts:
    output = OutputCheck() if attempts else DONE
    return ShardFacts(index=index, posts=2, output=output, attempts=attempts, heartbeat=beat)


def beat(progress: datetime, *, throttled: bool, rows: int = 1) -> Heartbeat:
    return Heartbeat(
        written_at=NOW, progress_at=progress, rows=rows, posts=2, rate_per_minute=0,
        last_error="", node="n1", throttled=throttled,
    )  # fmt: skip


REFUSED = attempt(Phase.ENDED, Cause.REFUSED)


def test_a_run_that_goes_on_is_no_event(run: Run) -> None:
    running = shard(0, attempt(Phase.ACTIVE))
    assert ending_notice(status(run, running, shard(1, REFUSED))) is None
    failed = shard(0, attempt(Phase.ENDED, Cause.CRASHED))
    assert ending_notice(status(run, failed, shard(1))) is None
    done = status(run, shard(0), shard(1))
    assert ending_notice(replace(done, awaits_database=True)) is None


def test_everybody_who_sees_an_event_finds_the_same_key(run: Run) -> None:
    seen = [ending_notice(status(run, shard(0), shard(1), now=at(m))) for m in (0, 600)]
    assert {notice and (notice.event, notice.key) for notice in seen} == {
        (Event.DONE, ("done", "1"))
    }
    stopped = [ending_notice(status(run, shard(0), shard(1, REFUSED), now=at(m))) for m in (0, 9)]
    assert stopped[0] == stopped[1]
    assert stopped[0]
    assert (stopped[0].event, stopped[0].next) == (Event.NEEDS_PERSON, ("resubmit", "--force"))


def test_the_same_cause_after_a_resubmission_or_a_correction_is_a_new_event(run: Run) -> None:
    notices = [
        ending_notice(status(run, shard(0), shard(1, REFUSED))),
        ending_notice(status(run, shard(0), shard(1, REFUSED), submissions=2)),
        ending_notice(status(replace(run, amendments=(None,)), shard(0), shard(1, REFUSED))),  # type: ignore[arg-type]
        ending_notice(status(run, shard(0), shard(1, attempt(Phase.ENDED, Cause.CANCELLED)))),
        ending_notice(status(run, shard(0), shard(1), submissions=2)),
    ]
    assert len({notice.key for notice in notices if notice}) == 5


def test_a_run_without_answers_is_throttled_until_a_post_is_answered(run: Run) -> None:
    waiting = status(
        run, shard(0, attempt(Phase.ACTIVE), beat=beat(at(20), throttled=True)), shard(1)
    )
    throttling = throttling_now(waiting, None)
    assert throttling == Throttling(since=at(20), posts_done=3)
    # Neither a new process that has said nothing yet, nor a task that waits for its delay, ends it.
    silent = status(run, shard(0, attempt(Phase.ACTIVE), beat=beat(NOW, throttled=False)), shard(1))
    assert throttling_now(silent, throttling) == throttling
    answered = beat(NOW, throttled=True, rows=2)
    better = status(run, shard(0, attempt(Phase.ACTIVE), beat=answered), shard(1))
    assert throttling_now(better, throttling) == Throttling(since=NOW, posts_done=4)


def test_slow_and_stalled_tasks_are_not_throttled(run: Run) -> None:
    throttled = shard(0, attempt(Phase.ACTIVE), beat=beat(at(50), throttled=True))
    silent = shard(1, attempt(Phase.ACTIVE), beat=beat(at(50), throttled=False))
    assert throttling_now(status(run, throttled, silent), None) is None
    assert throttling_now(status(run, shard(0), shard(1, REFUSED)), None) is None
    crashed = attempt(Phase.ENDED, Cause.CRASHED)
    assert (
        throttling_now(status(run, shard(0, crashed, attempt(Phase.WAITING)), shard(1)), None)
        is None
    )


@pytest.mark.parametrize("next_attempt", [(), (attempt(Phase.WAITING, number=2),)])
def test_waiting_after_429s_counts_as_throttled(
    run: Run, next_attempt: tuple[Attempt, ...]
) -> None:
    ended = attempt(Phase.ENDED, Cause.THROTTLED)
    waiting = status(run, shard(0, ended, *next_attempt), shard(1))
    assert throttling_now(waiting, None) == Throttling(since=NOW, posts_done=2)


@pytest.mark.parametrize(("minutes", "event"), [(29.9, None), (30, Event.THROTTLED)])
def test_throttling_is_reported_once_it_has_lasted(
    run: Run, minutes: float, event: Event | None
) -> None:
    now = status(run, shard(0, attempt(Phase.ACTIVE), beat=beat(at(30), throttled=True)), shard(1))
    throttling = Throttling(since=at(minutes), posts_done=3)
    notice = throttled_notice(now, throttling, after=timedelta(minutes=30))
    assert (notice and notice.event) == event


def test_rounds_of_cron_report_one_episode_of_throttling_once(tmp_path: Path) -> None:
    """Each round is a process of its own, and remembers nothing but what is in the run's folder."""
    notify = NotifySettings(command="cat >> events", after_minutes=45)
    run = replace(valence_run(tmp_path, 4, shards=2), notify=notify)
    stuck = shard(0, attempt(Phase.ACTIVE), beat=beat(at(20), throttled=True))
    said: list[str] = []
    events = run.folder.parent.parent / "events"
    for minutes_ago, reported in ((0, 0), (-20, 0), (-30, 1), (-60, 1)):
        seen = status(run, stuck, shard(1), now=at(minutes_ago))
        Notifier(run, said.append, lambda run: None).look(seen)
        assert (events.read_text().count("\n") if events.exists() else 0) == reported
    answered = shard(0, attempt(Phase.ACTIVE), beat=beat(at(-70), throttled=True, rows=2))
    for minutes_ago in (-70, -116):  # a post was answered: this is another episode
        seen = status(run, answered, shard(1), now=at(minutes_ago))
        Notifier(run, said.append, lambda run: None).look(seen)
    assert events.read_text().count("\n") == 2
    assert said == ["notified: throttled"] * 2


def test_a_folder_that_cannot_be_written_to_costs_one_warning(tmp_path: Path) -> None:
    notify = NotifySettings(command="false")
    run = replace(valence_run(tmp_path, 4, shards=2), notify=notify)
    (run.folder / "notifications").touch()
    said: list[str] = []
    Notifier(run, said.append, lambda run: None).end(status(run, shard(0), shard(1)))
    assert len(said) == 1


def test_a_command_that_others_may_have_written_does_not_run(tmp_path: Path) -> None:
    run = replace(valence_run(tmp_path, 4, shards=2), notify=NotifySettings(command="touch owned"))

    def refuse(run: Run) -> None:
        raise InputError("everybody can write to it")

    said: list[str] = []
    Notifier(run, said.append, refuse).end(status(run, shard(0), shard(1)))
    assert len(said) == 1
    assert not (run.folder.parent.parent / "owned").exists()
