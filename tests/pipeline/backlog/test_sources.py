"""A backlog's files are found, and their kind is recognized."""

import json
import zipfile
from pathlib import Path

import pytest

from pipeline.backlog import sources
from pipeline.backlog.file_formats import SourceKind
from pipeline.backlog.left_out import LeftOut, WhyLeftOut
from pipeline.config.sections import SOURCE_COLUMNS
from pipeline.errors import InputError
from tests.pipeline.backlog.source_files import (
    STAMP,
    configured,
    csv_file,
    duckdb_file,
    find,
    json_lines_file,
    parquet_file,
    sqlite_file,
    stage,
)

ROWS = [("u1", "hello", STAMP)]


def test_content_decides_the_kind_of_a_file_with_a_misleading_name(tmp_path: Path) -> None:
    paths = {
        SourceKind.SQLITE: sqlite_file(tmp_path / "a.csv", ROWS),
        SourceKind.DUCKDB: duckdb_file(tmp_path / "b.db", ROWS),
        SourceKind.PARQUET: parquet_file(tmp_path / "c.bin", ROWS),
    }
    assert [find(path).kinds for path in paths.values()] == [(kind,) for kind in paths]


def test_files_are_recognized_whatever_they_are_called(tmp_path: Path) -> None:
    paths = [
        json_lines_file(tmp_path / "a.jsonl.1", ROWS),
        json_lines_file(tmp_path / "B.JSONL.GZ", ROWS),
        json_lines_file(tmp_path / "part-00001", ROWS),
        json_lines_file(tmp_path / "posts.txt", ROWS),
        json_lines_file(tmp_path / "posts.jsonl.bak", ROWS),
    ]
    (tmp_path / "README.md").write_text("# Posts\n\nOne a line.\n")
    source = find(tmp_path)
    assert source.kinds == (SourceKind.JSON_LINES,)
    assert source.files == tuple(sorted(paths))
    assert [each.path.name for each in source.left_out] == ["README.md"]


@pytest.mark.parametrize("name", ["b.parquet.gzip", "c.pq", "d.PARQ", "part-00001", "x.txt"])
def test_parquet_is_recognized_whatever_it_is_called(tmp_path: Path, name: str) -> None:
    first = parquet_file(tmp_path / "a.parquet", ROWS)
    second = parquet_file(tmp_path / name, [("u2", "hello", STAMP)])
    source = find(tmp_path)
    assert source.files == tuple(sorted([first, second]))
    assert len(stage(source)[1]) == 2


def test_each_table_of_text_is_read_with_its_own_delimiter(tmp_path: Path) -> None:
    delimiters = {"a.csv": ",", "b.tsv": "\t", "c.csv": ";", "d.txt": "|", "e.csv": "\t"}
    for name, delimiter in delimiters.items():
        csv_file(tmp_path / name, [(name, "one, two; three", STAMP)], delimiter=delimiter)
    source = find(tmp_path)
    assert {file.path.name: file.format.delimiter for file in source.source_files} == delimiters
    assert [row[:2] for row in stage(source)[1]] == [
        (name, "one, two; three") for name in delimiters
    ]


def test_files_of_zero_bytes_are_counted_and_nothing_else(tmp_path: Path) -> None:
    posts = parquet_file(tmp_path / "a.parquet", ROWS)
    for name in ("b.parquet", "c.csv", "d.db", "e", "f.jsonl"):
        (tmp_path / name).touch()
    source = find(tmp_path)
    assert source.files == (posts,)
    assert {each.path.name: each.why for each in source.left_out} == dict.fromkeys(
        ("b.parquet", "c.csv", "d.db", "e", "f.jsonl"), WhyLeftOut.EMPTY
    )


@pytest.mark.parametrize("name", ["a.parquet", "a.csv", "a.db", "a.jsonl"])
def test_a_source_of_empty_files_has_no_posts(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    for source in (find(tmp_path), find(tmp_path / name), find(tmp_path / "*")):
        counts, posts = stage(source)
        assert (source.files, counts.rows, posts) == ((), 0, [])


def test_data_that_is_not_read_is_an_error_unless_it_is_ignored(tmp_path: Path) -> None:
    posts = csv_file(tmp_path / "a.csv", ROWS)
    other = tmp_path / "old" / "b.zip"
    other.parent.mkdir()
    with zipfile.ZipFile(other, "w") as archive:
        archive.write(posts, "a.csv")
    for source in (tmp_path, tmp_path / "**" / "*"):
        with pytest.raises(InputError, match=str(other)):
            find(source)
        for pattern in ("old", "old/*", "**/*.zip", "old/b.zip"):
            kept = find(source, ignore=(pattern,))
            assert kept.files == (posts,)
            assert kept.left_out == (LeftOut(path=other, why=WhyLeftOut.IGNORED),)
            assert kept.notes == ()
        with pytest.raises(InputError, match=str(other)):
            find(source, ignore=("*.zip",))


def test_a_pattern_that_ignores_nothing_is_noted(tmp_path: Path) -> None:
    csv_file(tmp_path / "a.csv", ROWS)
    assert [len(find(tmp_path, ignore=globs).notes) for globs in [(), ("*.zip",)]] == [0, 1]


def test_files_of_several_kinds_are_read_together(tmp_path: Path) -> None:
    csv_file(tmp_path / "a.csv", [("csv", "a fine day", STAMP), ("dull", "rain", STAMP)])
    json_lines_file(tmp_path / "b.jsonl", [("lines", "a fine day", STAMP)])
    (tmp_path / "c.json").write_text(
        json.dumps([dict(zip(SOURCE_COLUMNS, ("array", "a fine day", STAMP), strict=True))])
    )
    parquet_file(tmp_path / "d.parquet", [("parquet", "a fine day", STAMP)])
    csv_file(tmp_path / "e.tsv", [("tabs", "a fine day", STAMP)], delimiter="\t")
    source = find(tmp_path, where="text LIKE '%fine%'")
    assert source.kinds == (SourceKind.PARQUET, SourceKind.CSV, SourceKind.JSON_LINES)
    counts, posts = stage(source)
    assert counts.rows == 5
    assert [post[0] for post in posts] == ["array", "csv", "lines", "parquet", "tabs"]


def test_bytes_that_are_not_text_are_set_aside_in_each_kind(tmp_path: Path) -> None:
    header = ",".join(SOURCE_COLUMNS).encode()
    (tmp_path / "a.csv").write_bytes(header + b"\nbad,caf\xe9 au lait," + STAMP.encode() + b"\n")
    line = json.dumps(dict(zip(SOURCE_COLUMNS, ("worse", "caf?", STAMP), strict=True)))
    (tmp_path / "b.jsonl").write_bytes(line.encode().replace(b"?", b"\xe9"))
    parquet_file(tmp_path / "c.parquet", [("good", "a fine day", STAMP)])
    counts, posts = stage(find(tmp_path))
    assert (counts.rows, sorted(post[0] for post in posts)) == (3, ["bad", "good", "worse"])


@pytest.mark.parametrize("beside", ["a.csv", "posts.jsonl", "z.parquet", "z.duckdb"])
def test_a_database_beside_other_files_is_rejected(tmp_path: Path, beside: str) -> None:
    write = {".csv": csv_file, ".jsonl": json_lines_file, ".parquet": parquet_file}
    write.get(Path(beside).suffix, duckdb_file)(tmp_path / beside, ROWS)
    database = sqlite_file(tmp_path / "b.db", ROWS)
    with pytest.raises(InputError, match=str(database)):
        find(tmp_path)
    assert find(tmp_path, ignore=(beside,)).files == (database,)
    assert find(tmp_path, ignore=("*.db",)).files == (tmp_path / beside,)


def test_what_a_database_lies_beside_can_be_read_by_a_glob(tmp_path: Path) -> None:
    csv_file(tmp_path / "a.csv", ROWS)
    sqlite_file(tmp_path / "b.db", ROWS)
    assert find(tmp_path, ignore=("*.db",)).kinds == (SourceKind.CSV,)
    assert find(tmp_path / "*.db").kinds == (SourceKind.SQLITE,)


def test_a_folder_without_data_is_passed_over_for_the_next(tmp_path: Path) -> None:
    (tmp_path / "first" / "posts").mkdir(parents=True)
    (tmp_path / "first" / "posts" / "README.md").write_text("nothing yet\n")
    posts = csv_file(tmp_path / "second" / "posts" / "a.csv", ROWS)
    folders = (tmp_path / "first", tmp_path / "second")
    assert sources.find_source(configured("posts"), folders).files == (posts,)


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
