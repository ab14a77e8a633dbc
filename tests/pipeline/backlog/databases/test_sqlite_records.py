"""Texts inside records: JSON that SQLite reads, and Python literals."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.pipeline.backlog.databases.database_files import (
    make,
    records_file,
    rejected,
    texts,
    uris,
)
from tests.pipeline.backlog.source_files import ONE, STAMP, find, stage

TEXT = {"text": "record.text"}
FORMATS = {"json": json.dumps, "python": str}


def read(path: Path, record_format: str, **settings: Any) -> dict[str, tuple[str, str | None]]:
    settings.setdefault("columns", TEXT)
    return texts(path, record_format=record_format, **settings)


@pytest.mark.parametrize("record_format", FORMATS)
@pytest.mark.parametrize(
    "text",
    [
        "It's fine",
        'say "hi"',
        "two\nlines\t\\n",
        "😀 e\u0301",
        "nul \0 inside",
        "",
        "{'a': 1}",
        "null",
    ],
)
def test_a_text_inside_a_record_is_read_unchanged(
    tmp_path: Path, record_format: str, text: str
) -> None:
    record = {"langs": ["en"], "text": text, "reply": None, "labels": {"text": "not this one"}}
    path = records_file(tmp_path / "posts.db", FORMATS[record_format](record))
    assert read(path, record_format) == {"u1": (text, None)}


@pytest.mark.parametrize("record_format", FORMATS)
def test_uri_and_timestamp_can_be_inside_records_at_any_depth(
    tmp_path: Path, record_format: str
) -> None:
    serialize = FORMATS[record_format]
    record = serialize({"text": "fine day", "at": [{"ms": 5}, {"iso": "2024-05-31T13:00:00Z"}]})
    metadata = serialize({"post": {"ids": {"uri": "at://u1"}}})
    path = make(
        tmp_path / "posts.db",
        "CREATE TABLE posts (record TEXT, metadata TEXT)",
        rows=[(record, metadata)],
    )
    columns = {
        "uri": "metadata.post.ids.uri",
        "text": "record.text",
        "preprocessing_timestamp": "record.at.1.iso",
    }
    source = find(path, columns=columns)
    if record_format == "json":
        assert stage(source)[1] == [("at://u1", "fine day", ONE)]
    assert uris(path, columns=columns, record_format=record_format) == ["at://u1"]


@pytest.mark.parametrize("record_format", FORMATS)
def test_a_record_without_a_text_gets_the_reason_no_text(
    tmp_path: Path, record_format: str
) -> None:
    serialize = FORMATS[record_format]
    records = [{"text": "fine day"}, {"text": None}, {"langs": ["en"]}, ["a"], None]
    path = records_file(tmp_path / "posts.db", *map(serialize, records), None)
    assert read(path, record_format) == {
        "u1": ("fine day", None),
        **{f"u{i}": ("", "no_text") for i in range(2, 7)},
    }


@pytest.mark.parametrize("record_format", FORMATS)
@pytest.mark.parametrize(
    "broken", ['{"text": "cut', "{'text': 'cut", "", "plain words", "{'t': nan}"]
)
def test_a_broken_record_among_others_has_no_text(
    tmp_path: Path, record_format: str, broken: str
) -> None:
    good = FORMATS[record_format]({"text": "fine day"})
    path = records_file(tmp_path / "posts.db", good, broken)
    assert read(path, record_format) == {"u1": ("fine day", None), "u2": ("", "no_text")}


@pytest.mark.parametrize("record_format", FORMATS)
@pytest.mark.parametrize("nested", [{"en": "day"}, ["day"], [], {}])
def test_a_list_or_a_record_never_becomes_a_text(
    tmp_path: Path, record_format: str, nested: object
) -> None:
    serialize = FORMATS[record_format]
    path = records_file(
        tmp_path / "posts.db", serialize({"text": "fine day"}), serialize({"text": nested})
    )
    message = rejected(path, columns=TEXT, record_format=record_format)
    assert message.startswith(f"{path}, table posts, row 2 (rowid 2): column 'record.text' holds")


@pytest.mark.parametrize("record_format", FORMATS)
@pytest.mark.parametrize(
    ("uri", "shown"), [({"$link": "u"}, "link"), (1.795e18, "1.795e"), (["u"], "u")]
)
def test_a_uri_inside_a_record_must_be_a_text_or_a_whole_number(
    tmp_path: Path, record_format: str, uri: object, shown: str
) -> None:
    serialize = FORMATS[record_format]
    path = records_file(
        tmp_path / "posts.db",
        serialize({"uri": 1795000000000000001, "text": "a"}),
        serialize({"uri": uri, "text": "b"}),
    )
    columns = {"uri": "record.uri", "text": "record.text"}
    message = rejected(path, columns=columns, record_format=record_format)
    assert message.startswith(f"{path}, table posts, row 2 (rowid 2): column 'record.uri' holds")
    assert shown in message
    kept = {"columns": columns, "record_format": record_format, "where": "rowid = 1"}
    assert uris(path, **kept) == ["1795000000000000001"]


@pytest.mark.parametrize("record_format", FORMATS)
def test_a_broken_record_with_the_uri_is_an_error_with_its_row(
    tmp_path: Path, record_format: str
) -> None:
    good = FORMATS[record_format]({"uri": "u", "text": "fine day"})
    path = records_file(tmp_path / "posts.db", good, "{cut")
    columns = {"uri": "record.uri", "text": "record.text"}
    message = rejected(path, columns=columns, record_format=record_format)
    assert message.startswith(f"{path}, table posts, row 2 (rowid 2): column 'record'")
    assert "{cut" in message


@pytest.mark.parametrize("record_format", FORMATS)
def test_a_missing_timestamp_inside_a_record_is_an_error_with_its_row(
    tmp_path: Path, record_format: str
) -> None:
    serialize = FORMATS[record_format]
    path = records_file(
        tmp_path / "posts.db", serialize({"text": "a", "at": STAMP}), serialize({"text": "b"})
    )
    columns = {"text": "record.text", "preprocessing_timestamp": "record.at"}
    message = rejected(path, columns=columns, record_format=record_format)
    assert message.startswith(f"{path}, row 2: column 'record.at'")
    assert "(uri u2)" in message


def test_a_date_that_is_no_literal_is_a_reason_for_a_text_and_an_error_for_a_timestamp(
    tmp_path: Path,
) -> None:
    good = str({"text": "fine day", "at": STAMP})
    path = records_file(
        tmp_path / "posts.db", good, "{'text': 'b', 'at': datetime.datetime(2024, 5, 31)}"
    )
    assert read(path, "python")["u2"] == ("", "no_text")
    columns = {"text": "record.text", "preprocessing_timestamp": "record.at"}
    message = rejected(path, columns=columns, record_format="python")
    assert message.startswith(f"{path}, row 2: column 'record.at'")


@pytest.mark.parametrize("record_format", FORMATS)
def test_half_a_surrogate_pair_inside_a_record_is_not_a_text(
    tmp_path: Path, record_format: str
) -> None:
    path = records_file(
        tmp_path / "posts.db",
        r'{"text": "half \ud83d day"}',
        r'{"text": "whole \ud83d\ude00 day"}',
    )
    assert read(path, record_format) == {
        "u1": ("half \ufffd day", "invalid_text"),
        "u2": ("whole 😀 day", None),
    }


def test_json_may_be_stored_as_bytes_or_in_sqlites_binary_form(tmp_path: Path) -> None:
    path = records_file(tmp_path / "posts.db", b'{"text": "as bytes"}')
    # What SQLite 3.45 and later make of jsonb('{"a":"b"}') and jsonb('{"text":"hi"}').
    binary = bytes.fromhex("8c") + bytes.fromhex("47") + b"text" + bytes.fromhex("27") + b"hi"
    make(path, "SELECT 1", rows=[("u2", binary, STAMP)])
    assert read(path, "json") == {"u1": ("as bytes", None), "u2": ("hi", None)}


@pytest.mark.parametrize("record_format", FORMATS)
def test_records_in_a_utf_16_database_are_read(tmp_path: Path, record_format: str) -> None:
    record = FORMATS[record_format]({"text": "😀 fine day"})
    path = records_file(tmp_path / "posts.db", record, encoding="UTF-16le")
    assert read(path, record_format) == {"u1": ("😀 fine day", None)}


@pytest.mark.parametrize("record_format", FORMATS)
def test_a_table_in_which_no_record_has_the_key_is_rejected(
    tmp_path: Path, record_format: str
) -> None:
    serialize = FORMATS[record_format]
    path = records_file(tmp_path / "posts.db", serialize({"langs": ["en"]}), None)
    message = rejected(path, columns=TEXT, record_format=record_format)
    assert message.startswith(f"backlog.columns: {path}, table posts: ")


@pytest.mark.parametrize("record_format", FORMATS)
def test_rows_that_lack_the_key_by_chance_are_no_error(tmp_path: Path, record_format: str) -> None:
    serialize = FORMATS[record_format]
    path = records_file(tmp_path / "posts.db", serialize({"text": "a"}), serialize({"likes": 2}))
    assert read(path, record_format, where="uri = 'u2'") == {"u2": ("", "no_text")}


def test_the_other_record_format_is_suggested(tmp_path: Path) -> None:
    python = records_file(tmp_path / "a.db", str({"text": "It's", "reply": None}))
    assert "backlog.record_format to python" in rejected(python, columns=TEXT)
    as_json = records_file(tmp_path / "b.db", json.dumps({"text": "It's", "reply": None}))
    message = rejected(as_json, columns=TEXT, record_format="python")
    assert "backlog.record_format to json" in message


def test_a_column_of_the_whole_name_comes_before_a_path(tmp_path: Path) -> None:
    path = make(
        tmp_path / "posts.db",
        'CREATE TABLE posts (uri, record, "record.text", preprocessing_timestamp)',
        rows=[("u1", '{"text": "inside"}', "beside", STAMP)],
    )
    assert texts(path, columns=TEXT) == {"u1": ("beside", None)}


def test_keys_may_hold_dots_quotes_and_digits(tmp_path: Path) -> None:
    record = {"app.text": {"0": "zero", 'say "x"': "quotes", "é": "accent"}}
    path = records_file(tmp_path / "posts.db", json.dumps(record))
    for key, text in (("0", "zero"), ('"say ""x"""', "quotes"), ("é", "accent")):
        assert texts(path, columns={"text": f'record."app.text".{key}'}) == {"u1": (text, None)}
