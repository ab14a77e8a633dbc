"""How shards become arrays, and which shards may be submitted again."""

from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from hpc.run import run_folder
from hpc.run.array_plan import plan_arrays
from hpc.run.model.arrays import ArrayPlan, ResourceRequest, ShardGroup
from hpc.run.model.attempts import Attempt, EarlyEnd, Phase, TaskRecord
from hpc.run.model.shards import Judgement, Observation, ShardFacts, State
from hpc.run.plan import reaches_tasks
from hpc.run.run_state import RunStatus
from hpc.run.selection import (
    Rejection,
    find_rejection,
    jobs_to_wait_for,
    planned_to_submit,
    resubmittable,
    shards_to_submit,
)
from pipeline.errors import Cause
from pipeline.run_files.last_words import LastWords
from pipeline.run_files.output import OutputCheck
from tests.pipeline import run_builders


def arrays(shards: Iterable[int], **more: Any) -> tuple[ArrayPlan, ...]:
    """Of one group."""
    return plan_arrays([ShardGroup(shards=tuple(shards), request=ResourceRequest())], **more)


AT = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
shard_sets = st.sets(st.integers(0, 200), max_size=80)
array_sizes = st.integers(2, 60)
widths = st.integers(1, 12)


def chains(planned: tuple[ArrayPlan, ...], first_number: int) -> list[list[ArrayPlan]]:
    """Arrays that run one after another; different chains run at once."""
    by_last: dict[int, list[ArrayPlan]] = {}
    for number, plan in enumerate(planned, start=first_number):
        by_last[number] = [*(by_last.pop(plan.after) if plan.after else []), plan]
    return list(by_last.values())


@settings(deadline=None)
@given(shard_sets, array_sizes, widths)
def test_every_shard_is_in_one_array_at_its_own_index(
    shards: set[int], array_size: int, max_parallel: int
) -> None:
    planned = arrays(shards, array_size=array_size, max_parallel=max_parallel)
    placed = [(s, i) for plan in planned for s, i in zip(plan.shards, plan.indices, strict=True)]
    assert placed == [(shard, shard % array_size) for shard in sorted(shards)]


@settings(deadline=None)
@given(shard_sets, shard_sets, array_sizes, widths, widths)
def test_a_shards_index_is_the_same_on_every_attempt(
    first: set[int], again: set[int], array_size: int, before: int, after: int
) -> None:
    def places(shards: set[int], max_parallel: int) -> dict[int, tuple[int, int]]:
        planned = arrays(shards, array_size=array_size, max_parallel=max_parallel)
        return {p.offset + i: (p.offset, i) for p in planned for i in p.indices}

    everywhere = places(first, before)
    for shard, place in places(again & first, after).items():
        assert everywhere[shard] == place


@settings(deadline=None)
@given(shard_sets, array_sizes, widths)
def test_every_array_index_is_within_slurms_limit(
    shards: set[int], array_size: int, max_parallel: int
) -> None:
    for plan in arrays(shards, array_size=array_size, max_parallel=max_parallel):
        assert plan.indices == tuple(sorted(set(plan.indices)))
        assert plan.indices[0] >= 0
        assert plan.indices[-1] < array_size
        assert 1 <= plan.throttle <= len(plan.indices)


@settings(deadline=None)
@given(shard_sets, array_sizes, widths, st.integers(1, 500))
def test_as_many_tasks_run_at_once_as_allowed_and_never_more(
    shards: set[int], array_size: int, max_parallel: int, first_number: int
) -> None:
    planned = arrays(
        shards, array_size=array_size, max_parallel=max_parallel, first_number=first_number
    )
    running = chains(planned, first_number)
    at_once = sum(max(plan.throttle for plan in chain) for chain in running)
    assert at_once == min(max_parallel, len(shards))
    assert {plan.parallel_tasks for plan in planned} <= {at_once}
    assert all(len(chain) == 1 for chain in running) or len(planned) > max_parallel
    lengths = [len(chain) for chain in running]
    assert max(lengths, default=0) - min(lengths, default=0) <= 1


@settings(deadline=None)
@given(shard_sets, array_sizes, widths, st.integers(1, 500))
def test_an_array_waits_only_for_one_that_is_submitted_before_it(
    shards: set[int], array_size: int, max_parallel: int, first_number: int
) -> None:
    planned = arrays(
        shards, array_size=array_size, max_parallel=max_parallel, first_number=first_number
    )
    for number, plan in enumerate(planned, start=first_number):
        assert plan.after == 0 or first_number <= plan.after < number


def test_a_small_run_is_one_array() -> None:
    (plan,) = arrays(range(10), array_size=1001, max_parallel=8)
    assert plan == ArrayPlan(offset=0, indices=tuple(range(10)), throttle=8, parallel_tasks=8)


def test_resubmitted_shards_form_an_array_of_their_own_indices() -> None:
    planned = arrays([1005, 3, 3, 2001], array_size=1001, max_parallel=8, after_jobs=("4001",))
    assert planned == (
        ArrayPlan(offset=0, indices=(3,), throttle=1, parallel_tasks=3, after_jobs=("4001",)),
        ArrayPlan(
            offset=1001, indices=(4, 1000), throttle=2, parallel_tasks=3, after_jobs=("4001",)
        ),
    )


def test_the_throttle_is_shared_out_by_size() -> None:
    planned = arrays(range(1100), array_size=1000, max_parallel=11)
    assert [(len(plan.indices), plan.throttle) for plan in planned] == [(1000, 10), (100, 1)]


def test_more_arrays_than_tasks_at_once_form_chains() -> None:
    planned = arrays(range(25), array_size=5, max_parallel=2, first_number=7)
    assert [(plan.offset, plan.throttle, plan.after) for plan in planned] == [
        (0, 1, 0),
        (5, 1, 0),
        (10, 1, 7),
        (15, 1, 8),
        (20, 1, 9),
    ]


def test_each_task_knows_how_many_tasks_of_the_run_work_at_once() -> None:
    (plan,) = arrays([4], array_size=1001, max_parallel=3, tasks_at_once=8)
    assert (plan.throttle, plan.parallel_tasks) == (1, 8)


def test_each_group_has_its_own_arrays_and_they_share_max_parallel() -> None:
    more = ShardGroup(
        shards=(3, 7), request=ResourceRequest(mem_gb=8.0), why="out_of_memory: memory 4 → 8 GiB"
    )
    same = ShardGroup(shards=(0, 1, 2, 4, 5, 6), request=ResourceRequest(mem_gb=4.0))
    planned = plan_arrays([more, same], array_size=1001, max_parallel=4)
    assert planned == (
        ArrayPlan(
            offset=0,
            indices=(3, 7),
            throttle=1,
            parallel_tasks=4,
            request=more.request,
            why=more.why,
        ),
        ArrayPlan(
            offset=0, indices=same.shards, throttle=3, parallel_tasks=4, request=same.request
        ),
    )


@pytest.mark.parametrize(("shards", "times"), [(8, 1), (8, 2), (8, 5), (1, 1), (1, 3), (3, 1)])
def test_throttled_shards_start_later_and_with_fewer_tasks_at_once(shards: int, times: int) -> None:
    slow = ShardGroup(
        shards=tuple(range(shards)), request=ResourceRequest(), delay_s=600, slowdown=0.5**times
    )
    (plan,) = plan_arrays([slow], array_size=1001, max_parallel=8)
    assert plan.throttle == max(1, int(shards * 0.5**times))
    assert plan.delay_s == 600


def test_without_shards_to_submit_there_is_no_array() -> None:
    assert arrays([], array_size=1001, max_parallel=8) == ()


JUDGED = (
    Judgement(index=0, state=State.DONE, rule=1),
    Judgement(index=1, state=State.PLANNED, rule=2, message="not submitted yet"),
    Judgement(index=2, state=State.BLOCKED, rule=3, message="Slurm holds task 4001_2"),
    Judgement(index=3, state=State.RUNNING, rule=4, message="task 4001_3 is RUNNING"),
    Judgement(index=4, state=State.QUEUED, rule=5, message="task 4001_4 is PENDING"),
    Judgement(index=5, state=State.UNKNOWN, rule=6, message="Slurm does not answer"),
    Judgement(index=6, state=State.QUEUED, rule=7, message="task 4001_6 ended just now"),
    Judgement(index=7, state=State.BLOCKED, rule=8, cause=Cause.REFUSED, message="a bad key"),
    Judgement(index=8, state=State.FAILED, rule=9, cause=Cause.TIMEOUT, message="TIMEOUT"),
    Judgement(index=9, state=State.FAILED, rule=9, cause=Cause.CRASHED, message="FAILED"),
)


def test_resubmit_takes_every_failed_shard_and_with_force_blocked_ones_that_ended() -> None:
    assert resubmittable(JUDGED) == ((8, 9), None)
    assert resubmittable(JUDGED, force=True) == ((7, 8, 9), None)
    assert resubmittable(JUDGED[:7], force=True) == ((), None)


def test_resubmit_takes_each_named_shard_once() -> None:
    assert resubmittable(JUDGED, indices=(9, 9)) == ((9,), None)
    assert resubmittable(JUDGED, indices=(9, 7), force=True) == ((7, 9), None)
    assert resubmittable(JUDGED, indices=()) == ((), None)


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize(
    ("index", "why"),
    [
        (0, "shard 0 is done: delete outputs/00000.parquet to label it again"),
        (1, "shard 1 is planned (not submitted yet)"),
        (2, "shard 2 is blocked: an earlier attempt is still alive (Slurm holds task 4001_2)"),
        (3, "shard 3 is running: an earlier attempt is still alive (task 4001_3 is RUNNING)"),
        (4, "shard 4 is queued: an earlier attempt is still alive (task 4001_4 is PENDING)"),
        (5, "shard 5 is unknown (Slurm does not answer)"),
        (6, "shard 6 is queued: an earlier attempt is still alive (task 4001_6 ended just now)"),
        (10, "there is no shard 10: this run has shards 0-9"),
    ],
)
def test_a_shard_that_is_done_or_may_be_alive_is_not_submitted_even_with_force(
    index: int, why: str, force: bool
) -> None:
    assert resubmittable(JUDGED, indices=(9, index), force=force) == ((), why)


def test_a_rejected_blocked_shard_comes_with_the_command_that_forces_it() -> None:
    why = "shard 7 is blocked (a bad key): add force=True to resubmit it"
    assert resubmittable(JUDGED, indices=(7,)) == ((), why)


def attempts_of(*phases: Phase, forced: bool = False, refused: bool = False) -> tuple[Attempt, ...]:
    last_words = LastWords(cause=Cause.REFUSED, message="a bad key", traceback="", node="n1",
                     written_at="2026-11-24T07:00:00+00:00", stops_run=True)  # fmt: skip
    return tuple(
        Attempt(
            number=number, array_job_id=4000 + number, array_task_index=index, submitted_at=AT,
            record=TaskRecord(phase=phase, slurm_state="SOME"), forced=forced,
            words=last_words if refused and phase is Phase.ENDED else None,
        )
        for number, (index, phase) in enumerate(enumerate(phases), start=1)
    )  # fmt: skip


def seen(*shards: tuple[Attempt, ...]) -> Observation:
    facts = [
        ShardFacts(index=at, posts=1, output=OutputCheck(), attempts=attempts)
        for at, attempts in enumerate(shards)
    ]
    return Observation(observed_at=AT, shards=tuple(facts), answered=True, last_answer=None)


def one_attempt(number: int, index: int, phase: Phase) -> tuple[Attempt, ...]:
    record = TaskRecord(phase=phase, slurm_state="SOME")
    return (
        Attempt(
            number=number, array_job_id=4000 + number, array_task_index=index,
            submitted_at=AT, record=record,
        ),
    )  # fmt: skip


def test_an_array_waits_for_living_arrays_but_never_for_a_held_task() -> None:
    observation = seen(
        one_attempt(1, 0, Phase.ACTIVE),
        one_attempt(1, 1, Phase.WAITING),
        one_attempt(1, 2, Phase.ENDED),
        one_attempt(2, 3, Phase.ACTIVE),
        one_attempt(2, 4, Phase.HELD),
        one_attempt(2, 5, Phase.WAITING),
        one_attempt(3, 6, Phase.HELD),
    )
    assert jobs_to_wait_for(observation) == ("4001", "4002_3", "4002_5")


def test_planned_shards_wait_while_no_task_has_begun_since_some_ended_before_their_first_line(
    tmp_path: Path,
) -> None:
    folder, _ = run_builders.make_run(tmp_path, run_builders.posts(2), shards=2)
    run = run_folder.load(folder)
    (ended,) = attempts_of(Phase.ENDED)
    early = replace(ended, began=False, early_end=EarlyEnd(Cause.NODE, "on n1", AT))

    def chosen(state: State, *attempts: Attempt) -> tuple[int, ...]:
        """What is submitted beside a planned shard, shard 1."""
        first = Judgement(index=0, state=state, rule=9)
        judgements = (first, Judgement(index=1, state=State.PLANNED, rule=2))
        return shards_to_submit(
            RunStatus(run=run, observation=seen(attempts, ()), judgements=judgements)
        )

    assert chosen(State.ENDING, early) == ()
    assert chosen(State.FAILED, early) == (0,)
    pending = replace(early, number=early.number + 1, early_end=None)
    assert chosen(State.QUEUED, early, pending) == ()
    assert chosen(State.RUNNING, early, replace(pending, began=True)) == (1,)
    # Nothing else would ever show whether the environment works.
    assert chosen(State.BLOCKED, early) == (1,)
    assert chosen(State.FAILED, ended) == (0, 1)


def test_planned_shards_of_a_stopped_run_wait_until_a_person_forces_it(tmp_path: Path) -> None:
    folder, _ = run_builders.make_run(tmp_path, run_builders.posts(2), shards=2)
    run = run_folder.load(folder)
    (refused,) = attempts_of(Phase.ENDED, refused=True)

    def planned(attempt: Attempt) -> tuple[int, ...]:
        judgements = (
            Judgement(index=0, state=State.BLOCKED, rule=8, cause=Cause.REFUSED),
            Judgement(index=1, state=State.PLANNED, rule=2),
        )
        observation = seen((attempt,), ())
        return planned_to_submit(RunStatus(run=run, observation=observation, judgements=judgements))

    assert planned(refused) == ()
    assert planned(replace(refused, forced=True, words=None)) == (1,)


def test_a_refused_run_stays_stopped_until_a_person_forces_it() -> None:
    (refused,) = attempts_of(Phase.ENDED, refused=True)
    stands = Rejection(0, "a bad key", Cause.REFUSED)
    assert find_rejection(seen((refused,))) == stands
    # What was submitted meanwhile, by itself, is nobody's look.
    later = replace(refused, number=7, words=None)
    assert find_rejection(seen((refused,), (later,))) == stands
    forced = replace(later, forced=True)
    assert find_rejection(seen((refused,), (forced,))) is None
    assert find_rejection(seen((refused, forced))) is None
    # An environment in which no task begins stops the run in the same way.
    never_began = replace(
        refused, words=None, early_end=EarlyEnd(Cause.ENVIRONMENT, "no Python", AT)
    )
    broken = Rejection(0, "no Python", Cause.ENVIRONMENT)
    assert find_rejection(seen((never_began,), (later,))) == broken
    assert find_rejection(seen((never_began,), (forced,))) is None
    one_node = replace(refused, words=None, early_end=EarlyEnd(Cause.NODE, "on n1", AT))
    assert find_rejection(seen((one_node,))) is None
    # Refused again after that, it stands again.
    again = replace(refused, number=7, forced=True)
    assert find_rejection(seen((refused, again))) == stands


@pytest.mark.parametrize(
    ("key", "reaches"),
    [
        ("cluster.account", True),
        ("classifier.api_key_file", True),
        ("checkpoint.rows", True),
        ("retry.max_attempts", False),
        ("cluster.caretaker.mem_gb", False),
        ("cluster.poll_seconds", False),
    ],
)
def test_what_only_supervision_needs_reaches_no_task(key: str, reaches: bool) -> None:
    assert reaches_tasks(key) is reaches
