"""Records that are Python literals are read from every format that has texts for them."""

import json
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.backlog.records.literal_records import literal_as_json
from pipeline.errors import InputError
from tests.pipeline.backlog.databases.database_files import records_file, rejected, source, texts
from tests.pipeline.backlog.source_files import STAMP, stage

RECORDS = [
    str({"text": 'It\'s "fine"\n😀', "langs": ["en"], "reply": None}),
    str({"text": None}),
    str({"langs": []}),
    "{'text': 'a', 'at': datetime.datetime(2024, 5, 31)}",
    r"{'text': 'half \ud83d', 'n': (1, {2})}",
    r"{'text': 'whole \ud83d\ude00'}",
]
READ = {
    "u1": ('It\'s "fine"\n😀', None),
    "u2": ("", "no_text"),
    "u3": ("", "no_text"),
    "u4": ("", "no_text"),
    "u5": ("half \ufffd", "invalid_text"),
    "u6": ("whole 😀", None),
}
SETTINGS: dict[str, Any] = {"columns": {"text": "record.text"}, "record_format": "python"}


def write(path: Path, records: list[str]) -> Path:
    columns = {
        "uri": [f"u{i}" for i, _ in enumerate(records, 1)],
        "record": records,
        "preprocessing_timestamp": [STAMP] * len(records),
    }
    table = pa.table(columns)
    match path.suffix:
        case ".db":
            records_file(path, *records)
        case ".parquet":
            pq.write_table(table, path)
        case ".duckdb":
            with duckdb.connect(str(path)) as connection:
                connection.register("new", table)
                connection.execute("CREATE TABLE posts AS SELECT * FROM new")
        case ".csv":
            duckdb.from_arrow(table).write_csv(str(path))
    return path


@pytest.mark.parametrize("name", ["posts.db", "posts.parquet", "posts.duckdb", "posts.csv"])
def test_texts_inside_literals_are_the_same_in_every_format(tmp_path: Path, name: str) -> None:
    assert texts(write(tmp_path / name, RECORDS), **SETTINGS) == READ


@pytest.mark.parametrize("name", ["posts.db", "posts.parquet", "posts.duckdb", "posts.csv"])
def test_a_record_inside_a_literal_is_no_text(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / name, [str({"text": "a"}), str({"text": {"en": "b"}})])
    assert "record.text" in rejected(path, **SETTINGS)


def test_json_lines_have_no_literals(tmp_path: Path) -> None:
    path = tmp_path / "posts.jsonl"
    post = {"uri": "u1", "record": RECORDS[0], "preprocessing_timestamp": STAMP}
    path.write_text(json.dumps(post) + "\n")
    with pytest.raises(InputError, match="record_format"):
        stage(source(path, **SETTINGS))


@given(
    record=st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=8,
    )
)
def test_a_literal_is_the_same_value_as_json(record: object) -> None:
    converted = literal_as_json(str({"record": record}))
    assert converted is not None
    assert json.loads(converted) == {"record": record}


@pytest.mark.parametrize("record", ["{'a': 1e999}", "oops", "{'text': open('x')}"])
def test_what_is_no_literal_or_no_json_is_none(record: str) -> None:
    assert literal_as_json(record) is None
