"""Waves under limits of submitted jobs: they keep the limits, and every shard has its turn."""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpc.run import run_folder
from hpc.run.model.arrays import Submission, SubmitLimit
from hpc.run.model.attempts import Attempt, Phase, TaskRecord
from hpc.run.model.run import Run
from hpc.run.model.shards import Judgement, Observation, ShardFacts, State
from hpc.run.plan import ShardSelection, count_waves, is_worth_submitting, next_wave, plan, tightest
from hpc.run.run_state import RunStatus
from pipeline.run_files.output import OutputCheck
from tests.pipeline import run_builders

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
SHARDS = 60
limits = st.lists(
    st.builds(SubmitLimit, name=st.just("limit"), most=st.integers(1, 80), used=st.integers(0, 90)),
    max_size=3,
).map(tuple)
selections = st.sets(st.integers(0, SHARDS - 1), min_size=1).map(lambda chosen: tuple(chosen))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run of 60 shards."""
    folder: Path = tmp_path_factory.mktemp("waves")
    made, _ = run_builders.make_run(folder, run_builders.posts(SHARDS), shards=SHARDS)
    return run_folder.load(made)


@dataclass
class World:
    """A cluster on which a user may have so many jobs, some of which are not the run's."""

    run: Run
    most: int
    others: int = 0
    is_shown: bool = True
    submissions: list[Submission] = field(default_factory=list)
    alive: dict[int, int] = field(default_factory=dict)
    """Shards whose task has not ended, by index, with the submission's number."""
    done: set[int] = field(default_factory=set)

    def status(self) -> RunStatus:
        limit = SubmitLimit(name="limit", most=self.most, used=self.others + len(self.alive))
        facts, judgements = [], []
        for index in range(SHARDS):
            attempts = ()
            state = State.DONE if index in self.done else State.PLANNED
            if index in self.alive:
                state = State.QUEUED
                attempts = (
                    Attempt(
                        number=self.alive[index],
                        array_job_id=4000 + self.alive[index],
                        array_task_index=index,
                        submitted_at=NOW,
                        record=TaskRecord(phase=Phase.WAITING, slurm_state="PENDING"),
                    ),
                )
            facts.append(ShardFacts(index=index, posts=1, output=OutputCheck(), attempts=attempts))
            judgements.append(Judgement(index=index, state=state, rule=0))
        observation = Observation(
            observed_at=NOW,
            shards=tuple(facts),
            answered=True,
            last_answer=NOW,
            submissions=tuple(self.submissions),
            submit_limits=(limit,) if self.is_shown else (),
        )
        return RunStatus(run=self.run, observation=observation, judgements=tuple(judgements))

    def rest(self) -> tuple[int, ...]:
        return tuple(sorted(set(range(SHARDS)) - self.done - self.alive.keys()))

    def submit_wave(self) -> int:
        """Submit what is planned, if it is worth it; return how many shards that was."""
        status, selection = self.status(), ShardSelection(shards=self.rest())
        if not selection.shards or not is_worth_submitting(status, selection):
            return 0
        wave = 0
        for array in plan(status, selection):
            number = len(self.submissions) + 1
            self.submissions.append(
                Submission(
                    number=number,
                    job_name=f"n{number}",
                    plan=array,
                    intended_at=NOW,
                    array_job_id=4000 + number,
                    released_at=NOW,
                )
            )
            self.alive |= dict.fromkeys(array.shards, number)
            wave += len(array.shards)
        return wave

    def end(self, tasks: int) -> None:
        for shard in sorted(self.alive)[:tasks]:
            del self.alive[shard]
            self.done.add(shard)


def with_parallel(run: Run, tasks: int) -> Run:
    return replace(run, cluster=msgspec.structs.replace(run.cluster, max_parallel=tasks))


@settings(deadline=None, max_examples=60)
@given(
    most=st.integers(1, 70),
    others=st.integers(0, 69),
    parallel=st.integers(1, 70),
    ends=st.lists(st.integers(1, 30), min_size=1, max_size=8),
)
def test_every_shard_goes_out_and_the_limit_always_holds(
    run: Run, most: int, others: int, parallel: int, ends: list[int]
) -> None:
    world = World(with_parallel(run, parallel), most=most, others=min(others, most - 1))
    for step in range(20 * SHARDS):
        world.submit_wave()
        assert world.others + len(world.alive) <= most
        if len(world.done) == SHARDS:
            break
        world.end(ends[step % len(ends)])
    assert len(world.done) == SHARDS


@settings(deadline=None)
@given(limits=limits, shards=selections, spare=st.integers(0, 3), at_most=st.integers(1, 80))
def test_a_wave_is_the_oldest_shards_that_fit(
    run: Run, limits: tuple[SubmitLimit, ...], shards: tuple[int, ...], spare: int, at_most: int
) -> None:
    status = World(run, most=1).status()
    status = replace(
        status, observation=msgspec.structs.replace(status.observation, submit_limits=limits)
    )
    selection = ShardSelection(shards=shards, spare_jobs=spare, at_most=at_most)
    wave = next_wave(status, selection)
    assert wave == tuple(sorted(shards))[: len(wave)]
    room = min((limit.room for limit in limits), default=SHARDS)
    assert len(wave) <= min(room, at_most)
    assert bool(wave) == bool(room)
    if len(wave) > 1 and limits:
        assert len(wave) + spare <= room
    planned = [shard for array in plan(status, selection) for shard in array.shards]
    assert sorted(planned) == list(wave)


@given(limits=limits, shards=st.integers(0, 500))
def test_without_a_limit_that_matters_there_is_one_wave(
    limits: tuple[SubmitLimit, ...], shards: int
) -> None:
    waves = count_waves(shards, limits)
    limit = tightest(limits)
    if limit is None or limit.room >= shards:
        assert waves == min(shards, 1)
    elif not limit.room:
        assert waves is None
    else:
        assert waves is not None
        assert (waves - 1) * limit.room < shards <= waves * limit.room


def test_shards_are_not_sent_one_by_one_as_others_end(run: Run) -> None:
    world = World(with_parallel(run, 40), most=40)
    assert world.submit_wave() == 40
    world.end(7)
    assert world.submit_wave() == 0
    world.end(1)
    assert world.submit_wave() == 8


def test_a_wave_leaves_work_to_the_slots_that_are_not_free_yet(run: Run) -> None:
    """With one slot of four free, an array that took all the room would be the last to end."""
    world = World(with_parallel(run, 4), most=25)
    world.submit_wave()
    world.end(22)
    assert world.submit_wave() == 10  # a quarter of the 38 that have not ended; 22 would fit
