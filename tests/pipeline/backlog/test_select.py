from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.backlog import select
from pipeline.backlog.select import BacklogCounts
from pipeline.errors import InputError
from tests.pipeline.backlog.source_files import (
    NOON,
    ONE,
    STAMP,
    WRITERS,
    found,
    parquet_file,
    sqlite_file,
    staged,
)
from tests.pipeline.conftest import fill


def refusal(*arguments: Any, **options: Any) -> str:
    with pytest.raises(InputError) as refused:
        staged(*arguments, **options)
    return str(refused.value)


@pytest.mark.parametrize("name", WRITERS)
def test_every_kind_of_source_gives_the_same_posts(tmp_path: Path, name: str) -> None:
    rows = [
        ("u3", "third", "2024-05-31T15:00:00+02:00"),
        ("u1", "first", "2024-05-31-12:00:00"),
        ("u4", "a second copy", "2024-05-31-14:00:00"),
        ("u2", None, "2024-05-31T13:00:00Z"),
        ("u4", "the oldest copy", "2024-05-31 13:00:00.25"),
        ("u0", "had", STAMP),
    ]
    source = found(WRITERS[name](tmp_path / name, rows))
    assert staged(source, taken=["u0", "elsewhere"]) == (
        BacklogCounts(rows=6, duplicates=1, taken=1, left_out=0, posts=4),
        [
            ("u1", "first", NOON),
            ("u2", "", ONE),
            ("u3", "third", ONE),
            ("u4", "the oldest copy", ONE + timedelta(milliseconds=250)),
        ],
    )


@pytest.mark.parametrize("name", WRITERS)
def test_a_backlog_without_a_row_is_an_empty_one(tmp_path: Path, name: str) -> None:
    write = WRITERS[name]
    nothing = BacklogCounts(rows=0, duplicates=0, taken=0, left_out=0, posts=0)
    if name != "posts.jsonl.gz":  # compressed, nothing is twenty bytes
        assert staged(found(write(tmp_path / f"empty-{name}", []))) == (nothing, [])
    full = write(tmp_path / name, [("u1", "hello", STAMP)])
    assert staged(found(full, where="uri = 'none'")) == (nothing, [])


@pytest.mark.parametrize("name", WRITERS)
def test_a_post_without_a_uri_is_refused_with_its_row(tmp_path: Path, name: str) -> None:
    rows = [("u1", "a", STAMP), (None, "b", STAMP), ("", "c", STAMP)]
    path = WRITERS[name](tmp_path / name, rows)
    assert refusal(found(path)) == (
        f"{path}, row 2: column 'uri' is null or empty (and 1 more row like it); "
        "every post needs a uri"
    )


@pytest.mark.parametrize("name", WRITERS)
def test_a_bad_row_is_found_in_whichever_file_it_stands(tmp_path: Path, name: str) -> None:
    good = [("u1", "a", STAMP), ("u2", "b", STAMP)]
    WRITERS[name](tmp_path / f"a-{name}", good)
    bad = WRITERS[name](tmp_path / f"b-{name}", [*good, ("u3", "c", "soon"), ("u4", "c", "later")])
    assert refusal(found(tmp_path / f"*{name}")) == (
        f"{bad}, row 3: column 'preprocessing_timestamp' is 'soon', which is no timestamp like "
        "2024-05-31-13:00:00 or ISO 8601 (uri u3) (and 1 more row like it)"
    )


def test_a_bad_row_deep_in_a_file_has_its_own_number(tmp_path: Path) -> None:
    rows = [(f"u{i}", "hello", STAMP) for i in range(300_000)]
    rows[250_000] = ("bad", "hello", "soon")
    path = parquet_file(tmp_path / "posts.parquet", rows)
    assert refusal(found(path)).startswith(f"{path}, row 250001: ")


def test_a_row_that_is_not_taken_again_is_not_held_against_the_source(tmp_path: Path) -> None:
    rows = [("had", "a", "soon"), ("u2", "b", "later"), ("u3", "c", STAMP)]
    path = sqlite_file(tmp_path / "posts.db", rows)
    assert staged(found(path, where="uri <> 'u2'"), taken=["had"])[1] == [("u3", "c", ONE)]
    assert refusal(found(path), taken=["had"]).endswith("or ISO 8601 (uri u2)")


def test_of_copies_the_oldest_is_kept_and_of_equally_old_ones_the_smaller_text(
    tmp_path: Path,
) -> None:
    rows = [
        ("u1", "late", "2024-05-31-14:00:00"),
        ("u1", "b", STAMP),
        ("u1", "a", STAMP),
        ("u2", "same", STAMP),
        ("u2", "same", STAMP),
    ]
    counts, posts = staged(found(parquet_file(tmp_path / "posts.parquet", rows)))
    assert counts == BacklogCounts(rows=5, duplicates=3, taken=0, left_out=0, posts=2)
    assert posts == [("u1", "a", ONE), ("u2", "same", ONE)]


def test_a_limit_takes_the_oldest_posts(tmp_path: Path) -> None:
    rows = [(f"u{i}", "hello", f"2024-05-{31 - i}-13:00:00") for i in range(4)]
    source = found(parquet_file(tmp_path / "posts.parquet", rows))
    counts, posts = staged(source, limit=2)
    assert counts == BacklogCounts(rows=4, duplicates=0, taken=0, left_out=2, posts=2)
    assert [uri for uri, _, _ in posts] == ["u3", "u2"]
    assert staged(source, limit=9)[0] == BacklogCounts(
        rows=4, duplicates=0, taken=0, left_out=0, posts=4
    )
    assert staged(source, limit=0)[1] == []


ROWS = st.lists(
    st.tuples(
        st.sampled_from("abcdefgh"), st.text(max_size=3), st.sampled_from([STAMP, "2024-06-01"])
    ),
    max_size=30,
)


@settings(deadline=None, max_examples=40)
@given(ROWS, st.sets(st.sampled_from("abxy")), st.none() | st.integers(0, 9), st.randoms())
def test_every_row_is_accounted_for_and_their_order_does_not_matter(
    tmp_path_factory: pytest.TempPathFactory,
    rows: list[tuple[str, str, str]],
    taken: set[str],
    limit: int | None,
    random: Any,
) -> None:
    folder = tmp_path_factory.mktemp("rows")
    path = parquet_file(folder / "posts.parquet", rows)
    counts, posts = staged(found(path), taken=sorted(taken), limit=limit)
    fresh = {uri for uri, _, _ in rows} - taken
    assert counts.rows == len(rows)
    assert counts.taken == sum(uri in taken for uri, _, _ in rows)
    assert counts.posts + counts.left_out == len(fresh)
    assert counts.rows == counts.posts + counts.duplicates + counts.taken + counts.left_out
    assert posts == sorted(posts, key=lambda post: (post[2], post[0]))
    assert len({uri for uri, _, _ in posts}) == len(posts) == counts.posts
    assert all(text in [t for u, t, _ in rows if u == uri] for uri, text, _ in posts)
    shuffled = random.sample(rows, len(rows))
    again = parquet_file(folder / "again.parquet", shuffled)
    assert staged(found(again), taken=sorted(taken), limit=limit) == (counts, posts)


def test_a_full_disk_is_not_blamed_on_the_source(small_disk: Path, tmp_path: Path) -> None:
    rows = [(f"u{i:06}", f"{i * 7919}" * 9, STAMP) for i in range(60_000)]
    source = found(parquet_file(tmp_path / "posts.parquet", rows))
    fill(small_disk, leaving=500_000)
    with (
        pytest.raises(OSError, match="No space left for planning"),
        select.staging(small_disk) as connection,
    ):
        select.stage(connection, source, taken=None)
