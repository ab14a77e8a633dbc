"""The posts of one text are frozen side by side, and no two texts are ever taken for one."""

import tempfile
from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

import duckdb
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.backlog import repeated_texts, shards
from pipeline.backlog.repeated_texts import RepeatedTexts, copies_after_first, find_repeated_texts
from pipeline.backlog.select import BacklogCounts, oldest_first
from pipeline.backlog.unsent import first_to_send
from pipeline.config.sections import Sharding
from pipeline.model import INVALID_TEXT, SHARD_SCHEMA, Shard
from pipeline.worker.same_texts import find_copies
from tests.pipeline.run_builders import FIRST_TIME, read_shard

MIN_LENGTH = 5
# Alike to a person or to a careless comparison; two are never sent, and one begins like another.
TEXTS = ["good morning", "good morning ", "Good morning", "caf\u00e9 time", "cafe\u0301 time",
         "good morning\0", "\u200bgood morning", "meh", "", "bro\ufffdken"]  # fmt: skip
Row = tuple[int, int, bool]
"""Which text, which hour, and whether its bytes were no text."""


def stage(connection: duckdb.DuckDBPyConnection, rows: Sequence[Row]) -> None:
    table = pa.Table.from_pylist(
        [
            {
                "uri": f"u{number:03d}",
                "text": TEXTS[text],
                "preprocessing_timestamp": FIRST_TIME + timedelta(hours=hour),
                "reason": INVALID_TEXT if is_broken else None,
            }
            for number, (text, hour, is_broken) in enumerate(rows)
        ],
        schema=SHARD_SCHEMA,
    )
    connection.register("rows", table)
    connection.execute("CREATE TABLE staged AS SELECT * FROM rows")


def plan(
    connection: duckdb.DuckDBPyConnection, rows: Sequence[Row], limit: int, count: int, batch: int
) -> tuple[RepeatedTexts, tuple[Shard, ...], list[list[dict[str, object]]]]:
    """Return what is counted, and the shards with their rows."""
    stage(connection, rows)
    posts = min(limit, len(rows))
    counts = BacklogCounts(
        rows=len(rows), duplicates=0, excluded=0, over_limit=len(rows) - posts, posts=posts
    )
    sizes = shards.shard_sizes(posts, Sharding(rows_per_shard=None, shards=count))
    repeated = find_repeated_texts(connection, counts, MIN_LENGTH, sizes)
    with tempfile.TemporaryDirectory() as folder:
        with copies_after_first(connection, counts, batch) as reader:
            together = reader.read_all().combine_chunks()
        # DuckDB's batches hold 2,048 rows or more, whatever the size that was asked for.
        pieces = pa.RecordBatchReader.from_batches(
            together.schema, together.to_batches(max_chunksize=batch)
        )
        frozen = shards.write_shards(Path(folder), pieces, sizes)
        held = [read_shard(Path(folder), shard.index).to_pylist() for shard in frozen]
    return repeated, frozen, held


def copies_in(rows: Sequence[dict[str, object]]) -> dict[str, str]:
    """Return what a task takes for copies."""
    texts = [(str(row["uri"]), str(row["text"]), row["reason"] and str(row["reason"]))
             for row in rows]  # fmt: skip
    return dict(find_copies(texts, MIN_LENGTH))  # type: ignore[arg-type]


ROWS = st.lists(
    st.tuples(st.integers(0, len(TEXTS) - 1), st.integers(0, 5), st.booleans()), max_size=24
)


@settings(deadline=None, max_examples=60)
@given(ROWS, st.integers(1, 24), st.integers(1, 6), st.integers(1, 7), st.booleans())
def test_a_plan_and_its_tasks_agree_on_the_copies(
    rows: list[Row], limit: int, count: int, batch: int, collide: bool
) -> None:
    """With `collide`, all texts have one hash."""
    with duckdb.connect() as connection:
        if collide:
            connection.execute("CREATE TEMP MACRO hash(anything) AS 7")
        repeated, frozen, held = plan(connection, rows, limit, count, batch)
        oldest = BacklogCounts(
            rows=0, duplicates=0, excluded=0, over_limit=1, posts=min(limit, len(rows))
        )
        taken = oldest_first(connection, oldest, 1000).read_all().to_pylist()
    flat = [row for shard in held for row in shard]
    assert sorted(flat, key=lambda row: str(row["uri"])) == sorted(
        taken, key=lambda row: row["uri"]
    ), "the limit takes the oldest posts, whatever their text"
    assert all(held)
    of_run = copies_in(taken)
    groups = Counter(dict.fromkeys(of_run.values(), 1)) + Counter(of_run.values())
    assert (repeated.texts, repeated.posts, repeated.largest) == (
        len(groups),
        groups.total(),
        max(groups.values(), default=0),
    )
    smallest = len(flat) // max(len(held), 1)
    for shard, content in zip(frozen, held, strict=True):
        copies = copies_in(content)
        assert shard.copies == len(copies)
        times = [row["preprocessing_timestamp"] for row in content]
        assert (shard.min_preprocessing_timestamp, shard.max_preprocessing_timestamp) == tuple(
            time.isoformat() for time in (min(times), max(times)) if isinstance(time, datetime)
        )
        asked = {row["uri"] for row in content} - copies.keys()
        cut = asked & of_run.keys()
        assert all(groups[of_run[str(uri)]] > smallest for uri in cut), "only long texts are cut"
    firsts = [row for row in flat if row["uri"] not in of_run]
    assert firsts == [row for row in taken if row["uri"] not in of_run]
    asked_again = sum(shard.posts - shard.copies for shard in frozen) - len(firsts)
    if all(posts <= smallest for posts in groups.values()):
        assert asked_again == repeated.asked_again == 0


def test_a_text_with_more_posts_than_a_shard_is_asked_about_in_each() -> None:
    rows = [(0, 0, False)] * 20 + [(1, 1, False)] * 3
    with duckdb.connect() as connection:
        repeated, frozen, _ = plan(connection, rows, 99, 5, 4)
    assert (repeated.texts, repeated.posts, repeated.largest) == (2, 23, 20)
    assert repeated.asked_again == 4
    assert max(shard.posts for shard in frozen) < 2 * 5
    assert sum(shard.posts - shard.copies for shard in frozen) == 5


def test_the_first_request_is_about_different_texts() -> None:
    rows = [(0, 0, False), (0, 1, False), (1, 2, False)]
    with duckdb.connect() as connection:
        plan(connection, rows, 9, 1, 9)
        counts = BacklogCounts(rows=3, duplicates=0, excluded=0, over_limit=0, posts=3)
        first = first_to_send(connection, counts, MIN_LENGTH, most=2, but=repeated_texts.COPY)
    assert [post.text for post in first] == [TEXTS[0], TEXTS[1]]
