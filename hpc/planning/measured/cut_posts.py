"""Cut the staged posts of a new run into shards: how many each holds, and why."""

from dataclasses import dataclass

import duckdb
from msgspec.structs import replace

from hpc.planning.measured.pace import RunPace
from hpc.planning.measured.run_pace import find_pace
from hpc.planning.measured.shard_size import ShardSize
from hpc.planning.measured.size_run import size_shards
from hpc.planning.run_spec import RunSpec, Selection
from pipeline.backlog import shards
from pipeline.backlog.repeated_texts import (
    NO_REPEATED_TEXTS,
    RepeatedTexts,
    count_repeated_texts,
    find_repeated_texts,
)
from pipeline.backlog.select import BacklogCounts
from pipeline.backlog.shards import ShardSizes
from pipeline.backlog.unsent import UnsentPosts
from pipeline.config.sections import Sharding


def first_posts(counts: BacklogCounts, most: int) -> BacklogCounts:
    """Return the counts if only the oldest posts are taken, at most this many."""
    posts = min(counts.posts, most)
    return replace(counts, posts=posts, over_limit=counts.over_limit + counts.posts - posts)


@dataclass(frozen=True, kw_only=True, slots=True)
class PostCut:
    """How posts are cut into shards, and what decides that."""

    sizes: ShardSizes
    repeated: RepeatedTexts
    pace: RunPace | None
    shard_size: ShardSize | None


def cut_posts(
    spec: RunSpec,
    selection: Selection,
    counts: BacklogCounts,
    unsent: tuple[UnsentPosts, ...],
    connection: duckdb.DuckDBPyConnection,
) -> PostCut:
    """Return the sizes of shards. With a target, they follow from the posts to ask about."""
    sharding = spec.config.sharding
    if selection.canary is not None and sharding.shards:
        sharding = Sharding()  # this many shards are meant for all posts
    pace = find_pace(spec, without=selection.without) if counts.posts else None
    if not (sharding.target_minutes and counts.posts):
        sizes = shards.shard_sizes(counts.posts, sharding)
        repeated = _find_repeated(spec, counts, sizes, connection)
        return PostCut(sizes=sizes, repeated=repeated, pace=pace, shard_size=None)
    one_shard = ShardSizes(count=1, rows=counts.posts, larger=0)
    repeated = _find_repeated(spec, counts, one_shard, connection)
    asked = counts.posts - sum(each.posts for each in unsent) - repeated.copied
    size = size_shards(spec, pace, posts=counts.posts, asked=asked)
    assert size
    sizes = shards.shard_sizes(counts.posts, Sharding(rows_per_shard=size.rows))
    if repeated.texts:
        repeated = count_repeated_texts(connection, sizes)
    return PostCut(sizes=sizes, repeated=repeated, pace=pace, shard_size=size)


def _find_repeated(
    spec: RunSpec,
    counts: BacklogCounts,
    sizes: ShardSizes,
    connection: duckdb.DuckDBPyConnection,
) -> RepeatedTexts:
    backlog = spec.config.backlog
    if not (backlog.ask_each_text_once and counts.posts):
        return NO_REPEATED_TEXTS
    return find_repeated_texts(connection, counts, backlog.min_text_length, sizes)
