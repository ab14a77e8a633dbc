"""The posts that will not be sent are counted before a run, by the same rules as in its tasks."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.backlog import select
from pipeline.backlog.select import BacklogCounts
from pipeline.backlog.unsent import UnsentPosts, find_unsent, first_to_send
from pipeline.model import Post
from pipeline.short_text import BLANK, is_too_short
from tests.pipeline.backlog.source_files import STAMP, Row, find, parquet_file

ROWS: list[Row] = [
    ("u6", "what a fine day", "2024-06-06"),
    ("u5", None, "2024-06-05"),
    ("u4", "meh", "2024-06-04"),
    ("u3", "another fine day", "2024-06-03"),
    ("u2", None, "2024-06-02"),
    ("u1", "", "2024-06-01"),
]


def plan(
    path: Path, limit: int | None = None, min_text_length: int = 5
) -> tuple[tuple[UnsentPosts, ...], tuple[Post, ...]]:
    with tempfile.TemporaryDirectory() as folder, select.staging(Path(folder)) as connection:
        counts = select.stage_posts(connection, find(path), exclude=None, limit=limit)
        return (
            find_unsent(connection, counts, min_text_length),
            first_to_send(connection, counts, min_text_length),
        )


def test_posts_that_are_not_sent_are_counted_by_reason_with_the_oldest_of_each(
    tmp_path: Path,
) -> None:
    assert plan(parquet_file(tmp_path / "posts.parquet", ROWS)) == (
        (
            UnsentPosts(reason="no_text", posts=2, uri="u2"),
            UnsentPosts(reason="text_too_short", posts=2, uri="u1"),
        ),
        (Post("u3", "another fine day"),),
    )


def test_only_the_posts_within_the_limit_are_counted(tmp_path: Path) -> None:
    path = parquet_file(tmp_path / "posts.parquet", ROWS)
    assert plan(path, limit=2) == (
        (
            UnsentPosts(reason="no_text", posts=1, uri="u2"),
            UnsentPosts(reason="text_too_short", posts=1, uri="u1"),
        ),
        (),
    )


def test_without_a_least_length_only_posts_without_text_are_not_sent(tmp_path: Path) -> None:
    path = parquet_file(tmp_path / "posts.parquet", ROWS)
    assert plan(path, min_text_length=0) == (
        (UnsentPosts(reason="no_text", posts=2, uri="u2"),),
        (Post("u1", ""),),
    )


def test_a_text_that_can_be_sent_leaves_nothing_to_report(tmp_path: Path) -> None:
    path = parquet_file(tmp_path / "posts.parquet", [("u1", "what a fine day", STAMP)])
    assert plan(path) == ((), (Post("u1", "what a fine day"),))
    assert plan(parquet_file(tmp_path / "none.parquet", [])) == ((), ())


def too_short_for_duckdb(texts: Sequence[str], min_text_length: int) -> int:
    """How many of the texts are counted as too short."""
    counts = BacklogCounts(
        rows=len(texts), duplicates=0, excluded=0, over_limit=0, posts=len(texts)
    )
    with duckdb.connect() as connection:
        connection.execute(
            "CREATE TABLE staged AS SELECT 'u' AS uri, unnest(?::VARCHAR[]) AS text, "
            "NULL::VARCHAR AS reason, now()::TIMESTAMP AS preprocessing_timestamp",
            [list(texts)],
        )
        return sum(each.posts for each in find_unsent(connection, counts, min_text_length))


PIECES = st.sampled_from([*BLANK, *"aé😀\u0301\x00'\u3001", "\u200d", "hello", "  "])


@settings(deadline=None, max_examples=40)
@given(st.lists(st.lists(PIECES, max_size=9).map("".join), max_size=40), st.integers(0, 7))
def test_the_plan_and_the_task_agree_on_what_is_too_short(
    texts: list[str], min_text_length: int
) -> None:
    assert too_short_for_duckdb(texts, min_text_length) == sum(
        is_too_short(text, min_text_length) for text in texts
    )


@pytest.mark.parametrize("min_text_length", [1, 2, 5])
def test_a_text_is_too_short_up_to_its_last_visible_character(min_text_length: int) -> None:
    texts = [f" {'a' * count}\u200b\n" for count in range(8)]
    assert too_short_for_duckdb(texts, min_text_length) == min_text_length
