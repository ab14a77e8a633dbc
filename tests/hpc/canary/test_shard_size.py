"""How many posts a shard holds: never none, and never more than its bounds."""

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpc.planning.measured.duration import Workload, estimate_minutes, find_rate
from hpc.planning.measured.shard_size import (
    MOST_ROWS,
    MOST_SHARDS,
    SHARE_OF_TIME_LIMIT,
    SizeBasis,
    SizeBound,
    SizeRequest,
    choose_shard_size,
)
from pipeline.backlog.shards import shard_sizes
from pipeline.config.sections import Sharding

rates = st.floats(1e-3, 1e9)
minutes = st.floats(1e-3, 1e5)
requests = st.builds(
    lambda posts, share, **more: SizeRequest(posts=posts, asked=math.floor(posts * share), **more),
    posts=st.integers(1, 100_000_000),
    share=st.floats(0, 1),
    target_minutes=minutes,
    measured_per_minute=st.none() | rates,
    startup_minutes=st.floats(0, 1e4),
    quota_per_minute=st.none() | rates,
    tasks_at_once=st.integers(1, 500),
    time_limit_minutes=st.none() | st.integers(1, 10_080),
    most_jobs=st.none() | st.integers(1, 20_000),
    default_rows=st.integers(1, 1_000_000),
)


@given(requests)
def test_a_size_is_never_zero_and_keeps_its_bounds(request: SizeRequest) -> None:
    size = choose_shard_size(request)
    fewest = math.ceil(request.posts / MOST_SHARDS)
    assert 1 <= size.rows <= max(MOST_ROWS, fewest)
    sizes = shard_sizes(request.posts, Sharding(rows_per_shard=size.rows))
    assert sum(map(sizes.of, range(sizes.count))) == request.posts
    assert sizes.count <= MOST_SHARDS
    assert size.reason


@given(requests, rates)
def test_faster_tasks_never_get_smaller_shards(request: SizeRequest, faster: float) -> None:
    if request.measured_per_minute is None:
        return
    faster = max(faster, request.measured_per_minute)
    quick = replace(request, measured_per_minute=faster)
    assert choose_shard_size(quick).rows >= choose_shard_size(request).rows


@given(requests, minutes)
def test_a_longer_target_never_gives_smaller_shards(request: SizeRequest, longer: float) -> None:
    long = replace(request, target_minutes=max(longer, request.target_minutes))
    assert choose_shard_size(long).rows >= choose_shard_size(request).rows


@given(requests)
def test_a_shard_fits_into_the_time_limit_unless_there_would_be_too_many(
    request: SizeRequest,
) -> None:
    size = choose_shard_size(request)
    if request.time_limit_minutes is None or size.bound is SizeBound.SHARDS or size.rows == 1:
        return
    if size.basis is SizeBasis.NOTHING:
        return
    rate = find_rate(request.measured_per_minute, request.quota_per_minute, request.tasks_at_once)
    assert rate is not None
    startup = request.startup_minutes
    share = min(1.0, request.asked / request.posts) if request.posts else 1.0
    most = max(
        SHARE_OF_TIME_LIMIT * request.time_limit_minutes, startup + request.time_limit_minutes / 10
    )
    assert startup + size.rows * share / rate.per_minute <= most * (1 + 1e-9)


def size(**more: object) -> tuple[int, SizeBasis, SizeBound]:
    """Of 100,000 posts that all have to be asked about, in 20 minutes by default."""
    values: dict[str, object] = {"posts": 100_000, "asked": 100_000, "target_minutes": 20.0}
    chosen = choose_shard_size(SizeRequest(**{**values, **more}))  # type: ignore[arg-type]
    return chosen.rows, chosen.basis, chosen.bound


MEASURED, QUOTA, NOTHING = SizeBasis
FREE = SizeBound.NONE


@pytest.mark.parametrize(
    ("known", "expected"),
    [
        ({}, (10_000, NOTHING, FREE)),
        ({"default_rows": 500}, (500, NOTHING, FREE)),
        ({"measured_per_minute": 300.0}, (6_000, MEASURED, FREE)),
        ({"measured_per_minute": 300.0, "startup_minutes": 5.0}, (4_500, MEASURED, FREE)),
        # A server that takes longer than the target still gets half the target's posts.
        ({"measured_per_minute": 300.0, "startup_minutes": 60.0}, (3_000, MEASURED, FREE)),
        ({"measured_per_minute": 300.0, "asked": 50_000}, (12_000, MEASURED, FREE)),
        ({"quota_per_minute": 600.0, "tasks_at_once": 8}, (1_500, QUOTA, FREE)),
        # One task of a canary has the whole quota, and eight tasks share it.
        (
            {"measured_per_minute": 590.0, "quota_per_minute": 600.0, "tasks_at_once": 8},
            (1_500, QUOTA, FREE),
        ),
        (
            {"measured_per_minute": 50.0, "quota_per_minute": 600.0, "tasks_at_once": 8},
            (1_000, MEASURED, FREE),
        ),
        (
            {"measured_per_minute": 300.0, "time_limit_minutes": 10},
            (2_400, MEASURED, SizeBound.TIME_LIMIT),
        ),
        (
            {"measured_per_minute": 300.0, "most_jobs": 10},
            (10_000, MEASURED, SizeBound.SUBMIT_LIMIT),
        ),
        # Waves are better than tasks that run out of time.
        (
            {"measured_per_minute": 300.0, "most_jobs": 10, "time_limit_minutes": 30},
            (7_200, MEASURED, SizeBound.TIME_LIMIT),
        ),
        ({"measured_per_minute": 1e6}, (MOST_ROWS, MEASURED, SizeBound.MEMORY)),
        ({"measured_per_minute": 0.01}, (10, MEASURED, SizeBound.SHARDS)),
        ({"measured_per_minute": 300.0, "asked": 0}, (MOST_ROWS, MEASURED, SizeBound.MEMORY)),
    ],
)  # fmt: skip
def test_examples(known: dict[str, object], expected: tuple[int, SizeBasis, SizeBound]) -> None:
    assert size(**known) == expected


work = st.builds(
    Workload,
    asked=st.integers(0, 10**8),
    largest=st.floats(0, 10**6),
    shards=st.integers(0, MOST_SHARDS),
    per_minute=rates,
    startup_minutes=st.floats(0, 1e4),
    tasks_at_once=st.integers(1, 500),
    quota_per_minute=st.none() | rates,
)


@given(work)
def test_a_run_takes_no_less_than_its_quota_and_its_slowest_rate_allow(run: Workload) -> None:
    duration = estimate_minutes(run)
    assert duration is not None
    assert run.per_minute is not None
    assert duration >= 0
    if run.shards and run.quota_per_minute:
        assert duration >= run.asked / run.quota_per_minute * (1 - 1e-9)
    if run.shards:
        tasks = min(run.tasks_at_once, run.shards)
        assert duration >= run.asked / run.per_minute / tasks * (1 - 1e-9)
