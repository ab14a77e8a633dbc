"""How fast a run goes while its tasks come and go."""

from datetime import timedelta
from pathlib import Path

import pytest
from msgspec import structs

from hpc.display.live.remaining import posts_per_second, seconds_to_go
from hpc.run.model.attempts import Phase
from hpc.run.model.run import Run
from hpc.run.model.shards import Judgement, ShardFacts, State
from tests.hpc.display.watched_runs import (
    NOW,
    POSTS,
    heartbeat,
    make_run,
    resting,
    running,
    status_of,
)

Shard = tuple[ShardFacts, Judgement]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return make_run(tmp_path, 8)


def begun(index: int, age_s: float, *, rate: float | None = None, rows: int = 1) -> Shard:
    """Return a shard whose task started so many seconds ago, and what it reports now."""
    beat = None if rate is None else heartbeat(rows, age_s=0, rate=rate)
    facts, judged = running(index, beat)
    (attempt,) = facts.attempts
    assert attempt.record
    record = structs.replace(attempt.record, started_at=NOW - timedelta(seconds=age_s))
    return structs.replace(facts, attempts=(structs.replace(attempt, record=record),)), judged


def published(index: int, *, ended_s_ago: float, took_s: float) -> Shard:
    """Return a shard that one task has published."""
    facts, judged = resting(index, State.DONE)
    (attempt,) = running(index, None)[0].attempts
    assert attempt.record
    ended = NOW - timedelta(seconds=ended_s_ago)
    record = structs.replace(
        attempt.record,
        phase=Phase.ENDED,
        slurm_state="COMPLETED",
        started_at=ended - timedelta(seconds=took_s),
        ended_at=ended,
    )
    return structs.replace(facts, attempts=(structs.replace(attempt, record=record),)), judged


def per_minute(run: Run, *shards: Shard) -> float:
    return 60 * posts_per_second(status_of(run, shards))


def to_go(run: Run, shards: list[Shard]) -> float | None:
    status = status_of(run, shards)
    return seconds_to_go(status, posts_per_second(status))


def test_new_tasks_count_as_those_that_have_published_their_shards(run: Run) -> None:
    done = [published(index, ended_s_ago=30, took_s=150) for index in range(3)]
    new = [begun(3, 20, rate=4.0), begun(4, 20, rate=0.0), begun(5, 5)]
    assert per_minute(run, *done, *new) == pytest.approx(3 * POSTS / 2.5)
    # What a task reports counts once it has been at work for a minute.
    assert per_minute(run, *done, begun(3, 60, rate=4.0), *new[1:]) == pytest.approx(
        4 + 2 * POSTS / 2.5
    )


def test_new_tasks_count_as_the_others_before_any_has_published_its_shard(run: Run) -> None:
    shards = [begun(0, 600, rate=40.0), begun(1, 600, rate=20.0), begun(2, 20, rate=1.0)]
    assert per_minute(run, *shards) == pytest.approx(90)


def test_there_is_no_time_to_go_while_all_tasks_have_only_just_begun(run: Run) -> None:
    shards = [begun(0, 40, rate=6.0), begun(1, 20), resting(2, State.DONE)]
    assert to_go(run, shards) is None
    settled = [begun(0, 61, rate=6.0), *shards[1:]]
    assert per_minute(run, *settled) == pytest.approx(12)


def test_a_task_whose_start_only_its_heartbeat_knows_counts_as_new(run: Run) -> None:
    """Slurm's accounting has not heard of it yet, and a quota has let a burst through."""

    def unaccounted(index: int, age_s: float) -> Shard:
        facts, judged = begun(index, age_s, rate=38_614.0)
        (attempt,) = facts.attempts
        assert attempt.record and facts.heartbeat
        record = structs.replace(attempt.record, started_at=None)
        beat = structs.replace(facts.heartbeat, began_at=NOW - timedelta(seconds=age_s))
        attempts = (structs.replace(attempt, record=record),)
        return structs.replace(facts, attempts=attempts, heartbeat=beat), judged

    assert per_minute(run, unaccounted(0, 4), begun(1, 4)) == 0
    assert per_minute(run, unaccounted(0, 60)) == 38_614


def test_queued_tasks_take_the_places_of_those_that_have_just_ended(run: Run) -> None:
    ended = [published(index, ended_s_ago=10, took_s=300) for index in range(3)]
    at_work, pace = begun(3, 600, rate=50.0), POSTS / 5
    queued = [resting(index, State.QUEUED) for index in (4, 5)]
    assert per_minute(run, *ended, at_work, *queued) == pytest.approx(50 + 2 * pace)
    assert per_minute(run, *ended, at_work, queued[0]) == pytest.approx(50 + pace)
    assert per_minute(run, *ended, at_work) == pytest.approx(50)
    # One that has begun has taken its place already.
    new = begun(6, 5)
    assert per_minute(run, *ended, at_work, new, new, *queued) == pytest.approx(50 + 3 * pace)
    long_ago = [published(index, ended_s_ago=90, took_s=300) for index in range(3)]
    assert per_minute(run, *long_ago, at_work, *queued) == pytest.approx(50)


def test_a_shard_with_several_attempts_does_not_say_how_fast_the_last_one_was(run: Run) -> None:
    facts, judged = published(0, ended_s_ago=10, took_s=1)
    twice = structs.replace(facts, attempts=facts.attempts * 2)
    assert per_minute(run, (twice, judged), begun(1, 5)) == 0
