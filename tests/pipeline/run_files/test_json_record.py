"""One reader for every JSON file of a run's folder: of any content, it names the file, and ends."""

import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import limits
from pipeline.config.keys import Section
from pipeline.errors import InputError
from pipeline.limits import JSON_LEVELS
from pipeline.run_files import json_record


class Record(Section, frozen=True, kw_only=True):
    number: int
    values: dict[str, Any] = {}  # noqa: RUF012 - msgspec copies it


def nested(levels: int, opening: str = "[", closing: str = "]") -> str:
    return opening * levels + closing * levels


@pytest.mark.parametrize(
    "values",
    [
        nested(JSON_LEVELS),
        nested(900),
        nested(100_000),
        nested(100_000, '{"a":', "}"),
        "[" * 100_000,
        '"' + "[" * 100_000,
    ],
    ids=["a little too deep", "at Python's limit", "lists", "objects", "open lists", "a text"],
)
@pytest.mark.parametrize("key", ["values", "unknown"])
def test_what_is_nested_too_deep_is_damaged_and_no_traceback(values: str, key: str) -> None:
    content = f'{{"number": 1, "{key}": {{"a": {values}}}}}'.encode()
    with pytest.raises(InputError, match=r"x\.json") as raised:
        json_record.parse_record(content, Record, source="x.json")
    assert len(str(raised.value)) < 1000
    with pytest.raises(InputError):
        json_record.parse_values(content, dict[str, object], source="x.json")
    versioned = f'{{"format": 1, "version": "1", "{key}": {{"a": {values}}}}}'.encode()
    with pytest.raises(InputError, match=r"x\.json"):
        json_record.parse_version(versioned, source="x.json", kind="a record")
        json_record.parse_record(versioned, Record, source="x.json")


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)


@given(st.binary() | ANYTHING.map(lambda value: repr(value).encode(errors="replace")))
def test_any_content_is_a_record_or_rejected(content: bytes) -> None:
    for parse in (
        lambda: json_record.parse_record(content, Record, source="x.json"),
        lambda: json_record.parse_version(content, source="x.json", kind="a record"),
        lambda: json_record.parse_values(content, dict[str, object], source="x.json"),
    ):
        try:
            parse()
        except InputError as error:
            assert "x.json" in str(error)


@pytest.mark.parametrize("kind", ["pipe", "device", "folder", "too large"])
def test_what_is_no_file_of_a_usual_size_is_not_waited_for(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "x.json"
    match kind:
        case "pipe":
            os.mkfifo(path)
        case "device":
            path.symlink_to("/dev/zero")
        case "folder":
            path.mkdir()
        case "too large":
            with path.open("wb") as stream:
                stream.truncate(limits.RECORD_BYTES + 1)
    with pytest.raises(OSError, match=r"x\.json"):
        json_record.read_record(path, Record)


def test_a_record_of_the_largest_size_is_read(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_bytes(b'{"number": 1}'.ljust(limits.RECORD_BYTES))
    assert json_record.read_record(path, Record) == Record(number=1)
