"""A run takes the unlabeled posts of its backlog, oldest first, each uri once."""

import errno
import os
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.backlog import select
from pipeline.backlog.select import BacklogCounts
from tests.pipeline.backlog.source_files import (
    NOON,
    ONE,
    STAMP,
    WRITERS,
    find,
    parquet_file,
    rejection,
    sqlite_file,
    stage,
    stage_reasons,
)
from tests.pipeline.conftest import fill


@pytest.mark.parametrize("name", WRITERS)
def test_every_kind_of_source_yields_the_same_posts(tmp_path: Path, name: str) -> None:
    rows = [
        ("u3", "third", "2024-05-31T15:00:00+02:00"),
        ("u1", "first", "2024-05-31-12:00:00"),
        ("u4", "a second copy", "2024-05-31-14:00:00"),
        ("u2", None, "2024-05-31T13:00:00Z"),
        ("u4", "the oldest copy", "2024-05-31 13:00:00.25"),
        ("u0", "had", STAMP),
    ]
    source = find(WRITERS[name](tmp_path / name, rows))
    assert stage(source, exclude=["u0", "elsewhere"]) == (
        BacklogCounts(rows=6, duplicates=1, excluded=1, over_limit=0, posts=4),
        [
            ("u1", "first", NOON),
            ("u2", "", ONE),
            ("u3", "third", ONE),
            ("u4", "the oldest copy", ONE + timedelta(milliseconds=250)),
        ],
    )


@pytest.mark.parametrize("name", WRITERS)
def test_a_null_text_is_no_text_and_an_empty_text_is_a_text(tmp_path: Path, name: str) -> None:
    rows = [("null", None, STAMP), ("empty", "", STAMP), ("word", "hello", STAMP)]
    # A CSV file cannot tell an empty field from none.
    reason = None if ".csv" in name else "no_text"
    assert stage_reasons(find(WRITERS[name](tmp_path / name, rows))) == {
        "null": ("", reason),
        "empty": ("", None),
        "word": ("hello", None),
    }


def test_a_line_of_json_without_the_key_is_a_post_without_text(tmp_path: Path) -> None:
    path = tmp_path / "posts.jsonl"
    stamp = f'"preprocessing_timestamp": "{STAMP}"'
    path.write_text(f'{{"uri": "absent", {stamp}}}\n{{"uri": "word", "text": "hello", {stamp}}}\n')
    assert stage_reasons(find(path)) == {"absent": ("", "no_text"), "word": ("hello", None)}


@pytest.mark.parametrize("name", ["posts.db", "posts.duckdb", "posts.parquet", "posts.jsonl"])
def test_a_copy_with_a_text_is_kept_rather_than_an_older_one_without(
    tmp_path: Path, name: str
) -> None:
    rows = [
        ("u1", None, STAMP),
        ("u1", "later", "2024-06-01"),
        ("u1", "last", "2024-06-02"),
        ("u2", None, STAMP),
        ("u2", None, "2024-06-01"),
        ("u3", "", STAMP),
        ("u3", "later", "2024-06-01"),
    ]
    source = find(WRITERS[name](tmp_path / name, rows))
    assert stage_reasons(source) == {
        "u1": ("later", None),
        "u2": ("", "no_text"),
        "u3": ("", None),
    }


@pytest.mark.parametrize("name", WRITERS)
def test_a_backlog_may_be_empty(tmp_path: Path, name: str) -> None:
    write = WRITERS[name]
    nothing = BacklogCounts(rows=0, duplicates=0, excluded=0, over_limit=0, posts=0)
    if name != "posts.jsonl.gz":  # compressed, nothing is twenty bytes
        assert stage(find(write(tmp_path / f"empty-{name}", []))) == (nothing, [])
    full = write(tmp_path / name, [("u1", "hello", STAMP)])
    assert stage(find(full, where="uri = 'none'")) == (nothing, [])


def test_a_bad_row_far_into_a_file_is_reported_with_its_own_number(tmp_path: Path) -> None:
    rows = [(f"u{i}", "hello", STAMP) for i in range(300_000)]
    rows[250_000] = ("bad", "hello", "soon")
    path = parquet_file(tmp_path / "posts.parquet", rows)
    assert rejection(path).startswith(f"{path}, row 250001: ")


def test_a_bad_row_that_is_left_out_anyway_is_no_reason_to_reject_the_source(
    tmp_path: Path,
) -> None:
    rows = [("had", "a", "soon"), ("u2", "b", "later"), ("u3", "c", STAMP)]
    path = sqlite_file(tmp_path / "posts.db", rows)
    assert stage(find(path, where="uri <> 'u2'"), exclude=["had"])[1] == [("u3", "c", ONE)]
    assert "or ISO 8601 (uri u2); " in rejection(path, exclude=["had"])


def test_the_oldest_copy_of_a_uri_is_kept_and_in_a_tie_the_smaller_text(
    tmp_path: Path,
) -> None:
    rows = [
        ("u1", "late", "2024-05-31-14:00:00"),
        ("u1", "b", STAMP),
        ("u1", "a", STAMP),
        ("u2", "same", STAMP),
        ("u2", "same", STAMP),
    ]
    counts, posts = stage(find(parquet_file(tmp_path / "posts.parquet", rows)))
    assert counts == BacklogCounts(rows=5, duplicates=3, excluded=0, over_limit=0, posts=2)
    assert posts == [("u1", "a", ONE), ("u2", "same", ONE)]


def test_a_limit_keeps_the_oldest_posts(tmp_path: Path) -> None:
    rows = [(f"u{i}", "hello", f"2024-05-{31 - i}-13:00:00") for i in range(4)]
    source = find(parquet_file(tmp_path / "posts.parquet", rows))
    counts, posts = stage(source, limit=2)
    assert counts == BacklogCounts(rows=4, duplicates=0, excluded=0, over_limit=2, posts=2)
    assert [uri for uri, _, _ in posts] == ["u3", "u2"]
    assert stage(source, limit=9)[0] == BacklogCounts(
        rows=4, duplicates=0, excluded=0, over_limit=0, posts=4
    )
    assert stage(source, limit=0)[1] == []


ROWS = st.lists(
    st.tuples(
        st.sampled_from("abcdefgh"),
        st.none() | st.text(max_size=3),
        st.sampled_from([STAMP, "2024-06-01"]),
    ),
    max_size=30,
)


@settings(deadline=None, max_examples=20)
@given(ROWS, st.sets(st.sampled_from("abxy")), st.none() | st.integers(0, 9), st.randoms())
def test_every_row_is_accounted_for_in_any_order(
    tmp_path_factory: pytest.TempPathFactory,
    rows: list[tuple[str, str | None, str]],
    excluded: set[str],
    limit: int | None,
    random: Any,
) -> None:
    folder = tmp_path_factory.mktemp("rows")
    path = parquet_file(folder / "posts.parquet", rows)
    counts, posts = stage(find(path), exclude=sorted(excluded), limit=limit)
    fresh = {uri for uri, _, _ in rows} - excluded
    assert counts.rows == len(rows)
    assert counts.excluded == sum(uri in excluded for uri, _, _ in rows)
    assert counts.posts + counts.over_limit == len(fresh)
    assert counts.rows == counts.posts + counts.duplicates + counts.excluded + counts.over_limit
    assert posts == sorted(posts, key=lambda post: (post[2], post[0]))
    assert len({uri for uri, _, _ in posts}) == len(posts) == counts.posts
    assert all(text in [t or "" for u, t, _ in rows if u == uri] for uri, text, _ in posts)
    reasons = stage_reasons(find(path))
    assert {uri for uri, (_, reason) in reasons.items() if reason} == {
        uri for uri, _, _ in rows if all(t is None for u, t, _ in rows if u == uri)
    }
    shuffled = random.sample(rows, len(rows))
    again = parquet_file(folder / "again.parquet", shuffled)
    assert stage(find(again), exclude=sorted(excluded), limit=limit) == (counts, posts)


@pytest.mark.parametrize("name", WRITERS)
def test_every_late_post_is_counted_once_whatever_the_kind_of_source(
    tmp_path: Path, name: str
) -> None:
    rows = [
        ("late", "a", "0001-01-01"),
        ("late", "its copy", "2024-05-30"),
        ("labeled", "b", "2024-05-01"),
        ("has a copy since", "c", "2024-05-01"),
        ("has a copy since", "d", "2024-06-01"),
        ("new", "e", "2099-01-01"),
    ]
    source = find(WRITERS[name](tmp_path / name, rows))
    counts, posts = stage(source, exclude=["labeled"], since=datetime(2024, 5, 31))
    assert counts == BacklogCounts(rows=6, duplicates=2, excluded=1, older=1, over_limit=0, posts=2)
    assert [uri for uri, _, _ in posts] == ["has a copy since", "new"]


@pytest.mark.parametrize("name", WRITERS)
def test_a_large_source_is_read_from_the_watermark_on_and_says_how_much_it_left_out(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.backlog.scan.ROWS_TO_READ_ANYWAY", 2)
    rows = [(f"u{day}", "hello", f"2024-05-0{day}") for day in range(1, 6)]
    counts, _ = stage(find(WRITERS[name](tmp_path / name, rows)), since=datetime(2024, 5, 5))
    # The watermark's day before is always read. Text files are read whole anyway.
    is_text = name.startswith(("posts.csv", "posts.jsonl"))
    assert (counts.rows, counts.unread, counts.older) == ((5, 0, 4) if is_text else (2, 3, 1))
    few, _ = stage(
        find(WRITERS[name](tmp_path / f"few-{name}", rows[2:])), since=datetime(2024, 5, 5)
    )
    assert (few.rows, few.unread, few.older) == (3, 0, 2)


def test_the_watermark_may_be_the_first_day_of_all(tmp_path: Path) -> None:
    source = find(parquet_file(tmp_path / "posts.parquet", [("u1", "hello", STAMP)]))
    assert stage(source, since=datetime(1, 1, 1))[0].posts == 1


def test_a_full_disk_is_not_blamed_on_the_source(small_disk: Path, tmp_path: Path) -> None:
    rows = [(f"u{i:06}", f"{i * 7919}" * 9, STAMP) for i in range(60_000)]
    source = find(parquet_file(tmp_path / "posts.parquet", rows))
    fill(small_disk, leaving=500_000)
    with (
        pytest.raises(OSError, match=os.strerror(errno.ENOSPC)),
        select.staging(small_disk) as connection,
    ):
        select.stage_posts(connection, source, exclude=None)
