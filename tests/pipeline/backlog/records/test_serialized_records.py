"""Texts that are serialized records are recognized, and never labeled."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.backlog.records.serialized_records import recognize_records
from tests.pipeline.backlog.source_files import STAMP, WRITERS, find, rejection, stage

RECORD = {"$type": "post", "text": "It's fine", "langs": ["en"], "reply": None, "e": {"text": "b"}}
KEYS = st.text(max_size=4)
VALUES = st.none() | st.text(max_size=4) | st.integers()
RECORDS = st.dictionaries(KEYS, VALUES, max_size=3).map(lambda values: {**values, "text": "day"})


@given(records=st.lists(RECORDS, min_size=1, max_size=3))
def test_records_are_recognized_in_both_formats(records: list[dict[str, object]]) -> None:
    assert recognize_records([json.dumps(record) for record in records]) is not None
    assert recognize_records([str(record) for record in records]) is not None


@pytest.mark.parametrize(
    "texts",
    [
        [],
        ["fine day"],
        [json.dumps(RECORD), "fine day"],
        ["{smile}", "{not json}"],
        ["[1, 2]"],
        ["5"],
        ["{}"],
        ["{'a': 1}"],
        ['"{}"'],
    ],
)
def test_texts_are_not_taken_for_records(texts: list[str]) -> None:
    assert recognize_records(texts) is None


@pytest.mark.parametrize(
    ("key", "path"),
    [("text", "record.text or "), ("uri", "record.$type or "), ("preprocessing_timestamp", "")],
)
def test_the_likeliest_path_is_suggested_first(key: str, path: str) -> None:
    for serialize in (json.dumps, str):
        sample = recognize_records([serialize(RECORD)])
        assert sample is not None
        assert f"such as {path}" in sample.advice("record", key)


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("serialize", [json.dumps, str])
@pytest.mark.parametrize("column", ["uri", "text", "preprocessing_timestamp"])
def test_a_column_of_records_is_rejected_with_a_path(
    tmp_path: Path, name: str, serialize: type[str], column: str
) -> None:
    plain = {"text": "fine day", "preprocessing_timestamp": STAMP}
    posts = [{"uri": f"u{i}", **plain, column: serialize({**RECORD, "n": i})} for i in range(3)]
    rows = [(post["uri"], post["text"], post["preprocessing_timestamp"]) for post in posts]
    path = WRITERS[name](tmp_path / name, rows)
    assert f"{column}.text" in rejection(path)


@pytest.mark.parametrize("name", WRITERS)
def test_a_post_that_holds_json_by_chance_is_a_post(tmp_path: Path, name: str) -> None:
    rows = [("u1", "fine day", STAMP), ("u2", json.dumps(RECORD), STAMP)]
    path = WRITERS[name](tmp_path / name, rows)
    assert stage(find(path), exclude=["u1"])[0].posts == 1
