"""Folder names serve `where` only, and never replace what a file holds."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.errors import InputError
from tests.pipeline.backlog.source_files import (
    ONE,
    STAMP,
    WRITERS,
    csv_file,
    find,
    json_lines_file,
    parquet_file,
    stage,
)

FILES = ("posts.parquet", "posts.csv", "posts.jsonl", "posts.csv.gz", "posts.jsonl.gz")
POST = ("u1", "hello", STAMP)


def uris(path: Path, where: str) -> list[str]:
    return [uri for uri, *_ in stage(find(path, where=where))[1]]


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("folder", ["uri=x", "TEXT=x", "a=1/preprocessing_timestamp=2024-05-30/b"])
@pytest.mark.parametrize("is_single", [True, False])
def test_a_folder_called_like_a_column_is_rejected(
    tmp_path: Path, name: str, folder: str, is_single: bool
) -> None:
    (tmp_path / folder).mkdir(parents=True)
    path = WRITERS[name](tmp_path / folder / name, [POST])
    with pytest.raises(InputError):
        stage(find(path if is_single else tmp_path))


@pytest.mark.parametrize("name", FILES)
def test_a_folder_called_like_no_column_that_is_used_changes_nothing(
    tmp_path: Path, name: str
) -> None:
    for folder in ("likes=3", "year=2024/month=05", "."):
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
        WRITERS[name](tmp_path / folder / name, [(folder, "hello", STAMP)])
    assert stage(find(tmp_path))[1] == [
        (folder, "hello", ONE) for folder in (".", "likes=3", "year=2024/month=05")
    ]


@pytest.mark.parametrize("name", FILES)
def test_where_can_use_folders_that_only_some_files_are_in(tmp_path: Path, name: str) -> None:
    for folder in ("year=2023", "year=2024/month=05", "year=__HIVE_DEFAULT_PARTITION__", "other"):
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
        WRITERS[name](tmp_path / folder / name, [(folder, "hello", STAMP)])
    assert uris(tmp_path, "year >= 2024") == ["year=2024/month=05"]
    assert uris(tmp_path, "Month = 5 OR year = 2023") == ["year=2023", "year=2024/month=05"]
    assert uris(tmp_path, "year IS NULL") == ["other", "year=__HIVE_DEFAULT_PARTITION__"]


def test_a_folder_called_like_a_column_that_where_uses_is_rejected(tmp_path: Path) -> None:
    folder = tmp_path / "Likes=3"
    folder.mkdir()
    (folder / "a.csv").write_text(f"uri,text,preprocessing_timestamp,likes\nu,hello,{STAMP},9\n")
    assert len(stage(find(tmp_path))[1]) == 1
    with pytest.raises(InputError):
        stage(find(tmp_path, where="likes = '9'"))


@pytest.mark.parametrize("name", FILES)
def test_where_can_use_the_path_of_the_file(tmp_path: Path, name: str) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        WRITERS[name](tmp_path / folder / name, [(folder, "hello", STAMP)])
    assert uris(tmp_path, f"filename LIKE '%/b/{name}'") == ["b"]


def test_a_column_of_the_file_comes_before_the_path(tmp_path: Path) -> None:
    folder = tmp_path / "day=2"
    folder.mkdir()
    (folder / "a.csv").write_text(f"uri,filename,preprocessing_timestamp\nu1,hello,{STAMP}\n")
    source = find(tmp_path, where="filename = 'hello' AND day = 2", columns={"text": "filename"})
    assert stage(source)[1] == [("u1", "hello", ONE)]


def test_a_column_that_only_a_folder_has_is_missing(tmp_path: Path) -> None:
    folder = tmp_path / "preprocessing_timestamp=2024-05-30"
    folder.mkdir()
    pq.write_table(pa.table({"uri": ["u1"], "text": ["hello"]}), folder / "a.parquet")
    with pytest.raises(InputError):
        stage(find(tmp_path))


def test_folders_keep_their_values_for_files_that_are_read_from_a_copy(tmp_path: Path) -> None:
    for day, text in (("1", "caf\xe9"), ("2", "caf\xe9"), ("3", "hello")):
        (tmp_path / f"day={day}").mkdir()
        path = tmp_path / f"day={day}" / "a.csv"
        path.write_bytes(
            f"uri,text,preprocessing_timestamp\nu{day},{text},{STAMP}\n".encode("latin-1")
        )
    assert uris(tmp_path, "day >= 2") == ["u2", "u3"]


def test_files_of_one_partition_may_differ_in_format_details(tmp_path: Path) -> None:
    csv_file(tmp_path / "day=1" / "a.csv", [("u1", "a", STAMP)])
    csv_file(tmp_path / "day=1" / "b.tsv", [("u2", "b", STAMP)], delimiter="\t")
    csv_file(tmp_path / "day=2" / "c.csv.gz", [("u3", "c", STAMP)])
    assert uris(tmp_path, "day = 1") == ["u1", "u2"]
    parquet_file(tmp_path / "p" / "day=1" / "a.parquet", [("u1", "a", STAMP)])
    json_lines_file(tmp_path / "j" / "day=1" / "a.jsonl", [("u1", "a", STAMP)])
    assert uris(tmp_path / "p", "day = 1") == uris(tmp_path / "j", "day = 1") == ["u1"]
