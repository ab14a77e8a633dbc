"""A post whose bytes are not text is set aside, and an identity or a time of that kind rejected."""

import gzip
from pathlib import Path

import pyarrow as pa
import pytest

from pipeline.errors import InputError
from tests.pipeline.backlog.formats.posts import (
    HEADER,
    csv_row,
    duckdb_table,
    line,
    outcome,
    parquet,
    strings,
)

BAD, FINE = "caf\ufffd", "x\ufffd"
EXPECTED = {"u1": ("fine", None), "u2": (BAD, "invalid_text"), "u3": (FINE, None)}
"""A post may have U+FFFD of its own."""


@pytest.mark.parametrize(
    "bad",
    [
        b"caf\xe9",
        b"caf\xc3",
        b"caf\xed\xa0\xbd",
        b"caf\\ud83d",
        b"caf\\uDE00",
        b"caf\x01",
        b"caf\0",
    ],
)
@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz", "a.json"])
def test_json_with_bytes_that_are_not_text(tmp_path: Path, bad: bytes, name: str) -> None:
    rows = line("u1", text="fine"), line("u2", text="?").replace(b"?", bad), line("u3", text=FINE)
    content = b"[" + b",\n".join(rows) + b"]" if name == "a.json" else b"".join(rows)
    (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    (tmp_path / "b.jsonl").write_bytes(line("v", text="fine"))
    found = outcome(tmp_path)
    assert set(found) == {"u1", "u2", "u3", "v"}
    assert found["u2"][0].rstrip("\ufffd") == "caf"
    assert found["u2"][1] == "invalid_text"
    assert found["u1"] == ("fine", None)
    assert found["u3"] == (FINE, None)


def test_escapes_that_are_text_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(
        line("u1", text="?").replace(b"?", rb"\ud83d\ude00 \\ud83d \u0000")
        + line("u2", text="?").replace(b"?", rb"\\\ud83d")
    )
    assert outcome(tmp_path) == {
        "u1": ("\U0001f600 \\ud83d \0", None),
        "u2": ("\\\ufffd", "invalid_text"),
    }


def test_a_fault_in_a_value_that_is_not_read_harms_no_post(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(line("u1", text=FINE, author="?").replace(b"?", b"\xe9"))
    assert outcome(tmp_path) == {"u1": (FINE, None)}


def test_csv_with_bytes_that_are_not_text(tmp_path: Path) -> None:
    rows = csv_row(text=b"fine"), csv_row(b"u2", b'"caf\xe9"'), csv_row(b"u3", FINE.encode())
    (tmp_path / "a.csv").write_bytes(HEADER + b"".join(rows))
    assert outcome(tmp_path) == EXPECTED


@pytest.mark.parametrize("data_type", [pa.string(), pa.large_string()])
def test_parquet_strings_with_bytes_that_are_not_text(
    tmp_path: Path, data_type: pa.DataType
) -> None:
    texts = strings([b"fine", b"caf\xe9", FINE.encode()], data_type)
    parquet(tmp_path / "a.parquet", uri=["u1", "u2", "u3"], text=texts)
    assert outcome(tmp_path) == EXPECTED


def test_strings_inside_a_parquet_struct_with_bytes_that_are_not_text(tmp_path: Path) -> None:
    texts = strings([b"fine", b"caf\xe9", FINE.encode()])
    record = pa.StructArray.from_arrays([texts, pa.array([[1], [], None])], ["text", "n"])
    parquet(tmp_path / "a.parquet", uri=["u1", "u2", "u3"], record=record)
    assert outcome(tmp_path, columns={"text": "record.text"}) == EXPECTED


def test_binary_columns_with_bytes_that_are_not_text(tmp_path: Path) -> None:
    texts = [b"fine", b"caf\xe9", FINE.encode()]
    parquet(tmp_path / "a.parquet", uri=[b"u1", b"u2", b"u3"], text=texts)
    assert outcome(tmp_path / "a.parquet") == EXPECTED
    rows = " UNION ALL ".join(
        f"SELECT '{uri}' AS uri, unhex('{text.hex()}') AS text"
        for uri, text in zip(("u1", "u2", "u3"), texts, strict=True)
    )
    assert outcome(duckdb_table(tmp_path / "a.duckdb", rows)) == EXPECTED


@pytest.mark.parametrize("column", ["uri", "preprocessing_timestamp"])
@pytest.mark.parametrize("name", ["a.jsonl", "a.csv", "a.parquet"])
def test_a_uri_or_time_that_is_not_text_is_reported_with_its_row(
    tmp_path: Path, column: str, name: str
) -> None:
    path = tmp_path / name
    bad = b"caf\xe9"
    if name == "a.jsonl":
        line_2 = line(**{"uri": "u2", "text": "hello", column: "?"}).replace(b"?", bad)
        path.write_bytes(line("u1", text="hello") + b"\n" + line_2 + line("u3", text="hello"))
    elif name == "a.csv":
        row = csv_row(bad) if column == "uri" else csv_row().replace(b"2024", bad)
        path.write_bytes(HEADER + csv_row() + row)
    else:
        columns = {"uri": ["u1", "u2"], "text": ["a", "b"], "at": ["2024-05-31", "2024-05-31"]}
        columns["at" if column != "uri" else "uri"] = strings([b"2024-05-31", bad])
        parquet(path, **columns)
    names = {"preprocessing_timestamp": "at"} if name == "a.parquet" else None
    place = f"{path}, line 3:" if name == "a.jsonl" else f"{path}, row 2:"
    with pytest.raises(InputError) as rejected:
        outcome(path, columns=names)
    assert place in str(rejected.value)
    assert BAD in str(rejected.value)


def test_a_row_that_where_leaves_out_needs_no_text(tmp_path: Path) -> None:
    bad = line("?", text="hello", kind="like").replace(b"?", b"\xe9")
    (tmp_path / "a.jsonl").write_bytes(line("u1", text="hello", kind="post") + bad)
    assert outcome(tmp_path, where="kind = 'post'") == {"u1": ("hello", None)}
