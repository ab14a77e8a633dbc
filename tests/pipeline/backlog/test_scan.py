"""Each kind of file is read with its columns, its dialect and its defects."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.pipeline.backlog.source_files import (
    ONE,
    STAMP,
    WRITERS,
    Row,
    Staged,
    csv_file,
    find,
    json_lines_file,
    parquet_file,
    rejection,
    sqlite_file,
    stage,
)


def text_by_uri(rows: list[Staged]) -> dict[str, str]:
    return {uri: text for uri, text, _ in rows}


@pytest.mark.parametrize("name", WRITERS)
def test_every_text_is_read_unchanged(tmp_path: Path, name: str) -> None:
    texts = [
        "two\nlines, and\n\n# a third",
        "windows\r\nlines",
        'a "quote", \\"escaped\\" and \\',
        "'single'",
        "nul \0 inside",
        "😀 👩‍👩‍👧 e\u0301",
        "שלום \u202etxet\u202c",
        "  blanks at both ends  ",
        "NULL",
        "semi;colon\ttab|bar",
        "",
    ]
    rows: list[Row] = [(f"u{i:02}", text, STAMP) for i, text in enumerate(texts)]
    _, posts = stage(find(WRITERS[name](tmp_path / name, rows)))
    assert posts == [(uri, text, ONE) for uri, text, _ in rows]


def test_columns_may_have_other_names(tmp_path: Path) -> None:
    path = tmp_path / "posts.jsonl"
    path.write_text(json.dumps({"id": "u1", "body": "hello", "at": STAMP, "text": "no"}) + "\n")
    names = {"uri": "id", "text": "body", "preprocessing_timestamp": "at"}
    assert stage(find(path, columns=names))[1] == [("u1", "hello", ONE)]


def test_a_sqlite_column_of_mixed_types_is_read_as_text(
    tmp_path: Path,
) -> None:
    rows: list[Row] = [(f"a{i:05}", i, STAMP) for i in range(3000)]
    rows += [("v", "txt", STAMP), ("w", b"\xf0\x9f\x98\x80", STAMP), ("x", None, STAMP)]
    path = sqlite_file(tmp_path / "posts.db", rows, types="")
    _, posts = stage(find(path, where="uri >= 'a02999'"))
    assert text_by_uri(posts) == {"a02999": "2999", "v": "txt", "w": "😀", "x": ""}


def test_a_json_field_is_text_even_if_its_first_values_are_numbers(tmp_path: Path) -> None:
    rows: list[Row] = [(f"u{i:05}", i, STAMP) for i in range(21_000)]
    path = json_lines_file(tmp_path / "posts.jsonl", [*rows, ("v", "txt", STAMP)])
    counts, posts = stage(find(path))
    assert counts.posts == 21_001
    assert posts[2500] == ("u02500", "2500", ONE)
    assert posts[-1] == ("v", "txt", ONE)


def test_a_csv_file_may_have_its_first_quotes_late(tmp_path: Path) -> None:
    rows: list[Row] = [(f"u{i:05}", "'plain'", STAMP) for i in range(21_000)]
    path = csv_file(tmp_path / "posts.csv", [*rows, ("v", 'a "q",\nb', STAMP)])
    _, posts = stage(find(path))
    assert posts[0] == ("u00000", "'plain'", ONE)
    assert posts[-1] == ("v", 'a "q",\nb', ONE)


def test_a_tsv_file_is_separated_by_tabs(tmp_path: Path) -> None:
    path = csv_file(tmp_path / "posts.tsv", [("u1", "a, b\tc", STAMP)], delimiter="\t")
    assert stage(find(path))[1] == [("u1", "a, b\tc", ONE)]


def test_a_csv_row_with_too_few_fields_is_rejected_with_its_line(tmp_path: Path) -> None:
    path = csv_file(tmp_path / "posts.csv", [(f"u{i}", "hello", STAMP) for i in range(21_000)])
    path.write_text(path.read_text() + "u,hello\n")
    assert f"{path}, line 21002: " in rejection(path)


def test_the_only_table_of_a_database_need_not_be_named(tmp_path: Path) -> None:
    path = sqlite_file(tmp_path / "posts.db", [("u1", "hello", STAMP)])
    assert stage(find(path, table="preprocessed_posts"))[1] == stage(find(path))[1]


def test_the_where_condition_selects_rows(tmp_path: Path) -> None:
    for name, write in WRITERS.items():
        rows = [("u1", "keep", STAMP), ("u2", "drop", STAMP), ("u3", "keep", STAMP)]
        path = write(tmp_path / name, rows)
        counts, posts = stage(find(path, where="text = 'keep' -- not the others"))
        assert (counts.rows, text_by_uri(posts)) == (2, {"u1": "keep", "u3": "keep"}), name


@pytest.mark.parametrize("name", WRITERS)
def test_an_invalid_where_condition_is_rejected_with_the_source(tmp_path: Path, name: str) -> None:
    path = WRITERS[name](tmp_path / name, [("u1", "hello", STAMP)])
    message = rejection(path, where="nope = 1")
    assert str(path) in message
    assert "nope" in message


def test_the_where_condition_can_use_date_folders_as_columns(tmp_path: Path) -> None:
    for day in ("2024-05-31", "2024-06-01", "2024-06-02"):
        parquet_file(tmp_path / f"partition_date={day}" / "p.parquet", [(day, "hello", STAMP)])
    _, posts = stage(find(tmp_path, where="partition_date >= '2024-06-01'"))
    assert text_by_uri(posts) == {"2024-06-01": "hello", "2024-06-02": "hello"}


def test_files_may_differ_in_column_types_and_order(tmp_path: Path) -> None:
    parquet_file(tmp_path / "a.parquet", [("u1", "hello", STAMP)])
    parquet_file(tmp_path / "b.parquet", [("u2", "hello", ONE)], stamp=pa.timestamp("ns", "UTC"))
    table = pa.table({"text": ["hello"], "preprocessing_timestamp": [ONE], "uri": ["u3"]})
    pq.write_table(table, tmp_path / "c.parquet")
    _, posts = stage(find(tmp_path))
    assert posts == [(uri, "hello", ONE) for uri in ("u1", "u2", "u3")]


@pytest.mark.parametrize("suffix", ["parquet", "csv"])
@pytest.mark.parametrize("lost", ["uri", "text", "preprocessing_timestamp"])
def test_a_file_without_a_column_is_rejected_among_files_that_have_it(
    tmp_path: Path, suffix: str, lost: str
) -> None:
    """Its posts would else be taken for posts without a text: labeled `text_too_short`."""
    write = WRITERS[f"posts.{suffix}"]
    write(tmp_path / f"a.{suffix}", [("u1", "hello", STAMP)])
    other = write(tmp_path / f"b.{suffix}", [("u2", "hello", STAMP)])
    if suffix == "csv":
        other.write_text(other.read_text().replace(lost, "body", 1))
    else:
        table = pq.read_table(other)
        names = ["body" if name == lost else name for name in table.column_names]
        pq.write_table(table.rename_columns(names), other)
    message = rejection(tmp_path)
    assert message.startswith(f"backlog.columns: {other} has no column {lost!r}")


def test_binary_columns_are_read_as_utf_8(tmp_path: Path) -> None:
    path = tmp_path / "posts.parquet"
    table = pa.table({"uri": [b"u1"], "text": ["😀 é".encode()], "preprocessing_timestamp": [ONE]})
    pq.write_table(table, path)
    assert stage(find(path))[1] == [("u1", "😀 é", ONE)]


@pytest.mark.parametrize("name", WRITERS)
def test_a_path_may_contain_any_character(tmp_path: Path, name: str) -> None:
    """DuckDB takes a path for a glob: posts[1].csv would be posts1.csv."""
    write = WRITERS[name]
    for folder in (tmp_path / "it's 100% #1", tmp_path / "[a]b*c"):
        folder.mkdir()
        path = write(folder / f"x[1]{name}", [("u1", "hello", STAMP)])
        write(folder / f"x1{name}", [("wrong", "wrong", STAMP)])
        assert stage(find(path))[1] == [("u1", "hello", ONE)]


def test_a_damaged_database_is_rejected_with_its_path(tmp_path: Path) -> None:
    path = sqlite_file(tmp_path / "posts.db", [(f"u{i:05}", "x" * 200, STAMP) for i in range(3000)])
    content = bytearray(path.read_bytes())
    content[300_000:310_000] = b"\xff" * 10_000
    path.write_bytes(content)
    assert rejection(path).startswith(f"backlog.source: {path} is damaged")


def test_a_truncated_parquet_file_is_rejected_with_its_path(tmp_path: Path) -> None:
    path = parquet_file(tmp_path / "posts.parquet", [("u1", "hello", STAMP)])
    path.write_bytes(path.read_bytes()[:-20])
    assert f"{path} cannot be read as Parquet" in rejection(path)
