from pathlib import Path

import pytest

from pipeline.backlog import sources
from pipeline.backlog.sources import Kind
from pipeline.errors import InputError
from tests.pipeline.backlog.source_files import (
    STAMP,
    configured,
    csv_file,
    duckdb_file,
    found,
    json_lines_file,
    parquet_file,
    sqlite_file,
)

ROWS = [("u1", "hello", STAMP)]


def refusal(source: Path | str, *folders: Path) -> str:
    with pytest.raises(InputError) as refused:
        sources.find(configured(source), folders or (Path.cwd(),))
    return str(refused.value)


def test_a_kind_is_known_by_content_where_the_name_says_another(tmp_path: Path) -> None:
    paths = {
        Kind.SQLITE: sqlite_file(tmp_path / "a.csv", ROWS),
        Kind.DUCKDB: duckdb_file(tmp_path / "b.db", ROWS),
        Kind.PARQUET: parquet_file(tmp_path / "c.bin", ROWS),
    }
    assert {kind: found(path).kind for kind, path in paths.items()} == {k: k for k in paths}


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.csv", Kind.CSV),
        ("a.TSV", Kind.CSV),
        ("a.csv.gz", Kind.CSV),
        ("a.jsonl", Kind.JSON_LINES),
        ("a.ndjson", Kind.JSON_LINES),
        ("a.json.zst", Kind.JSON_LINES),
    ],
)
def test_a_text_file_is_known_by_its_suffix(tmp_path: Path, name: str, kind: Kind) -> None:
    (tmp_path / name).write_bytes(b"x")
    assert found(tmp_path / name).kind is kind


def test_a_file_of_no_known_kind_is_refused_with_what_would_be_known(tmp_path: Path) -> None:
    for name in ("posts.txt", "posts.parquet"):
        (tmp_path / name).write_text("hello")
        assert refusal(tmp_path / name) == (
            f"backlog.source: {tmp_path / name} is not a SQLite, DuckDB or Parquet file, and its "
            "name does not end in .csv, .tsv, .jsonl, .ndjson or .json"
        )


def test_a_source_is_looked_for_in_each_folder_in_turn(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    in_second = csv_file(second / "posts.csv", ROWS)
    wanted = configured("posts.csv")
    assert sources.find(wanted, (first, second)).files == (in_second,)
    in_first = csv_file(first / "posts.csv", ROWS)
    assert sources.find(wanted, (first, second)).files == (in_first,)


def test_nothing_found_names_every_place_that_was_tried_once(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    assert refusal("no.csv", first, second, first) == (
        f"backlog.source: there is nothing at {first / 'no.csv'} or {second / 'no.csv'}"
    )


def test_a_folder_gives_its_posts_files_at_any_depth_in_the_order_of_their_names(
    tmp_path: Path,
) -> None:
    late = parquet_file(tmp_path / "d=2" / "p.parquet", ROWS)
    early = parquet_file(tmp_path / "d=1" / "p.parquet", ROWS)
    (tmp_path / "README.md").write_text("not posts")
    source = found(tmp_path)
    assert source.files == (early, late)
    assert str(source) == f"{tmp_path} (2 files)"


def test_a_folder_of_databases_gives_its_databases(tmp_path: Path) -> None:
    databases = tuple(sqlite_file(tmp_path / name, ROWS) for name in ("a.db", "b.sqlite"))
    assert found(tmp_path).files == databases


def test_hidden_and_unfinished_files_of_a_folder_are_no_posts(tmp_path: Path) -> None:
    posts = csv_file(tmp_path / "a.csv", ROWS)
    for hidden in (
        ".b.csv",
        "_c.csv",
        ".ipynb_checkpoints/a-checkpoint.csv",
        "_temporary/0/part.csv",
    ):
        csv_file(tmp_path / hidden, ROWS)
    assert found(tmp_path).files == (posts,)


def test_a_folder_may_itself_lie_in_a_hidden_one(tmp_path: Path) -> None:
    posts = csv_file(tmp_path / ".data" / "day" / "a.csv", ROWS)
    assert found(tmp_path / ".data").files == (posts,)


def test_a_glob_takes_what_it_names(tmp_path: Path) -> None:
    wanted = csv_file(tmp_path / "2024-05" / "a.csv", ROWS)
    csv_file(tmp_path / "2023-12" / "a.csv", ROWS)
    assert found(tmp_path / "2024-*" / "*.csv").files == (wanted,)
    assert found(tmp_path / "**" / "*.csv").files == (tmp_path / "2023-12" / "a.csv", wanted)


def test_linked_folders_are_followed_and_no_file_is_taken_twice(tmp_path: Path) -> None:
    """pathlib's `**` passes links by before Python 3.13: their posts would be missing unnoticed."""
    backlog, elsewhere = tmp_path / "backlog", tmp_path / "elsewhere"
    here = csv_file(backlog / "a.csv", ROWS)
    csv_file(elsewhere / "b.csv", ROWS)
    (backlog / "linked").symlink_to(elsewhere)
    (backlog / "loop").symlink_to(backlog)
    (backlog / "z.csv").symlink_to(here)
    files = (here, backlog / "linked" / "b.csv")
    assert found(backlog).files == files
    assert found(backlog / "**" / "*.csv").files == files


def test_a_glob_is_taken_from_a_folder_whose_own_name_looks_like_one(tmp_path: Path) -> None:
    folder = tmp_path / "posts [old]"
    posts = csv_file(folder / "days" / "a.csv", ROWS)
    assert sources.find(configured("days/*.csv"), (folder,)).files == (posts,)
    assert sources.find(configured("days"), (folder,)).files == (posts,)


def test_mixed_kinds_are_refused_with_one_of_each(tmp_path: Path) -> None:
    csv_file(tmp_path / "a.csv", ROWS)
    json_lines_file(tmp_path / "b.jsonl", ROWS)
    assert refusal(tmp_path) == (
        f"backlog.source: {tmp_path} mixes kinds: {tmp_path / 'a.csv'} is CSV, "
        f"{tmp_path / 'b.jsonl'} is JSON Lines; name one kind with a glob such as "
        f"{tmp_path}/*.parquet"
    )
