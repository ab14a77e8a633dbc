"""Bytes that are no text set a post aside, and a uri of them ends the reading with its row."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.backlog.databases.sqlite_query import State
from pipeline.backlog.databases.sqlite_values import decode, reasons_of, texts_of
from tests.pipeline.backlog.databases.database_files import POSTS, make, rejected, texts, uris
from tests.pipeline.backlog.source_files import STAMP

BAD_TEXTS = {
    "latin-1": (b"caf\xe9 noir", "caf\ufffd noir"),
    "cut in a character": ("caf\N{LATIN SMALL LETTER E WITH ACUTE}".encode()[:-1], "caf\ufffd"),
    "half a pair": (b"day \xed\xa0\xbd", "day \ufffd"),
    "not a character": (b"\xff\xfe hello", "\ufffd\ufffd hello"),
}


def add(path: Path, uri: Any, text: Any, stamp: Any = STAMP, *, kind: str = "TEXT") -> None:
    """Insert a post, with bytes as they are under a storage class of SQLite."""
    # SQLite takes a bound value for UTF-8, and a written one for the encoding of the database.
    values = (
        f"CAST(x'{value.hex()}' AS {kind})" if isinstance(value, bytes) else f"'{value}'"
        for value in (uri, text, stamp)
    )
    make(path, f"INSERT INTO posts VALUES ({', '.join(values)})")


@pytest.mark.parametrize("name", BAD_TEXTS)
@pytest.mark.parametrize("kind", ["TEXT", "BLOB"])
def test_a_text_of_other_bytes_gets_a_reason_and_its_neighbors_none(
    tmp_path: Path, name: str, kind: str
) -> None:
    content, shown = BAD_TEXTS[name]
    path = make(tmp_path / "posts.db", rows=[("u1", "fine day", STAMP)])
    add(path, "u2", content, kind=kind)
    add(path, "u3", b"another day", kind=kind)
    assert texts(path) == {
        "u1": ("fine day", None),
        "u2": (shown, "invalid_text"),
        "u3": ("another day", None),
    }


def test_a_bad_text_is_found_far_behind_the_first_batch(tmp_path: Path) -> None:
    path = make(tmp_path / "posts.db")
    with closing(sqlite3.connect(path)) as connection:
        connection.executemany(
            "INSERT INTO posts VALUES (?, 'fine day', ?)",
            [(f"u{i:05}", STAMP) for i in range(20_000)],
        )
        connection.commit()
    add(path, "bad", b"caf\xe9")
    read = texts(path)
    assert read.pop("bad") == ("caf\ufffd", "invalid_text")
    assert len(read) == 20_000
    assert set(read.values()) == {("fine day", None)}


@pytest.mark.parametrize("encoding", ["UTF-16le", "UTF-16be"])
def test_a_database_in_utf_16_is_read_and_checked(tmp_path: Path, encoding: str) -> None:
    path = make(
        tmp_path / "posts.db",
        f"PRAGMA encoding = '{encoding}'",
        POSTS,
        rows=[("u1", "fine 😀 day", STAMP), ("u2", "bytes 😀".encode(), STAMP), ("u3", "", STAMP)],
    )
    codec = encoding.replace("UTF-16", "utf-16-")
    add(path, "u4", "half \ud83d".encode(codec, "surrogatepass"))
    add(path, "u5", b"caf\xe9", kind="BLOB")
    assert texts(path) == {
        "u1": ("fine 😀 day", None),
        "u2": ("bytes 😀", None),
        "u3": ("", None),
        "u4": ("half \ufffd", "invalid_text"),
        "u5": ("caf\ufffd", "invalid_text"),
    }


def test_null_is_no_text_and_an_empty_text_is_one(tmp_path: Path) -> None:
    rows = [("u1", None, STAMP), ("u2", "", STAMP), ("u3", b"", STAMP), ("u4", 5, STAMP)]
    path = make(tmp_path / "posts.db", rows=rows)
    assert texts(path) == {
        "u1": ("", "no_text"),
        "u2": ("", None),
        "u3": ("", None),
        "u4": ("5", None),
    }


@pytest.mark.parametrize("kind", ["TEXT", "BLOB"])
def test_a_uri_of_other_bytes_ends_the_reading_with_its_row(tmp_path: Path, kind: str) -> None:
    path = make(tmp_path / "posts.db", rows=[("u1", "fine day", STAMP)])
    add(path, b"u\xe9", b"hello", kind=kind)
    message = rejected(path)
    assert message.startswith(f"{path}, table posts, row 2 (rowid 2): column 'uri'")
    assert "u\ufffd" in message


def test_a_timestamp_of_other_bytes_ends_the_reading_with_its_row(tmp_path: Path) -> None:
    path = make(tmp_path / "posts.db", rows=[("u1", "fine day", STAMP)])
    add(path, "u2", b"hello", b"2024-05-31-13:00:0\xe9")
    message = rejected(path)
    assert message.startswith(f"{path}, row 2: column 'preprocessing_timestamp'")
    assert "(uri u2)" in message


def test_a_real_number_is_no_uri(tmp_path: Path) -> None:
    """SQLite would write 1795000000000000001 as 1.795e+18, which another post may share."""
    rows = [(1795000000000000001, "fine day", STAMP), (1.795e18, "other day", STAMP)]
    path = make(tmp_path / "posts.db", POSTS.replace("uri TEXT", "uri"), rows=rows)
    assert rejected(path).startswith(f"{path}, table posts, row 2 (rowid 2): column 'uri' holds")
    assert uris(path, where="typeof(uri) = 'integer'") == ["1795000000000000001"]


@given(contents=st.lists(st.binary(max_size=12) | st.text(max_size=5).map(str.encode), min_size=1))
def test_any_bytes_become_the_text_that_they_are_or_get_a_reason(contents: list[bytes]) -> None:
    values = decode(pa.array(contents, pa.binary()), pa.array([State.VALUE] * len(contents)))
    for content, text, reason in zip(
        contents, texts_of(values).to_pylist(), reasons_of(values).to_pylist(), strict=True
    ):
        try:
            assert (text, reason) == (content.decode(), None)
        except UnicodeDecodeError:
            assert reason == "invalid_text"
            assert "\ufffd" in text
