"""Columns of the source are joined to the labels by uri, from every kind of source."""

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.backlog.sources import find_source
from pipeline.config.sections import Backlog, SourceColumns
from pipeline.database import export_labels
from pipeline.database.export_labels import ExportRequest
from pipeline.errors import InputError
from tests.pipeline.database.test_export_labels import NAME, make_database

TIME = "2024-05-06 07:08:09"
POSTS: list[dict[str, Any]] = [
    {"uri": "at://0", "text": "zero", "likes": 5, "weight": 0.25, "author": "ana", "code": "007"},
    {"uri": "at://1", "text": "one", "likes": None, "weight": 10.0, "author": "bo,b", "code": "12"},
    {"uri": "at://2", "text": "two", "likes": 7, "weight": -3.5, "author": 'c"\n', "code": "1"},
    {"uri": "at://9", "text": "not labeled", "likes": 1, "weight": 1.0, "author": "x", "code": "1"},
]
WANTED = ("likes", "weight", "author", "code")


def rows() -> list[dict[str, Any]]:
    return [{**post, "preprocessing_timestamp": TIME} for post in POSTS]


def parquet(folder: Path) -> Path:
    pq.write_table(pa.Table.from_pylist(rows()), folder / "posts.parquet")
    return folder / "posts.parquet"


def csv(folder: Path) -> Path:
    export(folder / "posts.csv", "FORMAT csv, HEADER true")
    return folder / "posts.csv"


def json_lines(folder: Path) -> Path:
    path = folder / "posts.jsonl"
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows()))
    return path


def export(path: Path, options: str) -> None:
    with duckdb.connect() as connection:
        connection.register("posts", pa.Table.from_pylist(rows()))
        connection.execute(f"COPY (FROM posts) TO '{path}' ({options})")


def sqlite(folder: Path) -> Path:
    path = folder / "posts.sqlite"
    connection = sqlite3.connect(path)
    names = list(rows()[0])
    connection.execute(
        "CREATE TABLE posts (uri TEXT, text TEXT, likes INTEGER, weight REAL, author TEXT, "
        "code TEXT, preprocessing_timestamp TEXT)"
    )
    for row in rows():
        connection.execute(
            f"INSERT INTO posts ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})",
            list(row.values()),
        )
    connection.commit()
    connection.close()
    return path


def duckdb_table(folder: Path) -> Path:
    path = folder / "posts.duckdb"
    with duckdb.connect(str(path)) as connection:
        connection.register("made", pa.Table.from_pylist(rows()))
        connection.execute("CREATE TABLE posts AS FROM made")
    return path


Make = Callable[[Path], Path]
EVERY_SOURCE = pytest.mark.parametrize("make", [parquet, csv, json_lines, sqlite, duckdb_table])


def joined(
    folder: Path, path: Path, *names: str, labeled: int = 4, where: str | None = None
) -> tuple[list[dict[str, Any]], int]:
    """Return the exported rows, and how many posts are not in the source."""
    labels = folder / "labels"
    labels.mkdir()
    make_database(labels / "labels.duckdb", [f"text {number}" for number in range(labeled)])
    backlog = Backlog(source=str(path), columns=SourceColumns(), where=where)
    target = labels / "l.parquet"
    exported = export_labels.export(
        labels / "labels.duckdb",
        ExportRequest(name=NAME, source=find_source(backlog, (folder,)), source_columns=names),
        target,
    )
    assert sorted(path.name for path in labels.iterdir()) == ["l.parquet", "labels.duckdb"]
    table = pq.read_table(target)
    return sorted(table.to_pylist(), key=lambda row: str(row["uri"])), exported.not_in_source


@EVERY_SOURCE
def test_columns_of_every_kind_of_source_are_joined(tmp_path: Path, make: Make) -> None:
    result, not_in_source = joined(tmp_path, make(tmp_path), *WANTED)
    assert not_in_source == 1
    assert [[row[name] for name in WANTED] for row in result] == [
        *([post[name] for name in WANTED] for post in POSTS[:3]),
        [None] * len(WANTED),
    ]


def test_a_column_that_the_labels_have_gets_another_name(tmp_path: Path) -> None:
    result, _ = joined(tmp_path, parquet(tmp_path), "text", "uri")
    assert [(row["text"], row["source_text"], row["source_uri"]) for row in result[:2]] == [
        ("text 0", "zero", "at://0"),
        ("text 1", "one", "at://1"),
    ]


@pytest.mark.parametrize("names", [("text", "text"), ("likes", "likes", "LIKES")])
def test_a_name_that_is_taken_twice_is_refused(tmp_path: Path, names: tuple[str, ...]) -> None:
    with pytest.raises(InputError):
        joined(tmp_path, parquet(tmp_path), *names, "source_text")


@EVERY_SOURCE
def test_a_column_that_the_source_does_not_have_is_refused(tmp_path: Path, make: Make) -> None:
    with pytest.raises(InputError):
        joined(tmp_path, make(tmp_path), "like")


EARLY = {"uri": "at://3", "text": "three", "preprocessing_timestamp": TIME}


def early_file(path: Path, folder: Path) -> Path:
    """Write a file of the same kind with one post, which has none of the other columns."""
    early = folder / f"early{path.suffix}"
    if path.suffix in (".sqlite", ".duckdb"):
        connection: Any = (
            sqlite3.connect(early) if path.suffix == ".sqlite" else duckdb.connect(early)
        )
        connection.execute("CREATE TABLE posts (uri TEXT, text TEXT, preprocessing_timestamp TEXT)")
        connection.execute("INSERT INTO posts VALUES (?, ?, ?)", list(EARLY.values()))
        connection.commit()
        connection.close()
    elif path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist([EARLY]), early)
    elif path.suffix == ".csv":
        early.write_text(f"{','.join(EARLY)}\n{','.join(EARLY.values())}\n")
    else:
        early.write_text(json.dumps(EARLY) + "\n")
    return early


@EVERY_SOURCE
def test_a_column_that_only_some_files_have_is_null_in_the_others(
    tmp_path: Path, make: Make
) -> None:
    folder = tmp_path / "posts"
    folder.mkdir()
    early_file(make(folder), folder)
    result, not_in_source = joined(tmp_path, folder, "likes", "author")
    assert not_in_source == 0
    assert [(row["likes"], row["author"]) for row in result] == [
        *((post["likes"], post["author"]) for post in POSTS[:3]),
        (None, None),
    ]


@EVERY_SOURCE
def test_a_column_that_no_file_has_is_refused(tmp_path: Path, make: Make) -> None:
    folder = tmp_path / "posts"
    folder.mkdir()
    early_file(make(folder), folder)
    with pytest.raises(InputError):
        joined(tmp_path, folder, "like")


def test_a_field_that_only_some_structs_have_is_null_in_the_others(tmp_path: Path) -> None:
    folder = tmp_path / "posts"
    folder.mkdir()
    post = {"text": "t", "preprocessing_timestamp": TIME}
    for number, record in enumerate(({"likes": 5}, {"reposts": 6})):
        table = pa.Table.from_pylist([{"uri": f"at://{number}", **post, "record": record}])
        pq.write_table(table, folder / f"{number}.parquet")
    result, _ = joined(tmp_path, folder, "record.likes", labeled=2)
    assert [row["record.likes"] for row in result] == [5, None]


def test_a_value_inside_a_nested_column_is_joined(tmp_path: Path) -> None:
    nested = [
        {"uri": f"at://{n}", "text": "t", "preprocessing_timestamp": TIME,
         "record": {"likes": n, "by": {"name": f"n{n}"}}}
        for n in range(2)
    ]  # fmt: skip
    path = tmp_path / "posts.parquet"
    pq.write_table(pa.Table.from_pylist(nested), path)
    result, _ = joined(tmp_path, path, "record.likes", "record.by.name", labeled=2)
    assert [(row["record.likes"], row["record.by.name"]) for row in result] == [
        (0, "n0"),
        (1, "n1"),
    ]


def test_the_row_with_the_labeled_text_counts_and_rows_are_not_multiplied(tmp_path: Path) -> None:
    copies = [
        {"uri": "at://0", "text": text, "likes": likes, "preprocessing_timestamp": "2024-05-01"}
        for text, likes in (("text 1", 1), ("text 0", 3), ("text 0", 2), ("", 4))
    ]
    path = tmp_path / "posts.parquet"
    pq.write_table(pa.Table.from_pylist(copies), path)
    result, _ = joined(tmp_path, path, "likes", labeled=1)
    assert [row["likes"] for row in result] == [2]


def test_a_nested_value_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "posts.parquet"
    row = {"uri": "at://0", "text": "t", "preprocessing_timestamp": TIME, "record": {"a": 1}}
    pq.write_table(pa.Table.from_pylist([row]), path)
    with pytest.raises(InputError):
        joined(tmp_path, path, "record", labeled=1)


def test_the_condition_of_the_source_applies(tmp_path: Path) -> None:
    _, not_in_source = joined(tmp_path, parquet(tmp_path), "likes", where="likes > 6")
    assert not_in_source == 3


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["1", "-2", ""], [1, -2, None]),
        (["007", "8"], ["007", "8"]),
        (["0.5", "1e3", "-2"], [0.5, 1000.0, -2.0]),
        (["12345678901234567890", "1"], ["12345678901234567890", "1"]),
        (["0.1234567890123456", "1"], ["0.1234567890123456", "1"]),
        (["true", "false"], [True, False]),
        (["true", "yes"], ["true", "yes"]),
        (["a", ""], ["a", None]),
        (["1 ", "2"], ["1 ", "2"]),
        (["nan", "1"], ["nan", "1"]),
    ],
)
def test_numbers_and_flags_are_recognized_only_without_loss(
    tmp_path: Path, values: list[str], expected: list[Any]
) -> None:
    path = tmp_path / "posts.csv"
    lines = [f"at://{n},t,{TIME},{value}" for n, value in enumerate(values)]
    path.write_text("\n".join(["uri,text,preprocessing_timestamp,v", *lines, ""]))
    result, _ = joined(tmp_path, path, "v", labeled=len(values))
    assert [row["v"] for row in result] == expected


def test_a_column_with_a_hostile_name_is_joined(tmp_path: Path) -> None:
    name = "a\"b'; DROP TABLE runs; --"
    path = tmp_path / "posts.parquet"
    row = {"uri": "at://0", "text": "t", "preprocessing_timestamp": TIME, name: "x"}
    pq.write_table(pa.Table.from_pylist([row]), path)
    result, _ = joined(tmp_path, path, name, labeled=1)
    assert result[0][name] == "x"
