"""Freezing posts as numbered Parquet shards, streamed: no Python loop over posts."""

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
class Sizes:
    """`count` shards; the first `larger` of them hold one post more than `rows`."""

    count: int
    rows: int
    larger: int

    def of(self, index: int) -> int:
        return self.rows + (index < self.larger)


def sizes(posts: int, sharding: Sharding) -> Sizes:
    """How many posts each shard holds; they sum to `posts`, no shard is empty.

    With `rows_per_shard` the shards are evened out (10,001 posts by 10,000 are two of 5,000
    and 5,001): a nearly empty last task would queue for nothing.
    """
    if sharding.shards:
        count = min(sharding.shards, posts)
    else:
        assert sharding.rows_per_shard
        count = -(-posts // sharding.rows_per_shard)
    if count > MAX_SHARDS:
        raise InputError(
            f"sharding: {posts} posts would make {count} shards, more than {MAX_SHARDS}: "
            "raise sharding.rows_per_shard"
        )
    rows, larger = divmod(posts, max(count, 1))
    return Sizes(count=count, rows=rows, larger=larger)


def write(run_dir: Path, reader: pa.RecordBatchReader, plan: Sizes) -> tuple[Shard, ...]:
    """Cuts the sorted stream into shard files and describes each."""
    (run_dir / "shards").mkdir()
    stream = _Rows(reader)
    return tuple(_one(run_dir, index, stream.take(plan.of(index))) for index in range(plan.count))


def _one(run_dir: Path, index: int, batches: Iterator[pa.RecordBatch]) -> Shard:
    path = shard_path(run_dir, index)
    posts, low, high = 0, None, None
    with (
        files.appearing_whole(path) as temporary,
        pq.ParquetWriter(temporary, SHARD_SCHEMA, compression="zstd") as writer,
    ):
        for batch in batches:
            table = pa.Table.from_batches([batch]).cast(SHARD_SCHEMA)
            writer.write_table(table)
            times = pc.min_max(table["preprocessing_timestamp"]).as_py()
            low = times["min"] if low is None else low
            high = times["max"]
            posts += batch.num_rows
    assert low is not None and high is not None
    return Shard(
        index=index,
        posts=posts,
        sha256=files.sha256_of(path),
        min_preprocessing_timestamp=low.isoformat(),
        max_preprocessing_timestamp=high.isoformat(),
    )


class _Rows:
    """A reader that hands out an exact number of rows at a time."""

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
