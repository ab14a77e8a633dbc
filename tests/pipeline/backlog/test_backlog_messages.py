"""Every rejected backlog is reported with its file, the problem and the remedy."""

import ast
import os
from collections.abc import Sequence
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from pipeline.backlog import shards
from pipeline.backlog.left_out import LeftOut, WhyLeftOut, describe_left_out
from pipeline.config.sections import Sharding
from pipeline.errors import InputError
from tests.pipeline.backlog.source_files import (
    STAMP,
    WRITERS,
    csv_file,
    duckdb_file,
    find,
    json_lines_file,
    parquet_file,
    rejection,
    sqlite_file,
    stage,
)

POST = ("u1", "hello", STAMP)


def test_a_missing_file_is_reported_with_every_place_that_was_searched(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    with pytest.raises(InputError) as rejected:
        find("no.csv", folders=(first, second, first))
    assert str(rejected.value) == (
        f"backlog.source: there is no file at {first / 'no.csv'} or {second / 'no.csv'}\n"
        f"{tmp_path} is empty"
    )


def test_what_lies_near_a_missing_source_is_reported(tmp_path: Path) -> None:
    folder = tmp_path / "posts"
    for number in range(7):
        csv_file(folder / f"day{number}.csv", [POST])
    nearby = f"{folder} holds day0.csv, day1.csv, day2.csv, day3.csv, day4.csv and 2 others"
    assert rejection(folder / "day9.csv").splitlines() == [
        f"backlog.source: there is no file at {folder / 'day9.csv'}",
        f"{nearby} (did you mean 'day6.csv'?)",
    ]
    assert rejection(folder / "*.parquet").splitlines() == [
        f"backlog.source: there is no file at {folder / '*.parquet'}",
        nearby,
    ]


def test_a_source_without_data_is_reported_with_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("notes\n")
    (tmp_path / "codebook.pdf").write_bytes(b"%PDF-1.7")
    os.mkfifo(tmp_path / "pipe")
    assert rejection(tmp_path).splitlines() == [
        f"backlog.source: there is no data file at {tmp_path}",
        f"left out: 2 files, for example {tmp_path / 'README.md'}: not a data file",
        f"left out: 1 file, {tmp_path / 'pipe'}: a pipe, a socket or a device, not a file",
    ]


def test_data_that_cannot_be_read_is_reported_with_what_to_do(tmp_path: Path) -> None:
    csv_file(tmp_path / "a.csv", [POST])
    (tmp_path / "b.tar").write_bytes(b"\0" * 257 + b"ustar")
    tar = "it is a tar archive: unpack it, such as with tar xf"
    assert rejection(tmp_path) == (
        f"backlog.source: {tmp_path / 'b.tar'} looks like data, but {tar}, or exclude it with "
        "backlog.ignore"
    )
    for number in range(6):
        (tmp_path / f"c{number}.parquet").write_text("hello")
    assert rejection(tmp_path).splitlines() == [
        "backlog.source: 7 files look like data, but cannot be read (correct them, or exclude "
        "them with backlog.ignore):",
        f"  {tmp_path / 'b.tar'}: {tar}",
        *(
            f"  {tmp_path / f'c{number}.parquet'}: its name says Parquet, and it holds something "
            "else: replace it with a good copy"
            for number in range(4)
        ),
        "  and 2 more files",
    ]


def test_a_run_as_the_source_is_reported(tmp_path: Path) -> None:
    parquet_file(tmp_path / "shards" / "0.parquet", [POST])
    (tmp_path / "manifest.json").write_text('{"run_id": "x"}')
    assert rejection(tmp_path) == (
        f"backlog.source: {tmp_path} is in the folder of a run, which is never a source: name the "
        "files that the run's posts come from"
    )


def test_a_pattern_that_ignores_nothing_is_reported(tmp_path: Path) -> None:
    csv_file(tmp_path / "a.csv", [POST])
    assert find(tmp_path, ignore=("*.pdf",)).notes == (
        f"backlog.ignore: '*.pdf' matches nothing in {tmp_path}",
    )


def test_files_that_are_left_out_are_counted_with_an_example(tmp_path: Path) -> None:
    left_out = [
        LeftOut(path=tmp_path / name, why=why)
        for name, why in [
            ("c.pdf", WhyLeftOut.NO_DATA),
            ("b.pdf", WhyLeftOut.NO_DATA),
            ("a.csv", WhyLeftOut.EMPTY),
            ("run", WhyLeftOut.RUN),
        ]
    ]
    assert describe_left_out(left_out) == [
        f"1 empty file, {tmp_path / 'a.csv'}",
        f"left out: 2 files, for example {tmp_path / 'b.pdf'}: not a data file",
        f"left out: 1 folder, {tmp_path / 'run'}: the folder of a run",
    ]


def test_a_file_without_data_is_reported_with_the_known_kinds(tmp_path: Path) -> None:
    (tmp_path / "posts.txt").write_text("hello")
    assert rejection(tmp_path / "posts.txt") == (
        f"backlog.source: {tmp_path / 'posts.txt'} is not a SQLite or DuckDB database, Parquet or "
        "JSON, and not a table with the columns uri, text, preprocessing_timestamp"
    )


def test_a_file_with_another_content_than_its_name_says_is_reported(tmp_path: Path) -> None:
    (tmp_path / "posts.parquet").write_text("hello")
    assert rejection(tmp_path / "posts.parquet") == (
        f"backlog.source: {tmp_path / 'posts.parquet'} looks like data, but its name says Parquet, "
        "and it holds something else: replace it with a good copy, or exclude it with "
        "backlog.ignore"
    )


def test_a_database_beside_other_files_is_reported_with_one_of_each(tmp_path: Path) -> None:
    csv_file(tmp_path / "a.csv", [POST])
    sqlite_file(tmp_path / "b.db", [POST])
    assert rejection(tmp_path) == (
        f"backlog.source: {tmp_path} holds a database beside other files: {tmp_path / 'b.db'} is "
        f"SQLite, {tmp_path / 'a.csv'} is CSV; name what to read by a glob in backlog.source, or "
        "exclude the other by backlog.ignore"
    )


@pytest.mark.parametrize("name", ["posts.db", "posts.parquet", "posts.jsonl", "posts.csv"])
def test_a_missing_column_is_reported_with_the_nearest_name(tmp_path: Path, name: str) -> None:
    path = WRITERS[name](tmp_path / name, [POST])
    place = f"{path}, table preprocessed_posts" if name == "posts.db" else str(path)
    assert rejection(path, columns={"text": "texts"}) == (
        f"backlog.columns: {place} has no column 'texts' (did you mean 'text'?); "
        "it has uri, text, preprocessing_timestamp"
    )


CODEBOOKS = {
    "codebook.csv": lambda path: path.write_text("code,meaning\n1,anger\n2,joy\n"),
    "codebook.jsonl": lambda path: path.write_text('{"code": 1, "meaning": "anger"}\n'),
    "codebook.pq": lambda path: pq.write_table(pa.table({"code": [1], "meaning": ["joy"]}), path),
}


@pytest.mark.parametrize("codebook", CODEBOOKS)
@pytest.mark.parametrize("posts", ["posts.csv", "posts.jsonl", "posts.parquet"])
def test_a_file_without_posts_among_others_can_be_excluded(
    tmp_path: Path, posts: str, codebook: str
) -> None:
    path = tmp_path / codebook
    WRITERS[posts](tmp_path / posts, [POST])
    CODEBOOKS[codebook](path)
    message = rejection(tmp_path)
    assert message.startswith(f"backlog.columns: {path} has no column '")
    assert message.endswith("; if the file holds no posts, exclude it with backlog.ignore")


def test_a_file_of_csv_without_a_header_is_reported_with_its_first_line(tmp_path: Path) -> None:
    path = tmp_path / "part-1.csv"
    path.write_text(f"u1,fine day,{STAMP}\nu2,fine day,{STAMP}\n")
    assert rejection(path) == (
        f"backlog.columns: {path} has no column 'uri'; it has u1, fine day, {STAMP} (its first "
        "line, which has to name the columns)"
    )


def test_a_column_in_another_case_is_suggested(tmp_path: Path) -> None:
    path = tmp_path / "posts.csv"
    path.write_text(f"URI,text,preprocessing_timestamp\nu1,fine day,{STAMP}\n")
    assert rejection(path) == (
        f"backlog.columns: {path} has no column 'uri' (did you mean 'URI'?); it has URI, text, "
        "preprocessing_timestamp"
    )


@pytest.mark.parametrize("content", ['"x"', "5", '[["u1", "fine day"]]'])
def test_a_json_file_without_objects_is_reported_as_such(tmp_path: Path, content: str) -> None:
    path = tmp_path / "posts.json"
    path.write_text(content)
    assert rejection(path).startswith(f"backlog.source: {path}, line 1: ")


def test_a_missing_table_is_reported_with_the_tables_that_exist(tmp_path: Path) -> None:
    path = sqlite_file(tmp_path / "posts.db", [POST])
    assert rejection(path, table="preprocessed_post") == (
        f"backlog.table: {path} has no table 'preprocessed_post' (did you mean "
        "'preprocessed_posts'?); it has preprocessed_posts"
    )
    two = duckdb_file(tmp_path / "two.duckdb", [])
    with duckdb.connect(str(two)) as connection:
        connection.execute("CREATE TABLE labels (uri VARCHAR)")
    assert rejection(two) == f"backlog.table: set this to a table of {two}; it has labels, posts"


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (
            '{"uri": "a", "te',
            """the line ends before its object does ('…{"uri": "a", "te'): it was cut, or the """
            "object goes over several lines; complete or remove it, or write one object a line: "
            "jq -c . FILE > FILE.jsonl",
        ),
        ("17", "it is '17', and not a JSON object: remove it"),
        (
            '{"uri": "a"} {"uri": "b"}',
            "it goes on after its object, and one object a line is needed: "
            "jq -c . FILE > FILE.jsonl",
        ),
        ('{"uri": "a", "uri": "b"}', "the object has the key 'uri' twice: remove one of the two"),
        ("// the posts", "it is '// the posts', and not a JSON object: remove it"),
        (",", "it is ',', and not a JSON object: remove it"),
        ("[1]", "a JSON array; one object a line is needed: jq -c '.[]' FILE > FILE.jsonl"),
    ],
)
def test_a_line_that_is_not_a_json_object_is_reported_with_its_number(
    tmp_path: Path, content: str, problem: str
) -> None:
    path = json_lines_file(tmp_path / "posts.jsonl", [POST])
    path.write_text(path.read_text() + "\n" + content + "\n" + path.read_text())
    assert rejection(path) == f"backlog.source: {path}, line 3: {problem}"


@pytest.mark.parametrize("name", WRITERS)
def test_a_post_without_a_uri_is_reported_with_its_row(tmp_path: Path, name: str) -> None:
    rows = [("u1", "a", STAMP), (None, "b", STAMP), ("", "c", STAMP)]
    path = WRITERS[name](tmp_path / name, rows)
    assert rejection(path) == (
        f"{path}, row 2: column 'uri' is null or empty (and 1 more row like it); "
        "every post needs a uri"
    )


@pytest.mark.parametrize("name", WRITERS)
def test_an_unreadable_timestamp_is_reported_with_its_file_and_row(
    tmp_path: Path, name: str
) -> None:
    good = [("u1", "a", STAMP), ("u2", "b", STAMP)]
    WRITERS[name](tmp_path / f"a-{name}", good)
    bad = WRITERS[name](tmp_path / f"b-{name}", [*good, ("u3", "c", "soon"), ("u4", "c", "later")])
    text = "TEXT" if name == "posts.db" else "VARCHAR"
    assert rejection(tmp_path / f"*{name}") == (
        f"{bad}, row 3: column 'preprocessing_timestamp' is 'soon', which is not a timestamp such "
        "as 2024-05-31-13:00:00 or ISO 8601 (uri u3) (and 1 more row like it); to leave such rows "
        "out, set backlog.where in the configuration, or add overrides="
        f"['backlog.where=\"CAST(preprocessing_timestamp AS {text}) NOT IN (\\'later\\', "
        "\\'soon\\')\"']"
    )


def typed_parquet_file(path: Path, rows: Sequence[tuple[str, str, str | None]]) -> Path:
    with duckdb.connect() as connection:
        connection.execute(
            "CREATE TABLE posts (uri VARCHAR, text VARCHAR, preprocessing_timestamp TIMESTAMP)"
        )
        connection.executemany("INSERT INTO posts VALUES (?, ?, ?)", rows)
        connection.table("posts").write_parquet(str(path))
    return path


@pytest.mark.parametrize("name", [*WRITERS, "typed.parquet"])
def test_a_row_without_a_time_is_reported_with_the_condition_that_leaves_it_out(
    tmp_path: Path, name: str
) -> None:
    write = WRITERS.get(name, typed_parquet_file)
    path = write(tmp_path / name, [("u0", "hello", None), ("u1", "hello", "2024-05-31 13:00:00")])
    assert rejection(path) == (
        f"{path}, row 1: column 'preprocessing_timestamp' is NULL, and every post needs a time "
        "(uri u0); to leave such rows out, set backlog.where in the configuration, or add "
        "overrides=['backlog.where=\"preprocessing_timestamp IS NOT NULL\"']"
    )


BAD_TIMES = {
    "placeholders": ["yesterday", "0000-00-00", None, ""],
    "many": [f"{number} days ago" for number in range(30)],
}


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("times", BAD_TIMES.values(), ids=BAD_TIMES)
@pytest.mark.parametrize("where", [None, "text = 'a' OR text = 'b'"], ids=["all", "where"])
def test_the_named_condition_leaves_out_exactly_the_rows_without_a_time(
    tmp_path: Path, name: str, times: list[str | None], where: str | None
) -> None:
    rows = [("u1", "a", "2024-05-31T13:00:00"), ("u2", "c", "2024-05-31T13:00:01")]
    rows += [(f"bad{number}", "b", time) for number, time in enumerate(times)]
    path = WRITERS[name](tmp_path / name, rows)
    message = rejection(path, where=where)
    (override,) = ast.literal_eval(message.partition("or add overrides=")[2])
    condition = yaml.safe_load(override.partition("=")[2])
    _, staged = stage(find(path, where=condition))
    assert [post[0] for post in staged] == (["u1"] if where else ["u1", "u2"])


def test_too_many_shards_are_reported_with_the_key_to_change() -> None:
    with pytest.raises(InputError) as rejected:
        shards.shard_sizes(100_001, Sharding(rows_per_shard=1, shards=None))
    assert str(rejected.value) == (
        "sharding: 100,001 posts would make 100,001 shards, and a run can have at most 100,000: "
        "raise sharding.rows_per_shard"
    )


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        (
            f'u2,"a "b" c",{STAMP}',
            "a quote inside a quoted field is not doubled, or a quoted field is never closed",
        ),
        (f'u2,"hello,{STAMP}', "a quote opens a field in this row, and is never closed"),
        ("u2,hello", "the row has 2 fields, and the header has 3 ('u2,hello')"),
    ],
)
def test_a_row_of_csv_that_cannot_be_read_is_reported_with_its_line(
    tmp_path: Path, row: str, problem: str
) -> None:
    path = csv_file(tmp_path / "posts.csv", [POST])
    path.write_text(path.read_text() + row + "\n")
    assert rejection(path) == (
        f"backlog.source: {path}, line 3: {problem}: a field with commas, line breaks or quotes "
        'needs quotes around it, and "" for each quote in it'
    )


def test_a_uri_that_is_not_text_is_reported_with_its_row_and_the_remedy(tmp_path: Path) -> None:
    path = csv_file(tmp_path / "posts.csv", [POST])
    path.write_bytes(path.read_bytes() + f"caf\xe9,hello,{STAMP}\n".encode("latin-1"))
    assert rejection(path) == (
        f"backlog.source: {path}, row 2: column 'uri' is 'caf\ufffd', with bytes that are not "
        "UTF-8 text at each \ufffd: correct the value, or exclude the row with backlog.where"
    )


def test_a_nested_column_is_reported_with_its_fields(tmp_path: Path) -> None:
    path = tmp_path / "posts.jsonl"
    path.write_text(f'{{"uri": "u1", "text": {{"de": "a", "en": "b"}}, "at": "{STAMP}"}}\n')
    assert rejection(path, columns={"preprocessing_timestamp": "at"}) == (
        f"backlog.columns.text: {path}, line 1: text is nested; it has text.de, text.en: set "
        "backlog.columns.text to one of these, such as text.de"
    )


def test_a_folder_called_like_a_column_is_reported_with_both(tmp_path: Path) -> None:
    (tmp_path / "Text=x").mkdir()
    path = csv_file(tmp_path / "Text=x" / "posts.csv", [POST])
    assert rejection(path) == (
        f"backlog.source: {path} has a column 'text', and a folder above it is called Text=x: it "
        "is unclear which of the two is meant; rename the folder"
    )


def test_a_comparison_of_text_with_a_number_is_reported_with_the_cast(tmp_path: Path) -> None:
    path = csv_file(tmp_path / "posts.csv", [POST])
    assert rejection(path, where="text >= 10") == (
        f"backlog.where: {path}: text holds text, and the condition uses it as a number: write "
        "CAST(text AS BIGINT) instead"
    )
