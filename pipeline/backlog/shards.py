"""Freeze posts as numbered Parquet shards, streamed: without a Python loop over posts."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline import files
from pipeline.config.sections import Sharding
from pipeline.errors import InputError
from pipeline.model import SHARD_SCHEMA, Shard
from pipeline.run_files.manifest import shard_path

MAX_SHARDS = 100_000


@dataclass(frozen=True, slots=True)
class ShardSizes:
    """How many shards there are, and how many posts each holds."""

    count: int
    rows: int
    """The posts of each shard, except the first ones."""
    larger: int
    """How many of the first shards hold one post more."""

    @property
    def largest(self) -> int:
        """The posts of the largest shard."""
        return self.rows + bool(self.larger)

    def of(self, index: int) -> int:
        """Return how many posts a shard holds."""
        return self.rows + (index < self.larger)


def shard_sizes(posts: int, sharding: Sharding) -> ShardSizes:
    """Return how many posts each shard holds; they add up to `posts`, and no shard is empty.

    With `rows_per_shard` the shards are evened out: 10,001 posts by 10,000 are two shards of 5,000
    and 5,001 posts. A nearly empty last task would wait in the queue for nothing.

    Raises:
        InputError: there would be more than MAX_SHARDS shards.
    """
    if sharding.shards:
        count = min(sharding.shards, posts)
    else:
        assert sharding.rows_per_shard
        count = -(-posts // sharding.rows_per_shard)
    if count > MAX_SHARDS:
        raise InputError(
            f"sharding: {posts:,} posts would make {count:,} shards, and a run can have at most "
            f"{MAX_SHARDS:,}: raise sharding.rows_per_shard"
        )
    rows, larger = divmod(posts, max(count, 1))
    return ShardSizes(count=count, rows=rows, larger=larger)


def write_shards(
    run_dir: Path, reader: pa.RecordBatchReader, sizes: ShardSizes
) -> tuple[Shard, ...]:
    """Cut a stream of posts into shard files below `run_dir`, and describe each.

    Args:
        run_dir: the run's folder; `shards/` must not exist yet.
        reader: as many posts as `sizes` says, oldest first, in SHARD_SCHEMA.
        sizes: how many posts each shard holds.

    Raises:
        OSError: the disk is full.
    """
    (run_dir / "shards").mkdir()
    rows = _ExactRows(reader)
    return tuple(
        _write_shard(run_dir, index, rows.take(sizes.of(index))) for index in range(sizes.count)
    )


def _write_shard(run_dir: Path, index: int, batches: Iterator[pa.RecordBatch]) -> Shard:
    path = shard_path(run_dir, index)
    posts, oldest, newest = 0, None, None
    with (
        files.appearing_whole(path) as temporary,
        pq.ParquetWriter(temporary, SHARD_SCHEMA, compression="zstd") as writer,
    ):
        for batch in batches:
            table = pa.Table.from_batches([batch]).cast(SHARD_SCHEMA)
            writer.write_table(table)
            times = pc.min_max(table["preprocessing_timestamp"]).as_py()
            oldest = times["min"] if oldest is None else oldest
            newest = times["max"]
            posts += batch.num_rows
    assert oldest is not None and newest is not None
    return Shard(
        index=index,
        posts=posts,
        sha256=files.sha256_of(path),
        min_preprocessing_timestamp=oldest.isoformat(),
        max_preprocessing_timestamp=newest.isoformat(),
    )


class _ExactRows:
    """Hands out an exact number of a reader's rows at a time."""

    def __init__(self, reader: pa.RecordBatchReader) -> None:
        self._reader = reader
        self._rest: pa.RecordBatch | None = None

    def take(self, rows: int) -> Iterator[pa.RecordBatch]:
        while rows:
            batch = self._rest if self._rest is not None else self._reader.read_next_batch()
            head, tail = batch.slice(0, rows), batch.slice(rows)
            self._rest = tail if tail.num_rows else None
            if head.num_rows:
                rows -= head.num_rows
                yield head
