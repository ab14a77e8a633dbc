"""Posts are frozen as shards of planned sizes, in order."""

import tempfile
from datetime import timedelta
from pathlib import Path
from random import Random

import pyarrow.parquet as pq
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline import files
from pipeline.backlog import select, shards
from pipeline.backlog.shards import ShardSizes
from pipeline.config.sections import Sharding
from pipeline.errors import InputError
from pipeline.model import SHARD_SCHEMA, Shard
from pipeline.run_files.manifest import shard_path
from tests.pipeline.backlog.source_files import find, parquet_file
from tests.pipeline.run_builders import (
    FIRST_TIME,
    SourcePost,
    make_run,
    posts,
    read_shard,
    shard_table,
    uri,
)

BY_ROWS = st.integers(1, 10**7).map(lambda rows: Sharding(rows_per_shard=rows, shards=None))
BY_COUNT = st.integers(1, 1000).map(lambda count: Sharding(rows_per_shard=None, shards=count))


@settings(deadline=None)
@given(st.integers(0, 5 * 10**7), BY_ROWS | BY_COUNT)
def test_shard_sizes_add_up_to_the_posts_and_differ_by_at_most_one(
    posts: int, sharding: Sharding
) -> None:
    try:
        plan = shards.shard_sizes(posts, sharding)
    except InputError:
        assert sharding.rows_per_shard
        assert posts > sharding.rows_per_shard * shards.MAX_SHARDS
        return
    held = [plan.of(index) for index in range(plan.count)]
    assert sum(held) == posts
    assert all(held)
    assert not held or max(held) - min(held) <= 1
    if sharding.shards:
        assert plan.count == min(sharding.shards, posts)
    else:
        assert sharding.rows_per_shard
        assert plan.count == -(-posts // sharding.rows_per_shard)
        assert max(held, default=0) <= sharding.rows_per_shard


def test_a_few_posts_beyond_a_full_shard_are_evened_out() -> None:
    plan = shards.shard_sizes(10_001, Sharding(rows_per_shard=10_000, shards=None))
    assert plan == ShardSizes(count=2, rows=5_000, larger=1)


def test_shards_hold_the_posts_in_order_and_are_described_by_their_content(tmp_path: Path) -> None:
    run_dir, run = make_run(tmp_path, posts(5), shards=2)
    assert [read_shard(run_dir, index).to_pylist() for index in (0, 1)] == [
        [{**post._asdict(), "reason": None} for post in posts(3)],
        [{**post._asdict(), "reason": None} for post in posts(2, first=3)],
    ]
    assert run.shards == (
        Shard(
            index=0,
            posts=3,
            sha256=files.sha256_of(shard_path(run_dir, 0)),
            min_preprocessing_timestamp="2024-05-31T13:00:00",
            max_preprocessing_timestamp="2024-05-31T13:00:02",
        ),
        Shard(
            index=1,
            posts=2,
            sha256=files.sha256_of(shard_path(run_dir, 1)),
            min_preprocessing_timestamp="2024-05-31T13:00:03",
            max_preprocessing_timestamp="2024-05-31T13:00:04",
        ),
    )
    assert run.posts == 5
    assert pq.read_schema(shard_path(run_dir, 0)).equals(SHARD_SCHEMA)


@settings(deadline=None, max_examples=30)
@given(st.lists(st.integers(0, 6), max_size=12), st.integers(1, 5))
def test_batches_of_any_size_are_cut_into_exactly_the_planned_shards(
    batch_sizes: list[int], count: int
) -> None:
    table = shard_table(posts(sum(batch_sizes)))
    pieces, at = [], 0
    for size in batch_sizes:
        pieces += table.slice(at, size).to_batches()
        at += size
    reader = type(table).from_batches(pieces, SHARD_SCHEMA).to_reader()
    plan = shards.shard_sizes(table.num_rows, Sharding(rows_per_shard=None, shards=count))
    with tempfile.TemporaryDirectory() as folder:
        written = shards.write_shards(Path(folder), reader, plan)
        held = [read_shard(Path(folder), shard.index) for shard in written]
    assert [shard.posts for shard in written] == [plan.of(i) for i in range(plan.count)]
    assert [row for shard in held for row in shard.to_pylist()] == table.to_pylist()


def test_no_posts_make_no_shards(tmp_path: Path) -> None:
    run_dir, run = make_run(tmp_path, [])
    assert run.shards == ()
    assert list((run_dir / "shards").iterdir()) == []


def test_a_backlog_in_another_order_makes_the_same_shards_byte_for_byte(
    tmp_path: Path,
) -> None:
    rows = [(uri(i), f"text {i}", str(FIRST_TIME + timedelta(seconds=i // 3))) for i in range(5000)]
    made = []
    for seed in (1, 2):
        folder = tmp_path / str(seed)
        folder.mkdir()
        shuffled = Random(seed).sample(rows, len(rows))
        source = find(parquet_file(folder / "posts.parquet", shuffled))
        with select.staging(folder) as connection:
            counts = select.stage_posts(connection, source, exclude=None)
            plan = shards.shard_sizes(counts.posts, Sharding(rows_per_shard=1000, shards=None))
            made.append(
                shards.write_shards(folder, select.oldest_first(connection, counts, 300), plan)
            )
    assert made[0] == made[1]
    assert len(made[0]) == 5


def test_posts_of_the_same_time_are_sorted_by_uri(tmp_path: Path) -> None:
    rows = [SourcePost(uri(i), "hello there", FIRST_TIME) for i in (3, 1, 2)]
    run_dir, _ = make_run(tmp_path, rows)
    assert read_shard(run_dir, 0)["uri"].to_pylist() == [uri(1), uri(2), uri(3)]
