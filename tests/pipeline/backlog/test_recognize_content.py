"""The beginning of a file says what it holds; its name decides only where that says nothing."""

import bz2
import csv
import io
import json
import pickle
import zipfile

import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.orc as orc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.backlog.file_formats import (
    Compression,
    Empty,
    FileFormat,
    JsonLayout,
    NoData,
    Recognized,
    SourceKind,
    Unreadable,
)
from pipeline.backlog.recognize_content import (
    kind_by_name,
    recognize_compression,
    recognize_content,
)

COLUMNS = ("uri", "text", "preprocessing_timestamp")
HEADER = "uri,text,preprocessing_timestamp\n"
LINE = '{"uri": "a", "text": "b", "preprocessing_timestamp": "2024-05-31"}\n'
LINES = FileFormat(kind=SourceKind.JSON_LINES)
ARRAY = FileFormat(kind=SourceKind.JSON_LINES, layout=JsonLayout.ARRAY)
OBJECTS = FileFormat(kind=SourceKind.JSON_LINES, layout=JsonLayout.OBJECTS)


def separated(delimiter: str) -> FileFormat:
    return FileFormat(kind=SourceKind.CSV, delimiter=delimiter)


def recognize(content: str | bytes, name: str = "part-00001", *, size: int = 8192) -> Recognized:
    raw = content.encode() if isinstance(content, str) else content
    return recognize_content(raw[:size], name, COLUMNS, is_whole=len(raw) <= size)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (LINE, LINES),
        ("\ufeff" + LINE, LINES),
        ("\n \r\n" + LINE, LINES),
        (LINE.strip(), LINES),
        ("{}\n", LINES),
        (LINE + "{cut", LINES),
        ('{"uri": "a", "te\n' + LINE, LINES),
        (f"[{LINE}]", ARRAY),
        (f"[\n  {LINE}]", ARRAY),
        ("[]\n", ARRAY),
        ("[\n]", ARRAY),
        (json.dumps(json.loads(LINE), indent=2), OBJECTS),
        (json.dumps({"record": {"text": "a", "langs": ["en"]}}, indent="\t"), OBJECTS),
        (HEADER, separated(",")),
        ("\ufeff" + HEADER, separated(",")),
        ('"uri","text","preprocessing_timestamp"\r\n', separated(",")),
        (HEADER.encode("utf-16"), separated(",")),
        (b"\xfe\xff" + HEADER.encode("utf-16-be"), separated(",")),
        ((LINE * 200).encode("utf-16"), LINES),
        (HEADER.replace(",", "\t").encode("utf-16"), separated("\t")),
        ("URI, Text, Preprocessing_Timestamp\n", separated(",")),
        (HEADER.replace(",", "\t"), separated("\t")),
        (HEADER.replace(",", ";") + "a;b, c, d;2024", separated(";")),
        (HEADER.replace(",", "|"), separated("|")),
        ("id,langs,source,text,uri\n", separated(",")),
        ("number;body;time\n1;a, b;2024\n2;c;2024\n", separated(";")),
        ("", Empty()),
        (" \n\n", Empty()),
        ("\ufeff", Empty()),
        ("Posts of May, with text, uri and more\n\nSee the codebook.\n", NoData()),
        ("# Notes\n\nOne, two, three, four\n", NoData()),
        ("name: t\nbacklog: {source: in}\n", NoData()),
        ("[section]\nkey = value\n", NoData()),
        ("import json\n\nprint({})\n", NoData()),
        ("{\n  color: red;\n}\n", NoData()),
        ("<!DOCTYPE html>\n<html>", NoData()),
        ("%PDF-1.7\n\u00e2\n1 0 obj\n", NoData()),
        ("ORCID,uri,text,preprocessing_timestamp\n", separated(",")),
        ("RIFF,PAR1,BZh,uri,text,preprocessing_timestamp\n", separated(",")),
        ("a,uri,tDUCK,text\n", separated(",")),
        (b"\x89PNG\r\n\x1a\n\0\0", NoData()),
        (b"crc\0\0\0\x02\0", NoData()),
        (b"\0" * 100, NoData()),
        (b"SQLite format 3\0rest", FileFormat(kind=SourceKind.SQLITE)),
        (b"\x01" * 8 + b"DUCK\x40\0", FileFormat(kind=SourceKind.DUCKDB)),
        (b"PAR1\x15\x04", FileFormat(kind=SourceKind.PARQUET)),
    ],
)
def test_content_decides_where_a_name_says_nothing(
    content: str | bytes, expected: Recognized
) -> None:
    assert recognize(content) == expected


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.csv", LINE, LINES),
        ("a.jsonl", HEADER, separated(",")),
        ("a.csv", HEADER.replace(",", "\t"), separated("\t")),
        ("a.tsv", HEADER, separated(",")),
        ("a.parquet", LINE, LINES),
        ("a.csv", "x", separated(",")),
        ("a.tsv", "x", separated("\t")),
        ("A.TAB.GZ", "x", separated("\t")),
        ("a.jsonl", "x", LINES),
        ("a.json", "17", LINES),
        ("a.md", HEADER, separated(",")),
    ],
)
def test_content_comes_before_the_name(name: str, content: str, expected: Recognized) -> None:
    assert recognize(content, name) == expected


def in_memory_zip(name: str) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        archive.writestr("[Content_Types].xml", "<Types/>")
        archive.writestr(name, "content")
    return target.getvalue()


def arrow_bytes(write: object) -> bytes:
    target = io.BytesIO()
    write(pa.table({"uri": ["a"]}), target)  # type: ignore[operator]
    return target.getvalue()


def arrow_stream() -> bytes:
    target = pa.BufferOutputStream()
    table = pa.table({"uri": ["a"]})
    with pa.ipc.new_stream(target, table.schema) as writer:
        writer.write_table(table)
    return bytes(target.getvalue())


@pytest.mark.parametrize(
    "content",
    [
        in_memory_zip("posts.csv"),
        in_memory_zip("xl/workbook.xml"),
        b"\0" * 257 + b"ustar\x0000",
        arrow_bytes(feather.write_feather),
        arrow_bytes(orc.write_table),
        pickle.dumps([1], protocol=4),
        pickle.dumps([1], protocol=5),
        b"Obj\x01\x04\x16avro.schema",
        b"]\0\0\x80\0\xff",
        b"7z\xbc\xaf\x27\x1c\0\x04",
        b"RDX3\nX\n\0\0",
        arrow_stream(),
        HEADER.encode("utf-32"),
        b"\0\0\xfe\xff" + HEADER.encode("utf-32-be"),
        HEADER.encode("utf-16-le"),
        HEADER.encode("utf-16-be"),
        LINE.encode("utf-16-le"),
    ],
)
def test_data_that_is_not_read_is_recognized_under_any_name(content: bytes) -> None:
    assert isinstance(recognize(content), Unreadable)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.parquet", "hello"),
        ("a.db", "hello"),
        ("a.duckdb", b"\0" * 4096),
        ("a.csv", "<!doctype html>\n<title>Sign in</title>"),
        ("a.jsonl.gz", "<html>"),
        ("a.csv", b"\x00\x01binary\x00"),
        ("a.csv", b"\xff\xd8\xff\0"),
        ("a.jsonl", b"\0" * 100),
        ("a.xlsx", in_memory_zip("docProps/app.xml")),
        ("a.xls", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"),
    ],
)
def test_a_name_that_says_data_makes_another_content_unreadable(
    name: str, content: str | bytes
) -> None:
    assert isinstance(recognize(content, name), Unreadable)


@pytest.mark.parametrize("name", ["a.jsonl.br", "b.csv.GPG", "c.dta", "d.parquet.enc", "e.xlsb"])
def test_the_name_of_a_binary_file_may_say_what_it_is(name: str) -> None:
    assert isinstance(recognize(b"\x01\x02\x03\xff", name), Unreadable)
    assert recognize("# Notes\n", name) == NoData()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("codebook.docx", in_memory_zip("word/document.xml")),
        ("Thumbs.db", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"),
    ],
)
def test_documents_are_no_data(name: str, content: bytes) -> None:
    assert recognize(content, name) == NoData()


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("b.JSONL.GZ", SourceKind.JSON_LINES),
        ("a.jsonl.1", SourceKind.JSON_LINES),
        ("a.csv.2024.bz2", SourceKind.CSV),
        ("df.parquet.gzip", SourceKind.PARQUET),
        ("c.pq", SourceKind.PARQUET),
        ("x.sqlite3", SourceKind.SQLITE),
        ("part-00001", None),
        ("posts.txt", None),
        ("csv", None),
    ],
)
def test_the_case_and_what_is_appended_to_a_name_do_not_matter(
    name: str, kind: SourceKind | None
) -> None:
    assert kind_by_name(name) is kind


def test_compression_is_known_by_its_first_bytes() -> None:
    beginnings = {
        b"\x1f\x8b\x08": Compression.GZIP,
        b"\x28\xb5\x2f\xfd\0": Compression.ZSTD,
        b"BZh91AY&SY": Compression.BZIP2,
        bz2.compress(b""): Compression.BZIP2,
        b"BZh,uri,text": Compression.NONE,
        b"\xfd7zXZ\0\0": Compression.XZ,
        b"\x04\x22\x4d\x18": Compression.LZ4,
        b"PAR1": Compression.NONE,
        b"": Compression.NONE,
    }
    assert {head: recognize_compression(head) for head in beginnings} == beginnings


def test_a_first_line_that_is_longer_than_the_beginning_is_an_object_a_line() -> None:
    assert recognize(LINE.replace("b", "b" * 9000, 1) + LINE) == LINES


def test_a_row_that_is_cut_at_the_end_of_the_beginning_does_not_count() -> None:
    rows = "".join(f"{number};a, b;2024\n" for number in range(20))
    assert recognize("number;body;time\n" + rows, size=100) == separated(";")


@given(st.binary(max_size=300), st.sampled_from(["x", "a.csv", "a.jsonl", "a.parquet", "a.db"]))
def test_any_bytes_are_recognized_as_something(content: bytes, name: str) -> None:
    recognized = recognize(content, name)
    if not content:
        assert recognized == Empty()
    if name != "x":
        assert recognized != NoData()


_CELLS = st.text(st.characters(codec="utf-8", exclude_characters="\0\r\n"), max_size=20)


@given(st.sampled_from(",\t;|"), st.lists(st.tuples(_CELLS, _CELLS, _CELLS), max_size=5))
def test_a_table_with_our_columns_is_recognized_whatever_its_cells_hold(
    delimiter: str, rows: list[tuple[str, str, str]]
) -> None:
    target = io.StringIO()
    writer = csv.writer(target, delimiter=delimiter)
    writer.writerows([COLUMNS, *rows])
    assert recognize(target.getvalue()) == separated(delimiter)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)


@given(st.lists(st.dictionaries(st.text(max_size=5), _JSON), min_size=1, max_size=4))
def test_json_is_recognized_in_each_of_its_layouts(objects: list[dict[str, object]]) -> None:
    assert recognize("".join(json.dumps(each) + "\n" for each in objects)) == LINES
    assert recognize(json.dumps(objects)) == ARRAY
    assert recognize(json.dumps(objects, indent=1)) == ARRAY
    if objects[0]:
        assert recognize("\n".join(json.dumps(each, indent=1) for each in objects)) == OBJECTS
