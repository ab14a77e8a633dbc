"""The cause decides what a shard gets next, and shards that get the same go together."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from hpc.display.run.submissions import describe_retries
from hpc.executors.slurm.limits.partitions import limits_of, parse_partitions
from hpc.run.causes import REMEDY, Remedy, why_ended
from hpc.run.model.arrays import ArrayPlan, Limits, ResourceRequest, ShardGroup
from hpc.run.model.attempts import Attempt, EarlyEnd
from hpc.run.model.shards import Judgement, ShardFacts, State
from hpc.run.remedies import Base, group_by_remedy, needs_limits
from hpc.run.retry_policy import RetryPolicy
from pipeline.errors import Cause
from pipeline.run_files.output import OutputCheck
from tests.hpc.run.test_judge import record, words

BASE = ResourceRequest(mem_gb=4.0, time_min=60)
CONFIGURED = Base(request=BASE)
NODES = frozenset({"n1", "n2", "n3", "n4"})
LIMITS = Limits(mem_gb=100.0, time_min=240, nodes=NODES)
AT = datetime(2026, 11, 24, 7, 0, tzinfo=UTC)
STATE = {Cause.OUT_OF_MEMORY: "OUT_OF_MEMORY", Cause.TIMEOUT: "TIMEOUT", Cause.NODE: "NODE_FAIL",
         Cause.PREEMPTED: "PREEMPTED", Cause.CRASHED: "FAILED", Cause.NO_OUTPUT: "COMPLETED",
         Cause.CANCELLED: "CANCELLED"}  # fmt: skip

SAID = (Cause.THROTTLED, Cause.UNAVAILABLE, Cause.REFUSED)


def ended(cause: Cause, number: int = 1, request: ResourceRequest = BASE, **more: Any) -> Attempt:
    known = record(STATE[cause], **more) if cause in STATE else None
    last_words = words(cause) if cause in SAID else None
    early = EarlyEnd(cause, "no Python", AT) if cause is Cause.ENVIRONMENT else None
    return Attempt(number=number, array_job_id=4711, array_task_index=7, submitted_at=AT,
                   record=known, words=last_words, request=request, early_end=early)  # fmt: skip


def shard(*attempts: Attempt, index: int = 7) -> ShardFacts:
    return ShardFacts(index=index, posts=10, output=OutputCheck(), attempts=attempts)


def given_to(
    *shards: ShardFacts, limits: Limits = LIMITS, base: Base = CONFIGURED, **policy: Any
) -> tuple[ShardGroup, ...]:
    return group_by_remedy(shards, base=base, policy=RetryPolicy(**policy), limits=limits)


def alone(
    *attempts: Attempt, limits: Limits = LIMITS, base: Base = CONFIGURED, **policy: Any
) -> ShardGroup:
    (group,) = given_to(shard(*attempts), limits=limits, base=base, **policy)
    return group


def test_a_first_attempt_gets_what_the_configuration_asks_for() -> None:
    assert alone() == ShardGroup(shards=(7,), request=BASE)


def test_the_examples_cover_every_cause() -> None:
    for cause in Cause:
        assert why_ended(ended(cause))[0] is cause


def test_out_of_memory_gets_more_memory_and_nothing_else() -> None:
    assert alone(ended(Cause.OUT_OF_MEMORY)) == ShardGroup(
        shards=(7,), request=replace(BASE, mem_gb=8.0), why="out_of_memory: memory 4 → 8 GiB"
    )
    assert alone(ended(Cause.OUT_OF_MEMORY), memory_factor=1.5).request.mem_gb == 6.0


def test_memory_is_limited_by_the_largest_node_and_the_configuration() -> None:
    big = ended(Cause.OUT_OF_MEMORY, request=replace(BASE, mem_gb=64.0))
    group = alone(big)
    assert (group.request.mem_gb, group.why) == (
        100.0,
        "out_of_memory: memory 64 → 100 GiB (the maximum)",
    )
    assert alone(big, max_mem_gb=80.0).request.mem_gb == 80.0
    most = alone(ended(Cause.OUT_OF_MEMORY, request=group.request))
    assert (most.request, most.why) == (
        group.request,
        "out_of_memory: 100 GiB again (the maximum)",
    )
    assert alone(big, limits=Limits()).request.mem_gb == 128.0


def test_memory_that_was_not_requested_grows_from_the_accounted_memory() -> None:
    default = replace(BASE, mem_gb=None)
    known = alone(ended(Cause.OUT_OF_MEMORY, request=default, req_mem_gb=3.0))
    assert (known.request.mem_gb, known.why) == (6.0, "out_of_memory: memory 3 → 6 GiB")
    unknown = alone(ended(Cause.OUT_OF_MEMORY, request=default))
    assert unknown.request == default
    assert unknown.why.endswith("same settings: its memory request is unknown; set cluster.mem_gb")


def test_a_timeout_gets_more_time_up_to_the_partitions_limit() -> None:
    group = alone(ended(Cause.TIMEOUT))
    assert group == ShardGroup(
        shards=(7,),
        request=replace(BASE, time_min=120),
        why="timeout: time limit 60 → 120 min for the remaining posts",
    )
    capped = alone(ended(Cause.TIMEOUT, request=replace(BASE, time_min=200)))
    assert (capped.request.time_min, capped.why) == (
        240,
        "timeout: time limit 200 → 240 min (the maximum) for the remaining posts",
    )
    assert alone(ended(Cause.TIMEOUT), max_time_min=90).request.time_min == 90
    again = alone(ended(Cause.TIMEOUT, request=capped.request))
    assert again.why == "timeout: 240 min again (the maximum) for the remaining posts"


def test_all_shards_that_lost_a_node_avoid_the_lost_nodes() -> None:
    lone = shard(ended(Cause.NODE, node="n1"), index=3)
    two = shard(ended(Cause.NODE, node="n4"), index=5)
    assert given_to(lone, two) == (
        ShardGroup(
            shards=(3, 5), request=replace(BASE, exclude=("n1", "n4")), why="node: not on n1,n4"
        ),
    )


def test_other_shards_of_the_round_stay_away_from_a_bad_node_too() -> None:
    bad = shard(ended(Cause.NODE, node="n4"), index=0)
    short = shard(ended(Cause.TIMEOUT), index=1)
    groups = given_to(bad, short, shard(index=2), shard(ended(Cause.CRASHED), index=3))
    assert {group.request.exclude for group in groups} == {("n4",)}
    assert [group.shards for group in groups] == [(0,), (1,), (2,), (3,)]
    # An older loss counts as well, and the limits say whether another node is left.
    older = shard(ended(Cause.NODE, node="n4"), ended(Cause.CRASHED, 2))
    assert needs_limits([older])
    assert alone(ended(Cause.NODE, node="n4"), ended(Cause.CRASHED, 2)).request.exclude == ("n4",)


def test_later_waves_stay_away_from_nodes_on_which_no_task_of_the_run_begins() -> None:
    early = replace(ended(Cause.NODE, node="n4"), early_end=EarlyEnd(Cause.NODE, "no Python", AT))
    crashed_node = ended(Cause.NODE, node="n5")  # Slurm itself keeps tasks away from this one
    others = [shard(early, index=0), shard(crashed_node, index=1)]
    (group,) = group_by_remedy(
        [shard(index=2)], base=CONFIGURED, policy=RetryPolicy(), limits=LIMITS, others=others
    )
    assert group.request.exclude == ("n4",)
    assert needs_limits([shard(index=2)], others)
    assert not needs_limits([shard(index=2)], others[1:])


def test_some_nodes_of_a_partition_always_remain_and_the_latest_losses_are_excluded_first() -> None:
    lost = shard(*(ended(Cause.NODE, n, node=f"n{n}") for n in (1, 2, 3, 4)))
    (group,) = given_to(lost)
    assert group.request.exclude == ("n2", "n3", "n4")
    (few,) = given_to(lost, max_excluded_nodes=1)
    assert few.request.exclude == ("n4",)
    (only,) = given_to(lost, limits=replace(LIMITS, nodes=frozenset({"n4"})))
    assert (only.request.exclude, only.why) == ((), "node: same settings; no other node is left")


def test_a_lost_node_outside_the_partition_does_not_count_against_its_limit() -> None:
    elsewhere = shard(*(ended(Cause.NODE, n, node=node) for n, node in enumerate(("x9", "n1"), 1)))
    (group,) = given_to(elsewhere, limits=replace(LIMITS, nodes=frozenset({"n1", "n2"})))
    assert group.request.exclude == ("n1",)


def test_throttled_shards_start_later_and_slower_each_time() -> None:
    first = alone(ended(Cause.THROTTLED))
    assert (first.request, first.delay_s, first.slowdown) == (BASE, 600, 0.5)
    assert first.why == "throttled: in 10 min, fewer at a time"
    third = alone(*(ended(Cause.THROTTLED, number) for number in (1, 2, 3)))
    assert third.slowdown == 0.125
    other = alone(ended(Cause.THROTTLED), ended(Cause.CRASHED, 2))
    assert (other.delay_s, other.slowdown) == (0, 1.0)


@pytest.mark.parametrize("cause", [c for c in Cause if REMEDY[c] in (Remedy.AGAIN, Remedy.ASK)])
def test_a_plain_retry_keeps_the_resources_of_the_last_attempt(cause: Cause) -> None:
    grown = ResourceRequest(mem_gb=16.0, time_min=180, exclude=("n2",))
    assert alone(ended(cause, request=grown)) == ShardGroup(
        shards=(7,), request=grown, why=f"{cause}: same settings"
    )


def test_preemptions_never_make_a_task_larger() -> None:
    lives = [ended(Cause.OUT_OF_MEMORY)]
    lives += [ended(Cause.PREEMPTED, n, request=replace(BASE, mem_gb=8.0)) for n in range(2, 50)]
    assert alone(*lives).request.mem_gb == 8.0


@pytest.mark.parametrize("cause", list(Cause))
@pytest.mark.parametrize("corrected", [2.0, 16.0, None])
def test_corrected_memory_is_what_the_next_attempt_gets_whatever_the_cause(
    cause: Cause, corrected: float | None
) -> None:
    """Also where a person asks for less: another partition may have smaller nodes."""
    grown = replace(BASE, mem_gb=8.0, time_min=120)
    base = Base(request=replace(BASE, mem_gb=corrected), memory_since=3)
    group = alone(ended(cause, 3, request=grown), base=base)
    assert group.request.mem_gb == corrected
    # The time was not corrected, so the remedy for it goes on from the last attempt.
    assert group.request.time_min == (240 if cause is Cause.TIMEOUT else 120)


def test_a_retry_after_any_correction_has_not_the_same_settings() -> None:
    base = Base(request=BASE, settings_since=2)
    whys = [alone(ended(Cause.REFUSED, number), base=base).why for number in (2, 3)]
    assert whys == ["refused: corrected settings", "refused: same settings"]


def test_corrected_time_is_what_the_next_attempt_gets_and_a_remedy_goes_on_from_there() -> None:
    base = Base(request=replace(BASE, time_min=30), time_since=1)
    first = alone(ended(Cause.TIMEOUT, request=replace(BASE, time_min=120)), base=base)
    assert (first.request.time_min, first.why) == (30, "timeout: corrected settings")
    assert alone(ended(Cause.TIMEOUT, 2, request=first.request), base=base).request.time_min == 60


def test_limits_are_read_only_if_a_request_may_grow() -> None:
    assert not needs_limits([shard(), shard(ended(Cause.CRASHED)), shard(ended(Cause.PREEMPTED))])
    assert needs_limits([shard(), shard(ended(Cause.TIMEOUT))])


causes = st.sampled_from(list(Cause))


@given(st.lists(st.lists(causes, max_size=5), min_size=1, max_size=8))
def test_every_shard_is_in_one_group_and_stays_within_the_limits(lives: list[list[Cause]]) -> None:
    shards = []
    for index, history in enumerate(lives):
        attempts: list[Attempt] = []
        for number, cause in enumerate(history, 1):
            asked = given_to(shard(*attempts))[0].request
            attempts.append(ended(cause, number, request=asked, node=f"n{number}"))
        shards.append(shard(*attempts, index=index))
    made = given_to(*shards)
    assert sorted(index for group in made for index in group.shards) == list(range(len(lives)))
    assert len({(g.request, g.delay_s, g.slowdown, g.why) for g in made}) == len(made)
    for group in made:
        assert BASE.mem_gb and group.request.mem_gb
        assert BASE.mem_gb <= group.request.mem_gb <= 100
        assert BASE.time_min <= group.request.time_min <= 240
        assert len(group.request.exclude) < 4


def test_each_group_is_described_once_with_its_most_common_message() -> None:
    def plan(why: str, *indices: int, offset: int = 0) -> ArrayPlan:
        return ArrayPlan(offset=offset, indices=indices, throttle=1, parallel_tasks=1, why=why)

    messages = ["", "odd", "no\n more", "no\n more", "n1 is gone"]
    judged = [
        Judgement(index=index, state=State.FAILED, rule=9, message=message)
        for index, message in enumerate(messages)
    ]
    memory = "out_of_memory: memory 4 → 8 GiB"
    # One group may be two arrays, and a first attempt needs no reason.
    plans = [plan(memory, 1, 2), plan(memory, 0, offset=3), plan("node: not on n1", 4), plan("", 0)]
    assert describe_retries(plans, judged) == [
        "retrying 3 shards, out_of_memory: memory 4 → 8 GiB; shard 2: no more",
        "retrying 1 shard, node: not on n1; shard 4: n1 is gone",
    ]


SINFO = """\
normal*|2-00:00:00|4000|n1
normal*|2-00:00:00|4000|n2
normal*|2-00:00:00|16000|n3
short|4:00:00|8192|n1
short|4:00:00|4000|n2
tiny|30:00|1024|t1
forever|infinite|2048|n1
"""


@pytest.mark.parametrize(
    ("partition", "memory_mb", "time_min", "nodes"),
    [
        (None, 16000, 2880, "n1 n2 n3"),
        ("normal", 16000, 2880, "n1 n2 n3"),
        ("short", 8192, 240, "n1 n2"),
        ("tiny", 1024, 30, "t1"),
        ("forever", 2048, None, "n1"),
        # Of a list what holds in each: Slurm takes whichever is free first.
        ("normal,short", 8192, 240, "n1 n2 n3"),
    ],
)
def test_limits_are_those_of_the_partition(
    partition: str | None, memory_mb: int, time_min: int | None, nodes: str
) -> None:
    assert limits_of(parse_partitions(SINFO), partition) == Limits(
        mem_gb=memory_mb / 1024, time_min=time_min, nodes=frozenset(nodes.split())
    )


def test_a_missing_partition_has_no_known_limits() -> None:
    assert limits_of(parse_partitions(SINFO), "nowhere") == Limits()
