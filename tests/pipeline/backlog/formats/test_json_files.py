"""JSON is read by the keys that are named, however rare or late they are."""

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.backlog.clean_copies.clean_json import clean_line
from pipeline.errors import InputError
from tests.pipeline.backlog.formats.posts import line, outcome

LATE = 21_000
"""DuckDB would infer names from fewer lines than these."""


def rejected(path: Path, where: str | None = None) -> str:
    with pytest.raises(InputError) as error:
        outcome(path, where=where)
    return str(error.value)


def test_many_rare_keys_hide_no_column(tmp_path: Path) -> None:
    rows = (line(f"u{i}", text="hello", **{f"f.k{i % 60}": 1}) for i in range(300))
    (tmp_path / "a.jsonl").write_bytes(b"".join(rows))
    assert len(outcome(tmp_path)) == 300


def test_the_text_may_first_appear_late(tmp_path: Path) -> None:
    rows = [line(f"u{i}") for i in range(LATE)] + [line("v", text="hello")]
    (tmp_path / "a.jsonl").write_bytes(b"".join(rows))
    found = outcome(tmp_path)
    assert found.pop("v") == ("hello", None)
    assert set(found.values()) == {("", "no_text")}
    assert len(found) == LATE


def test_a_key_of_where_may_first_appear_late(tmp_path: Path) -> None:
    rows = [line(f"u{i}", text="hello") for i in range(LATE)]
    (tmp_path / "a.jsonl").write_bytes(b"".join(rows) + line("v", text="hello", Rare=1))
    assert set(outcome(tmp_path, where="rare = '1'")) == {"v"}


def test_most_files_may_be_empty(tmp_path: Path) -> None:
    for i in range(40):
        content = b"" if i < 30 else b"\n \n" if i < 35 else line(f"u{i}", text="hello")
        (tmp_path / f"h{i}.jsonl").write_bytes(content)
    assert set(outcome(tmp_path)) == {f"u{i}" for i in range(35, 40)}


@pytest.mark.parametrize("lost", ["uri", "text", "preprocessing_timestamp"])
def test_a_file_in_which_no_line_has_a_key_is_rejected(tmp_path: Path, lost: str) -> None:
    (tmp_path / "a.jsonl").write_bytes(line(text="hello"))
    values = {"uri": "u2", "text": "hello", "preprocessing_timestamp": "2024-05-31"}
    nested = {lost: values.pop(lost)}
    other = tmp_path / "b.jsonl"
    other.write_text(json.dumps(values | {"record": nested}) + "\n")
    assert str(other) in rejected(tmp_path)


def test_a_file_of_blank_lines_lacks_no_key(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b"\n \n")
    assert outcome(tmp_path / "a.jsonl", where="likes = '1'") == {}


def test_a_key_that_is_null_in_every_line_is_there(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(line(text=None))
    assert outcome(tmp_path) == {"u1": ("", "no_text")}


def test_a_key_that_where_uses_and_no_line_has_is_rejected(tmp_path: Path) -> None:
    """It would else be NULL everywhere, and all posts be left out without a word."""
    (tmp_path / "a.jsonl").write_bytes(line(text="hello", likes=1))
    assert "'likes'" in rejected(tmp_path, "likez = '1'")


@pytest.mark.parametrize(
    ("where", "kept"),
    [
        ("record.lang = 'en'", {"u1"}),
        ("record.lang IS NULL", {"u3", "u4"}),
        ("record.reply.root = 'r' AND record.lang <> 'x'", {"u2"}),
        ("record->>'lang' = 'de'", {"u2"}),
        ("json_extract_string(record, '$.reply.root') = 'r'", {"u2"}),
        ("CAST(record.likes AS INT) >= 10", {"u1"}),
        ("tag IN (SELECT name FROM (SELECT 'a' AS name) AS uri)", {"u1", "u3"}),
        ("len(list_filter([tag], lambda likes: likes = 'b')) = 1", {"u2"}),
    ],
)
def test_where_can_use_nested_values(tmp_path: Path, where: str, kept: set[str]) -> None:
    (tmp_path / "a.jsonl").write_bytes(
        line("u1", text="hello", tag="a", record={"lang": "en", "likes": 12})
        + line("u2", text="hello", tag="b", record={"lang": "de", "reply": {"root": "r"}})
        + line("u3", text="hello", tag="a", record={"likes": 9})
        + line("u4", text="hello")
    )
    assert set(outcome(tmp_path, where=where)) == kept


@pytest.mark.parametrize("where", ["record.lnag = 'en'", "record.Lang = 'en'", "record.a.b = ''"])
def test_a_field_that_where_uses_and_no_line_has_is_rejected(tmp_path: Path, where: str) -> None:
    (tmp_path / "a.jsonl").write_bytes(line(text="hello", record={"lang": "en", "a": "b"}))
    assert "record." in rejected(tmp_path, where)


def test_a_field_that_where_uses_may_be_in_a_late_line_of_one_file(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(line("u0", text="hello", record=None))
    (tmp_path / "b.jsonl").write_bytes(
        b"".join(line(f"u{number}", text="hello", record={}) for number in range(1, 100))
        + line("late", text="hello", record={"lang": "en"})
    )
    assert set(outcome(tmp_path, where="record.lang = 'en'")) == {"late"}


@pytest.mark.parametrize(
    "where", ["lang = 'en') OR (1 = 1", "1 = 1 UNION SELECT 1", "1 = 1; SELECT 1", "1 = 1 LIMIT 1"]
)
def test_a_condition_is_one_condition(tmp_path: Path, where: str) -> None:
    (tmp_path / "a.jsonl").write_bytes(line(text="hello", lang="de"))
    assert rejected(tmp_path, where).startswith("backlog.where: ")


@pytest.mark.parametrize("where", ["likes >= 10", "lang = 'en' AND likes > 3", "record.likes > 3"])
def test_a_comparison_of_text_with_a_number_is_answered_with_a_cast(
    tmp_path: Path, where: str
) -> None:
    row = {"text": "hello", "likes": 12, "lang": "en", "record": {"likes": 12}}
    (tmp_path / "a.jsonl").write_bytes(line(**row))
    cast = "CAST(record.likes AS BIGINT)" if "record" in where else "CAST(likes AS BIGINT)"
    assert cast in rejected(tmp_path, where)
    likes = cast.removeprefix("CAST(").removesuffix(" AS BIGINT)")
    assert len(outcome(tmp_path, where=where.replace(likes, cast))) == 1


def test_a_condition_that_fails_on_a_value_is_blamed_for_it(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(line(text="hello", likes="many"))
    assert rejected(tmp_path, "CAST(likes AS INT) > 3").startswith("backlog.where: ")


def test_keys_that_differ_only_in_case_are_different(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(line(text="hello", Text="no"))
    assert outcome(tmp_path) == {"u1": ("hello", None)}


def test_unusual_json_is_read(tmp_path: Path) -> None:
    crlf = line(text="a\u2028b").replace(b"\n", b"\r\n")
    (tmp_path / "a.jsonl").write_bytes(b"\xef\xbb\xbf" + crlf + b"\r\n" + line("u2", text=1.5))
    assert outcome(tmp_path) == {"u1": ("a\u2028b", None), "u2": ("1.5", None)}


TEXTS = st.text(st.characters(codec="utf-8"), max_size=20)


@given(st.lists(TEXTS, min_size=1, max_size=5), st.booleans())
@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_a_file_reads_the_same_beside_a_line_that_is_not_text(
    tmp_path: Path, texts: list[str], is_ascii: bool
) -> None:
    """The slower way in which a file with a fault is read changes no other post."""
    rows = "".join(
        json.dumps(
            {"uri": f"u{i}", "text": text, "preprocessing_timestamp": "2024-05-31"},
            ensure_ascii=is_ascii,
        )
        + "\n"
        for i, text in enumerate(texts)
    ).encode()
    (tmp_path / "a.jsonl").write_bytes(rows)
    expected = outcome(tmp_path)
    (tmp_path / "a.jsonl").write_bytes(rows + line("bad", text="?").replace(b"?", b"\xff"))
    found = outcome(tmp_path)
    assert found.pop("bad") == ("\ufffd", "invalid_text")
    assert found == expected


@given(st.text(st.characters(codec="utf-8"), max_size=30))
def test_a_line_of_good_json_is_not_changed(text: str) -> None:
    good = json.dumps({"text": text}) + "\n"
    assert clean_line(good) == good
