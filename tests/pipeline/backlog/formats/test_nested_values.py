"""A dotted name leads into nested values, and a nested value never becomes a text."""

from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import InputError
from tests.pipeline.backlog.formats.posts import (
    HEADER,
    csv_row,
    duckdb_table,
    line,
    outcome,
    parquet,
)

RECORD_TEXT = {"text": "record.text"}


def rejected(path: Path, columns: dict[str, str] | None = None) -> str:
    with pytest.raises(InputError) as error:
        outcome(path, columns=columns)
    return str(error.value)


def write(path: Path, record: Any) -> Path:
    """One post whose column `record` has this value, as the format of the file nests it."""
    if path.suffix == ".jsonl":
        path.write_bytes(line(record=record))
        return path
    return parquet(path, uri=["u1"], record=[record])


@pytest.mark.parametrize("name", ["a.parquet", "a.jsonl"])
@pytest.mark.parametrize(
    ("record", "text"),
    [
        ({"text": "hello", "langs": ["en"]}, "record.text"),
        ({"a": {"b": {"text": "hello"}}}, "record.a.b.text"),
        ({"app.bsky": {"text": "hello"}}, 'record."app.bsky".text'),
        ({"a/b~c": "hello", "b": "no"}, "record.a/b~c"),
        ({'say "hi"': "hello"}, 'record."say ""hi"""'),
    ],
)
def test_a_field_is_read_at_any_depth(tmp_path: Path, name: str, record: Any, text: str) -> None:
    path = write(tmp_path / name, record)
    assert outcome(path, columns={"text": text}) == {"u1": ("hello", None)}


@pytest.mark.parametrize("name", ["a.parquet", "a.jsonl"])
def test_all_three_values_may_be_nested(tmp_path: Path, name: str) -> None:
    record = {"id": {"uri": "x1"}, "text": "hello", "at": "2024-05-31"}
    path = write(tmp_path / name, record)
    columns = {
        "uri": "record.id.uri",
        "text": "record.text",
        "preprocessing_timestamp": "record.at",
    }
    assert outcome(path, columns=columns) == {"x1": ("hello", None)}


def test_a_column_with_a_dot_in_its_name_comes_first(tmp_path: Path) -> None:
    both = {"record": {"text": "no"}, "record.text": "hello"}
    (tmp_path / "a.jsonl").write_bytes(line(**both))
    parquet(tmp_path / "a.parquet", uri=["u1"], **{key: [value] for key, value in both.items()})
    for name in ("a.jsonl", "a.parquet"):
        assert outcome(tmp_path / name, columns=RECORD_TEXT) == {"u1": ("hello", None)}


@pytest.mark.parametrize(
    "record",
    [
        "{'text': 'hello', 'n': 1}",
        """'{"text": "hello", "n": 1}'::JSON""",
        """'{"text": "hello", "n": 1}'""",
    ],
)
def test_a_duckdb_column_may_be_a_struct_or_json_or_text_with_json(
    tmp_path: Path, record: str
) -> None:
    path = duckdb_table(tmp_path / "a.duckdb", f"SELECT 'u1' AS uri, {record} AS record")
    assert outcome(path, columns=RECORD_TEXT) == {"u1": ("hello", None)}
    assert "record.text" in rejected(path, {"text": "record"})


def test_text_with_json_is_read_in_parquet_and_csv(tmp_path: Path) -> None:
    records = ['{"text": "hello"}', '{"n": 1}', "no JSON", None]
    path = parquet(tmp_path / "a.parquet", uri=["u1", "u2", "u3", "u4"], record=records)
    expected = {"u1": ("hello", None)} | dict.fromkeys(("u2", "u3", "u4"), ("", "no_text"))
    assert outcome(path, columns=RECORD_TEXT) == expected
    csv = tmp_path / "a.csv"
    csv.write_bytes(HEADER + csv_row(text=b'"{""text"": ""hello""}"'))
    assert outcome(csv, columns={"text": "text.text"}) == {"u1": ("hello", None)}


@pytest.mark.parametrize("name", ["a.parquet", "a.jsonl"])
@pytest.mark.parametrize("column", ["text", "uri"])
def test_a_record_is_no_text_and_no_uri(tmp_path: Path, name: str, column: str) -> None:
    path = write(tmp_path / name, {"text": "hello", "langs": ["en"]})
    columns = {"text": "uri", "uri": "uri"} | {column: "record"}
    message = rejected(path, columns)
    assert "record.text" in message
    assert "record.langs" in message


@pytest.mark.parametrize("name", ["a.parquet", "a.jsonl"])
def test_a_list_is_no_text(tmp_path: Path, name: str) -> None:
    rejected(write(tmp_path / name, ["hello"]), {"text": "record"})


def test_an_object_that_comes_late_is_reported_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(
        b"".join(line(f"u{i}", text="[hello]") for i in range(3000))
        + b"\n"
        + line(text={"de": "hallo"})
    )
    message = rejected(path)
    assert f"{path}, line 3002:" in message
    assert "text.de" in message


def test_a_text_that_looks_like_json_is_a_text(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(line("u1", text="[1]") + line("u2", text='{"a": 1}') + line("u3", text="[x"))
    assert outcome(path) == {"u1": ("[1]", None), "u2": ('{"a": 1}', None), "u3": ("[x", None)}


@pytest.mark.parametrize("record", ['{"text": "hello"}', "{'text': 'hello', 'n': None}"])
def test_a_column_of_written_records_is_no_text(tmp_path: Path, record: str) -> None:
    """Following a hint must not end in labels of source code."""
    parquet(tmp_path / "a.parquet", uri=["u1", "u2"], record=[record, record])
    (tmp_path / "a.jsonl").write_bytes(line(record=record))
    for name in ("a.parquet", "a.jsonl"):
        assert "record.text" in rejected(tmp_path / name, {"text": "record"})


def test_a_field_that_no_row_has_is_missing(tmp_path: Path) -> None:
    parquet(tmp_path / "a.parquet", uri=["u1"], record=['{"body": "hello"}'])
    parquet(tmp_path / "b.parquet", uri=["u1"], record=[{"body": "hello"}])
    (tmp_path / "a.jsonl").write_bytes(line(record={"body": "hello"}))
    for name in ("a.parquet", "b.parquet", "a.jsonl"):
        assert "mean 'record'" not in rejected(tmp_path / name, RECORD_TEXT)


def test_structs_may_differ_from_file_to_file(tmp_path: Path) -> None:
    parquet(tmp_path / "a.parquet", uri=["u1"], record=[{"text": "one"}])
    parquet(tmp_path / "b.parquet", record=[{"langs": ["en"], "text": "two"}], uri=["u2"])
    assert outcome(tmp_path, columns=RECORD_TEXT) == {"u1": ("one", None), "u2": ("two", None)}
    other = parquet(tmp_path / "c.parquet", uri=["u3"], record=[{"langs": ["en"]}])
    assert str(other) in rejected(tmp_path, RECORD_TEXT)


@pytest.mark.parametrize("uri", [1.795e18, 1.5])
def test_a_floating_point_number_is_no_uri(tmp_path: Path, uri: float) -> None:
    parquet(tmp_path / "a.parquet", uri=[uri], text=["hello"])
    (tmp_path / "a.csv").write_bytes(HEADER + csv_row(str(uri).encode()))
    (tmp_path / "a.jsonl").write_bytes(line(uri=uri, text="hello"))  # type: ignore[arg-type]
    for name in ("a.parquet", "a.csv", "a.jsonl"):
        rejected(tmp_path / name)


def test_one_file_with_floating_point_uris_is_found_among_others(tmp_path: Path) -> None:
    parquet(tmp_path / "a.parquet", uri=["u1"], text=["hello"])
    other = parquet(tmp_path / "b.parquet", uri=[1.795e18], text=["hello"])
    assert str(other) in rejected(tmp_path)


def test_whole_numbers_are_uris_with_all_their_digits(tmp_path: Path) -> None:
    number = 1795000000000000001
    parquet(tmp_path / "a.parquet", uri=[number], text=["hello"])
    (tmp_path / "a.jsonl").write_bytes(line(uri=number, text="hello"))  # type: ignore[arg-type]
    rows = f"SELECT {number}::DECIMAL(19, 0) AS uri, 'hello' AS text"
    duckdb_table(tmp_path / "a.duckdb", rows)
    for name in ("a.parquet", "a.jsonl", "a.duckdb"):
        assert outcome(tmp_path / name) == {str(number): ("hello", None)}


def test_a_column_of_numbers_is_no_text(tmp_path: Path) -> None:
    rejected(parquet(tmp_path / "a.parquet", uri=["u1"], text=[5]))
    rejected(duckdb_table(tmp_path / "a.duckdb", "SELECT 'u1' AS uri, true AS text"))


def test_a_duckdb_table_may_be_filtered_by_nested_fields(tmp_path: Path) -> None:
    rows = "SELECT 'u1' AS uri, {'text': 'hello', 'lang': 'en'} AS record"
    path = duckdb_table(tmp_path / "a.duckdb", rows)
    assert outcome(path, columns=RECORD_TEXT, where="record.lang = 'de'") == {}
    assert len(outcome(path, columns=RECORD_TEXT, where="record.lang = 'en'")) == 1
