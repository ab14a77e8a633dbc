"""A backlog's files are found, and their kind is recognized."""

from pathlib import Path

import pytest

from pipeline.backlog import sources
from pipeline.backlog.sources import SourceKind
from tests.pipeline.backlog.source_files import (
    STAMP,
    configured,
    csv_file,
    duckdb_file,
    find,
    parquet_file,
    sqlite_file,
)

ROWS = [("u1", "hello", STAMP)]


def test_content_decides_the_kind_of_a_file_with_a_misleading_name(tmp_path: Path) -> None:
    paths = {
        SourceKind.SQLITE: sqlite_file(tmp_path / "a.csv", ROWS),
        SourceKind.DUCKDB: duckdb_file(tmp_path / "b.db", ROWS),
        SourceKind.PARQUET: parquet_file(tmp_path / "c.bin", ROWS),
    }
    assert {kind: find(path).kind for kind, path in paths.items()} == {k: k for k in paths}


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.csv", SourceKind.CSV),
        ("a.TSV", SourceKind.CSV),
        ("a.csv.gz", SourceKind.CSV),
        ("a.jsonl", SourceKind.JSON_LINES),
        ("a.ndjson", SourceKind.JSON_LINES),
        ("a.json.zst", SourceKind.JSON_LINES),
    ],
)
def test_the_suffix_decides_the_kind_of_a_text_file(
    tmp_path: Path, name: str, kind: SourceKind
) -> None:
    (tmp_path / name).write_bytes(b"x")
    assert find(tmp_path / name).kind is kind


def test_a_relative_source_is_searched_for_in_each_folder_in_turn(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    in_second = csv_file(second / "posts.csv", ROWS)
    wanted = configured("posts.csv")
    assert sources.find_source(wanted, (first, second)).files == (in_second,)
    in_first = csv_file(first / "posts.csv", ROWS)
    assert sources.find_source(wanted, (first, second)).files == (in_first,)


def test_a_folder_stands_for_its_files_at_any_depth_sorted_by_name(
    tmp_path: Path,
) -> None:
    late = parquet_file(tmp_path / "d=2" / "p.parquet", ROWS)
    early = parquet_file(tmp_path / "d=1" / "p.parquet", ROWS)
    (tmp_path / "README.md").write_text("not posts")
    source = find(tmp_path)
    assert source.files == (early, late)
    assert str(source) == f"{tmp_path} (2 files)"


def test_a_folder_of_databases_stands_for_its_databases(tmp_path: Path) -> None:
    databases = tuple(sqlite_file(tmp_path / name, ROWS) for name in ("a.db", "b.sqlite"))
    assert find(tmp_path).files == databases


def test_hidden_and_unfinished_files_of_a_folder_are_ignored(tmp_path: Path) -> None:
    posts = csv_file(tmp_path / "a.csv", ROWS)
    for hidden in (
        ".b.csv",
        "_c.csv",
        ".ipynb_checkpoints/a-checkpoint.csv",
        "_temporary/0/part.csv",
    ):
        csv_file(tmp_path / hidden, ROWS)
    assert find(tmp_path).files == (posts,)


def test_a_folder_may_be_inside_a_hidden_one(tmp_path: Path) -> None:
    posts = csv_file(tmp_path / ".data" / "day" / "a.csv", ROWS)
    assert find(tmp_path / ".data").files == (posts,)


def test_a_glob_selects_the_files_that_match(tmp_path: Path) -> None:
    wanted = csv_file(tmp_path / "2024-05" / "a.csv", ROWS)
    csv_file(tmp_path / "2023-12" / "a.csv", ROWS)
    assert find(tmp_path / "2024-*" / "*.csv").files == (wanted,)
    assert find(tmp_path / "**" / "*.csv").files == (tmp_path / "2023-12" / "a.csv", wanted)


def test_linked_folders_are_followed_and_no_file_counts_twice(tmp_path: Path) -> None:
    """pathlib's `**` ignores links before Python 3.13, and their posts would be missing."""
    backlog, elsewhere = tmp_path / "backlog", tmp_path / "elsewhere"
    here = csv_file(backlog / "a.csv", ROWS)
    csv_file(elsewhere / "b.csv", ROWS)
    (backlog / "linked").symlink_to(elsewhere)
    (backlog / "loop").symlink_to(backlog)
    (backlog / "z.csv").symlink_to(here)
    files = (here, backlog / "linked" / "b.csv")
    assert find(backlog).files == files
    assert find(backlog / "**" / "*.csv").files == files


def test_a_folder_whose_name_looks_like_a_glob_can_hold_one(tmp_path: Path) -> None:
    folder = tmp_path / "posts [old]"
    posts = csv_file(folder / "days" / "a.csv", ROWS)
    assert sources.find_source(configured("days/*.csv"), (folder,)).files == (posts,)
    assert sources.find_source(configured("days"), (folder,)).files == (posts,)
