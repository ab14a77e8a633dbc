"""Freeze posts as numbered Parquet shards, streamed: without a Python loop over posts."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pyarrow as pa

from pipeline import files
from pipeline.config.sections import Sharding
from pipeline.errors import InputError
from pipeline.late_imports import arrow_compute as pc
from pipeline.late_imports import arrow_parquet as pq
from pipeline.model import SHARD_SCHEMA, Shard
from pipeline.progress import NO_PROGRESS, Progress, Step
from pipeline.run_files.manifest import shard_path

MAX_SHARDS = 100_000
IS_COPY = "is_copy"
"""A column of posts to freeze: whether the post has the text of the one before it."""
# Uris, texts and most times are in a shard once, and to look for repeated ones takes a fifth of the
# time of writing.
_WITH_DICTIONARY = ["reason"]


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
    run_dir: Path,
    reader: pa.RecordBatchReader,
    sizes: ShardSizes,
    progress: Progress = NO_PROGRESS,
) -> tuple[Shard, ...]:
    """Cut a stream of posts into shard files below `run_dir`, and describe each.

    Each shard resolves its copies alone, so a text with fewer posts than a shard is never cut: its
    copies stay in the shard of its first post, and the next shard has fewer. A longer one is cut
    where the next shard would hold nothing else.

    Args:
        run_dir: the run's folder; `shards/` must not exist yet.
        reader: as many posts as `sizes` says, oldest first, in SHARD_SCHEMA, and maybe IS_COPY.
        sizes: how many posts each shard holds.
        progress: shows how many shards were written.

    Raises:
        OSError: the disk is full. Some files may be there, and be incomplete.
    """
    folder = run_dir / "shards"
    folder.mkdir()
    with progress.step("writing shards", total=sizes.count, unit="shard") as step:
        written = _write_all(run_dir, reader, sizes, step)
        # Together, because a disk needs milliseconds for each file by itself.
        files.sync_all([*(shard_path(run_dir, shard.index) for shard in written), folder])
    return written


def _write_all(
    run_dir: Path, reader: pa.RecordBatchReader, sizes: ShardSizes, step: Step
) -> tuple[Shard, ...]:
    rows = _ExactRows(reader)
    written: list[Shard] = []
    planned = taken = 0
    for index in range(sizes.count):
        planned += sizes.of(index)
        most_copies = sizes.of(index + 1) - 1 if index + 1 < sizes.count else 0
        shard = _write_shard(run_dir, index, rows.take(planned - taken, most_copies))
        taken += shard.posts
        written.append(shard)
        step.advance(len(written))
    return tuple(written)


def _write_shard(run_dir: Path, index: int, batches: Iterator[pa.RecordBatch]) -> Shard:
    path = shard_path(run_dir, index)
    posts = copies = 0
    times: list[datetime] = []
    with (
        pa.OSFile(str(path), "wb") as stream,
        pq.ParquetWriter(
            stream, SHARD_SCHEMA, compression="zstd", use_dictionary=_WITH_DICTIONARY
        ) as writer,
    ):
        for batch in batches:
            table = pa.Table.from_batches([batch.select(SHARD_SCHEMA.names)]).cast(SHARD_SCHEMA)
            writer.write_table(table)
            ends = pc.min_max(table["preprocessing_timestamp"]).as_py()
            times = [min([*times, ends["min"]]), max([*times, ends["max"]])]
            copies += _count_copies(batch, is_first=not posts)
            posts += batch.num_rows
    oldest, newest = times
    return Shard(
        index=index,
        posts=posts,
        sha256=files.sha256_of(path),
        min_preprocessing_timestamp=oldest.isoformat(),
        max_preprocessing_timestamp=newest.isoformat(),
        copies=copies,
    )


def _count_copies(batch: pa.RecordBatch, *, is_first: bool) -> int:
    """Count the copies of a batch; the first post of a shard is asked about, whatever it is."""
    if IS_COPY not in batch.schema.names:
        return 0
    copies = batch[IS_COPY]
    return int(pc.sum(copies).as_py()) - int(is_first and copies[0].as_py())


class _ExactRows:
    """Hands out an exact number of a reader's rows at a time, and copies that follow them."""

    def __init__(self, reader: pa.RecordBatchReader) -> None:
        self._reader = reader
        self._rest: pa.RecordBatch | None = None

    def take(self, rows: int, most_copies: int) -> Iterator[pa.RecordBatch]:
        """Yield this many rows, then up to this many copies at the place that is reached."""
        while rows:
            yield from (taken := self._cut(rows))
            rows -= sum(batch.num_rows for batch in taken)
        while most_copies:
            batch = self._peek()
            copies = _leading_copies(batch)
            yield from (taken := self._cut(min(copies, most_copies)))
            most_copies -= sum(batch.num_rows for batch in taken)
            if copies < batch.num_rows:
                return

    def _cut(self, rows: int) -> list[pa.RecordBatch]:
        """Return a batch of at most this many rows, or none if there are none in it."""
        batch = self._peek()
        head, tail = batch.slice(0, rows), batch.slice(rows)
        self._rest = tail if tail.num_rows else None
        return [head] if head.num_rows else []

    def _peek(self) -> pa.RecordBatch:
        if self._rest is None:
            self._rest = self._reader.read_next_batch()
        return self._rest


def _leading_copies(batch: pa.RecordBatch) -> int:
    """Return how many rows of a batch come before the first one that is no copy."""
    if IS_COPY not in batch.schema.names:
        return 0
    place = pc.index(batch[IS_COPY], False).as_py()
    return batch.num_rows if place < 0 else int(place)
