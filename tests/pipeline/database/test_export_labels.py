"""An exported file holds the rows exactly, whatever their texts hold, and appears whole."""

import csv
import datetime
import gzip
import io
import json
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.database import duckdb_file, export_labels
from pipeline.database.export_labels import ExportFormat, ExportRequest, format_of
from pipeline.database.stores.duckdb_table import DuckDBTable
from pipeline.errors import InputError
from pipeline.model import Column, output_schema

COLUMNS = (Column("score", "number"), Column("label", "text"), Column("tokens", "count"))
NAME = "odd"
TIME = datetime.datetime(2024, 5, 6, 7, 8, 9, 123456)
ODD_TEXTS = [
    "plain", "a,b", 'a "quoted" word', "two\nlines", "cr\rlf\r\n", " blanks ", "NA", "null", "",
    "nul\0in", "\t", "#", "it's", "\\", "é😀", '"', '""', "\n", "=1+1", "at://a?b", "\u2028",
]  # fmt: skip


def make_database(path: Path, texts: list[str]) -> None:
    schema = output_schema(COLUMNS)
    rows = [
        {
            "uri": f"at://{number}",
            "text": text,
            "preprocessing_timestamp": TIME,
            "was_successfully_labeled": number % 2 == 0,
            "reason": None if number % 2 == 0 else "text_too_short",
            "label_timestamp": TIME,
            "score": number / 3 if number % 2 == 0 else None,
            "label": "a" if number % 2 == 0 else None,
            "tokens": number,
            "run_id": "r",
            "shard_index": 0,
            "attempt": 1,
            "model": "m",
            "config_hash": "h",
        }
        for number, text in enumerate(texts)
    ]
    with duckdb_file.open_database(path) as connection:
        DuckDBTable(connection, NAME).ensure_columns(schema)
        table = pa.Table.from_pylist(rows, schema=schema)
        with duckdb_file.register_tables(connection, made=table):
            connection.execute(f"INSERT INTO labels_{NAME} BY NAME FROM made")


def texts_of(path: Path) -> list[str]:
    if path.name.lower().endswith(".parquet"):
        return list(pq.read_table(path)["text"].to_pylist())
    content = path.read_bytes()
    text = (gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content).decode()
    if ".jsonl" in path.name.lower():
        return [json.loads(line)["text"] for line in text.split("\n") if line]
    return [row["text"] for row in csv.DictReader(io.StringIO(text, newline=""))]


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("odd") / "labels.duckdb"
    make_database(path, ODD_TEXTS)
    return path


@pytest.mark.parametrize("suffix", list(ExportFormat))
def test_every_format_holds_the_rows(database: Path, tmp_path: Path, suffix: str) -> None:
    target = tmp_path / f"Labels{suffix.upper()}"
    exported = export_labels.export(database, ExportRequest(name=NAME), target)
    assert (exported.rows, exported.labeled, exported.with_nul) == (len(ODD_TEXTS), 11, 1)
    assert list(tmp_path.iterdir()) == [target]
    assert texts_of(target) == ODD_TEXTS


@settings(max_examples=20)
@given(st.lists(st.text(max_size=8), min_size=1, max_size=20))
def test_any_text_comes_back_from_csv(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str]
) -> None:
    folder = tmp_path_factory.mktemp("any")
    make_database(folder / "labels.duckdb", texts)
    export_labels.export(
        folder / "labels.duckdb", ExportRequest(name=NAME, columns=("text",)), folder / "l.csv"
    )
    with (folder / "l.csv").open(newline="", encoding="utf-8") as stream:
        assert [row["text"] for row in csv.DictReader(stream)] == texts


def test_parquet_times_are_utc_and_types_stay(database: Path, tmp_path: Path) -> None:
    target = tmp_path / "l.parquet"
    export_labels.export(database, ExportRequest(name=NAME), target)
    schema = pq.read_schema(target)
    utc = pa.timestamp("us", tz="UTC")
    assert schema.field("preprocessing_timestamp").type == utc
    assert schema.field("label_timestamp").type == utc
    assert schema.field("tokens").type == pa.uint32()
    row = pq.read_table(target).to_pylist()[0]
    assert row["label_timestamp"] == TIME.replace(tzinfo=datetime.UTC)
    assert row["score"] == 0.0


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_text_times_are_iso_8601_in_utc(database: Path, tmp_path: Path, suffix: str) -> None:
    target = tmp_path / f"l{suffix}"
    export_labels.export(database, ExportRequest(name=NAME), target)
    assert "2024-05-06T07:08:09.123456Z" in target.read_text(encoding="utf-8")


def rows_of(database: Path, tmp_path: Path, **request: object) -> list[dict[str, object]]:
    target = tmp_path / "rows.parquet"
    asked = ExportRequest(name=NAME, **request)  # type: ignore[arg-type]
    exported = export_labels.export(database, asked, target)
    rows: list[dict[str, object]] = pq.read_table(target).to_pylist()
    assert exported.rows == len(rows)
    return rows


def test_a_condition_chooses_rows_and_columns_their_order(database: Path, tmp_path: Path) -> None:
    where = "score > 0.5 AND tokens < 6 -- a comment"
    rows = rows_of(database, tmp_path, where=where, columns=("Tokens", "uri", "tokens"))
    assert rows == [{"tokens": 2, "uri": "at://2"}, {"tokens": 4, "uri": "at://4"}]
    assert list(rows[0]) == ["tokens", "uri"]


def test_posts_without_labels_are_left_out_on_request(database: Path, tmp_path: Path) -> None:
    assert {row["reason"] for row in rows_of(database, tmp_path)} == {None, "text_too_short"}
    labeled = rows_of(database, tmp_path, labeled_only=True, where="true OR true")
    assert {row["reason"] for row in labeled} == {None}


def test_a_condition_may_use_other_tables(database: Path, tmp_path: Path) -> None:
    where = "uri IN (SELECT uri FROM labels_odd WHERE tokens = 3)"
    assert [row["uri"] for row in rows_of(database, tmp_path, where=where)] == ["at://3"]


@pytest.mark.parametrize(
    "where",
    [
        "scor > 1",
        "score >",
        "score > 1) OR (",
        "score > 1) OR (true",
        "score > 1) OR true --",
        "score > 1] OR [true",
        "label = positive",
        "true; DROP TABLE runs",
        "true); COPY labels_odd TO 'elsewhere.csv'; SELECT (1",
        "uri IN (SELECT column0 FROM read_csv('/etc/passwd'))",
        "uri IN (SELECT content FROM read_text('/etc/passwd'))",
        "CAST(text AS INTEGER) = 1",
        "tokens",
        "(SELECT count(*) FROM glob('/*')) > 0",
    ],
)
def test_a_wrong_or_reaching_condition_is_refused_and_writes_nothing(
    database: Path, tmp_path: Path, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    before = database.read_bytes()
    if where == "tokens":  # a number that is not 0 is true to DuckDB
        assert len(rows_of(database, tmp_path, where=where)) == len(ODD_TEXTS) - 1
        return
    with pytest.raises(InputError):
        rows_of(database, tmp_path, where=where)
    assert list(tmp_path.iterdir()) == []
    assert database.read_bytes() == before


def test_a_random_sample_is_counted_as_it_is_written(database: Path, tmp_path: Path) -> None:
    target = tmp_path / "sample.parquet"
    for _ in range(20):
        request = ExportRequest(name=NAME, where="random() < 0.5")
        exported = export_labels.export(database, request, target)
        labeled = pq.read_table(target)["was_successfully_labeled"].to_pylist()
        assert (exported.rows, exported.labeled) == (len(labeled), sum(labeled))


def test_an_old_file_stays_if_the_export_fails(database: Path, tmp_path: Path) -> None:
    target = tmp_path / "rows.parquet"
    target.write_bytes(b"old")
    with pytest.raises(InputError):
        export_labels.export(database, ExportRequest(name=NAME, where="nope"), target)
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]


def test_an_unknown_column_is_refused(database: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError):
        rows_of(database, tmp_path, columns=("uri", "scores"))


@pytest.mark.parametrize(
    "name", ["l", "l.xlsx", "l.csv.zip", ".csv", "csv", "l.parquet.gz", "l.json", "l.duckdb"]
)
def test_an_unknown_format_is_refused(name: str) -> None:
    with pytest.raises(InputError):
        format_of(Path(name))


def test_a_table_with_hostile_columns_is_exported(tmp_path: Path) -> None:
    path = tmp_path / "labels.duckdb"
    with duckdb_file.open_database(path) as connection:
        connection.execute(
            "CREATE TABLE labels_x AS SELECT 'u' AS uri, 't' AS text, true AS "
            'was_successfully_labeled, 1 AS "a""b, c", TIMESTAMP \'2024-01-01\' AS "t;""--"'
        )
    target = tmp_path / "l.csv"
    exported = export_labels.export(path, ExportRequest(name="x"), target)
    assert exported.columns[3:5] == ('a"b, c', 't;"--')
    with duckdb.connect() as reader:
        assert reader.execute(f"SELECT count(*) FROM '{target}'").fetchall() == [(1,)]


def test_labels_of_the_previous_version_have_no_copies(tmp_path: Path) -> None:
    old = tmp_path / "old.duckdb"
    make_database(old, ["a", "b"])
    with duckdb_file.open_database(old) as connection:
        connection.execute(f"ALTER TABLE labels_{NAME} DROP COLUMN copied_from")
    rows = rows_of(old, tmp_path, where="copied_from IS NULL")
    assert [row["copied_from"] for row in rows] == [None, None]
    assert rows_of(old, tmp_path, where="copied_from IS NOT NULL") == []
