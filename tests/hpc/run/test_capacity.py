"""What may start beside what is alive, whatever the history."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpc.run.array_plan import Capacity, alive_tasks, capacity
from hpc.run.model.arrays import ArrayPlan, Submission
from hpc.run.model.attempts import Attempt, Phase, TaskRecord
from hpc.run.model.shards import Judgement, Observation, ShardFacts, State
from pipeline.errors import Cause
from pipeline.run_files.output import OutputCheck
from tests.hpc.run.test_plan import arrays

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
FIRST_JOB = 4000


def submission(number: int, plan: ArrayPlan) -> Submission:
    return Submission(
        number=number, job_name=f"n{number}", plan=plan, intended_at=NOW,
        array_job_id=FIRST_JOB + number, released_at=NOW,
    )  # fmt: skip


def sent(number: int, tasks: int, *, at_once: int) -> Submission:
    """A submission of `tasks` shards, `at_once` of them at a time."""
    plan = ArrayPlan(
        offset=0, indices=tuple(range(tasks)), throttle=at_once, parallel_tasks=at_once
    )
    return submission(number, plan)


@dataclass
class World:
    """A cluster that keeps to arrays, throttles and dependencies, and nothing else."""

    max_parallel: int
    array_size: int
    sent: list[Submission] = field(default_factory=list)
    alive: Counter[int] = field(default_factory=Counter)

    def submit(self, wanted: int) -> Capacity:
        room = self.room(wanted)
        plans = arrays(
            range(wanted),
            array_size=self.array_size,
            max_parallel=room.tasks,
            after_jobs=room.after_jobs,
            tasks_at_once=room.parallel_tasks,
            first_number=len(self.sent) + 1,
        )
        for plan in plans:
            sent = submission(len(self.sent) + 1, plan)
            self.sent.append(sent)
            self.alive[sent.number] = len(plan.indices)
        return room

    def room(self, wanted: int) -> Capacity:
        jobs = [FIRST_JOB + array.number for array in self.sent if self.alive[array.number]]
        return capacity(
            self.sent, self.alive, wanted=wanted, max_parallel=self.max_parallel,
            ends_to_come=tuple(map(str, jobs)),
        )  # fmt: skip

    def running(self) -> int:
        """Tasks that run."""
        return sum(min(array.plan.throttle, self.alive[array.number]) for array in self.started())

    def started(self) -> list[Submission]:
        """The arrays whose dependencies have ended."""
        return [array for array in self.sent if self.alive[array.number] and not self._waits(array)]

    def _waits(self, array: Submission) -> bool:
        before = {array.plan.after, *(int(job) - FIRST_JOB for job in array.plan.after_jobs)}
        return any(self.alive[number] for number in before)

    def end(self, at: int, tasks: int) -> None:
        if started := self.started():
            number = started[at % len(started)].number
            self.alive[number] = max(0, self.alive[number] - tasks)


events = st.lists(
    st.tuples(st.just("submit"), st.integers(1, 40), st.just(0))
    | st.tuples(st.just("end"), st.integers(1, 40), st.integers(0, 9)),
    max_size=25,
)


@settings(deadline=None, max_examples=150)
@given(st.integers(1, 12), st.integers(2, 50), events)
def test_max_parallel_holds_through_any_history_of_resubmissions(
    max_parallel: int, array_size: int, history: Sequence[tuple[str, int, int]]
) -> None:
    world = World(max_parallel, array_size)
    for what, many, at in history:
        if what == "submit":
            world.submit(many)
        else:
            world.end(at, many)
        assert world.running() <= max_parallel


@settings(deadline=None, max_examples=150)
@given(st.integers(1, 12), st.integers(2, 50), events, st.integers(1, 40))
def test_tasks_wait_for_the_old_arrays_only_where_there_is_no_room(
    max_parallel: int, array_size: int, history: Sequence[tuple[str, int, int]], wanted: int
) -> None:
    world = World(max_parallel, array_size)
    for what, many, at in history:
        if what == "submit":
            world.submit(many)
        else:
            world.end(at, many)
    alive = [array for array in world.sent if world.alive[array.number]]
    taken = sum(min(array.plan.throttle, world.alive[array.number]) for array in alive)
    full = taken >= max_parallel
    room = world.room(wanted)
    jobs = tuple(str(FIRST_JOB + array.number) for array in alive)
    assert room.after_jobs == (jobs if alive and full else ())
    assert 1 <= room.tasks <= min(wanted, max_parallel)
    assert bool(room.ends) == (alive != [] and full)


@settings(deadline=None, max_examples=50)
@given(st.integers(1, 12), st.integers(1, 40))
def test_tasks_behind_one_array_may_start_after_as_many_ends_as_announced(
    max_parallel: int, tasks: int
) -> None:
    world = World(max_parallel, array_size=50)
    world.submit(tasks)
    for ends in range(world.room(1).ends, 0, -1):
        assert world.room(1).ends == ends
        world.end(0, 1)
    assert not world.room(1).after_jobs


@pytest.mark.parametrize(
    ("before", "alive", "wanted", "room"),
    [
        ([], {}, 20, Capacity(tasks=8, parallel_tasks=8)),
        ([], {}, 3, Capacity(tasks=3, parallel_tasks=3)),
        ([sent(1, 20, at_once=8)], {}, 20, Capacity(tasks=8, parallel_tasks=8)),
        # Two of eight still run.
        ([sent(1, 20, at_once=8)], {1: 2}, 20, Capacity(tasks=6, parallel_tasks=8)),
        ([sent(1, 20, at_once=8)], {1: 2}, 1, Capacity(tasks=1, parallel_tasks=3)),
        # More wait than run: the array keeps all its slots.
        (
            [sent(1, 20, at_once=8)], {1: 9}, 5,
            Capacity(tasks=5, parallel_tasks=5, after_jobs=("4001",), ends=2),
        ),
        # The array with the fewest tasks that wait is the first to leave a slot.
        (
            [sent(1, 9, at_once=5), sent(2, 4, at_once=3)], {1: 9, 2: 4}, 1,
            Capacity(tasks=1, parallel_tasks=1, after_jobs=("4001", "4002"), ends=2),
        ),
        # Two submissions: one at its end, one that was throttled.
        (
            [sent(1, 4, at_once=4), sent(2, 6, at_once=3)], {1: 1, 2: 6}, 9,
            Capacity(tasks=4, parallel_tasks=8),
        ),
    ],
)  # fmt: skip
def test_examples_of_free_capacity(
    before: list[Submission], alive: dict[int, int], wanted: int, room: Capacity
) -> None:
    jobs = tuple(str(FIRST_JOB + number) for number in alive)
    free = capacity(before, Counter(alive), wanted=wanted, max_parallel=8, ends_to_come=jobs)
    assert free == room


def attempt(number: int, phase: Phase | None) -> Attempt:
    record = phase and TaskRecord(phase=phase, slurm_state="SOME")
    return Attempt(
        number=number, array_job_id=None, array_task_index=0, submitted_at=NOW, record=record
    )


def shard(index: int, *attempts: Attempt) -> ShardFacts:
    return ShardFacts(index=index, posts=1, output=OutputCheck(), attempts=attempts)


def test_tasks_that_may_be_alive_use_capacity_and_ended_tasks_do_not() -> None:
    cases: list[tuple[State, dict[str, Any], list[Attempt]]] = [
        (State.RUNNING, {}, [attempt(1, Phase.ACTIVE), attempt(2, Phase.ENDED)]),
        (State.QUEUED, {}, [attempt(1, Phase.ENDED), attempt(2, Phase.WAITING)]),
        (State.UNKNOWN, {}, [attempt(1, Phase.ENDED), attempt(2, None)]),
        (State.BLOCKED, {}, [attempt(2, Phase.HELD)]),
        (State.BLOCKED, {"cause": Cause.REFUSED}, [attempt(2, Phase.ENDED)]),
        (State.FAILED, {"cause": Cause.LOST}, [attempt(2, None)]),
        (State.DONE, {}, [attempt(2, Phase.ACTIVE)]),
        (State.PLANNED, {}, []),
    ]
    observation = Observation(
        observed_at=NOW,
        shards=tuple(shard(at, *attempts) for at, (_, _, attempts) in enumerate(cases)),
        answered=True,
        last_answer=None,
    )
    judged = [
        Judgement(index=at, state=state, rule=0, **more)
        for at, (state, more, _) in enumerate(cases)
    ]
    # A held one is not waited for: it runs when a person lets it.
    assert alive_tasks(observation, judged) == {1: 1, 2: 2}
