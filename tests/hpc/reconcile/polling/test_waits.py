"""A supervising process looks once there is something to see, and asks Slurm no more often."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from msgspec import structs

from hpc.display.live.plain_lines import PlainLines
from hpc.reconcile.polling.output_watch import CHECK_S, OutputWatch
from hpc.reconcile.polling.poll_interval import PollInterval
from hpc.reconcile.polling.waits import ENDS_PAUSES_S, Waits
from hpc.run.model.attempts import Phase
from hpc.run.model.run import Run
from hpc.run.model.shards import Judgement, ShardFacts, State
from pipeline.run_files.manifest import output_path
from tests.hpc.display.watched_runs import NOW, make_run, resting, running, status_of

POLL_S, GRACE_S = 30.0, 15.0


@pytest.fixture
def run(tmp_path: Path) -> Run:
    made = make_run(tmp_path, 2)
    (made.folder / "outputs").mkdir()
    return replace(
        made, cluster=structs.replace(made.cluster, poll_seconds=POLL_S, grace_seconds=GRACE_S)
    )


def publish(run: Run, *indices: int) -> None:
    for index in indices:
        output_path(run.folder, index).touch()


class Clock:
    """Time that passes only in waits, and what happens meanwhile."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.events: dict[float, Callable[[], None]] = {}

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds
        for at in sorted(at for at in self.events if at <= self.now_s):
            self.events.pop(at)()

    def __call__(self) -> float:
        return self.now_s


def ended(index: int, seconds_ago: float) -> tuple[ShardFacts, Judgement]:
    """Return a shard whose task ended in the grace time, or before it."""
    facts, judged = running(index, None)
    (attempt,) = facts.attempts
    assert attempt.record
    record = structs.replace(
        attempt.record, phase=Phase.ENDED, ended_at=NOW - timedelta(seconds=seconds_ago)
    )
    facts = structs.replace(facts, attempts=(structs.replace(attempt, record=record),))
    return facts, structs.replace(judged, state=State.ENDING, rule=7)


def waits_of(run: Run, clock: Clock) -> Waits:
    return Waits(run, PlainLines(lambda line: None, sleep=clock.sleep), clock=clock)


def waited(run: Run, clock: Clock, *shards: tuple[ShardFacts, Judgement]) -> list[float]:
    """Return how long each of the next waits takes at the usual interval."""
    waits = waits_of(run, clock)
    for _ in range(5):  # the quick ones
        waits.interval.next_pause_s(0.0)
    status, seconds = status_of(run, shards), []
    for _ in range(2):
        began = clock()
        waits.until_next_look(status, 0.0)
        seconds.append(clock() - began)
    return seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_the_last_output_brings_the_next_look_at_once_and_only_once(run: Run, clock: Clock) -> None:
    publish(run, 0)
    clock.events[10.0] = lambda: publish(run, 1)
    first, second = waited(run, clock, running(0, None), running(1, None))
    assert 10.0 <= first <= 10.0 + 2 * CHECK_S
    assert second > POLL_S


def test_outputs_of_some_shards_bring_no_early_look(run: Run, clock: Clock) -> None:
    clock.events[10.0] = lambda: publish(run, 1)
    assert min(waited(run, clock, running(0, None), running(1, None))) > POLL_S


def test_a_folder_that_cannot_be_listed_brings_no_early_look(run: Run, clock: Clock) -> None:
    (run.folder / "outputs").rmdir()
    assert min(waited(run, clock, running(0, None), running(1, None))) > POLL_S


def test_the_next_look_comes_when_the_grace_time_of_all_ended_shards_is_over(
    run: Run, clock: Clock
) -> None:
    shards = ended(0, GRACE_S - 1), ended(1, GRACE_S - 6)
    assert waited(run, clock, *shards)[0] == 6.0


def test_a_listing_that_takes_long_is_seldom_made(run: Run) -> None:
    times = iter([0.0, 10.0, 11.0, 199.0, 200.0, 210.0])
    watch = OutputWatch(run, clock=lambda: next(times))
    publish(run, 0, 1)
    assert watch.is_due()
    for index in (0, 1):
        output_path(run.folder, index).unlink()
    assert [watch.is_due() for _ in range(3)] == [False, False, False]
    assert next(times, None) is None


def test_the_ends_of_tasks_that_have_published_are_awaited_for_some_seconds(
    run: Run, clock: Clock
) -> None:
    waits = waits_of(run, clock)
    alive = status_of(run, [running(0, None), resting(1, State.DONE)])
    over = status_of(run, [ended(0, 1), resting(1, State.DONE)])
    assert not waits.until_tasks_end(over)
    assert [waits.until_tasks_end(alive) for _ in range(3)] == [True, True, False]
    assert clock() == sum(ENDS_PAUSES_S)


def test_a_due_look_is_not_early_where_slurm_refuses_and_never_without_end() -> None:
    refused = PollInterval(POLL_S)
    refused.settle()
    assert refused.next_pause_s(0.0, due_s=2.0) == POLL_S
    interval = PollInterval(POLL_S)
    hour = [interval.next_pause_s(0.0, due_s=1.0) for _ in range(120)]
    assert sum(hour) >= 3600 - 9 * POLL_S
