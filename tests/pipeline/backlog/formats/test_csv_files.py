"""CSV is read by each file's header, and a fault is reported with its line."""

import csv
import io
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.backlog.formats.csv_files import column_names
from pipeline.errors import InputError
from tests.pipeline.backlog.formats.posts import HEADER, csv_row, line, outcome

FINE = {"u1": ("hello", None)}


def rejected(path: Path, where: str | None = None) -> str:
    with pytest.raises(InputError) as error:
        outcome(path, where=where)
    return str(error.value)


@pytest.mark.parametrize("rows_before", [1, 21_000])
@pytest.mark.parametrize(
    "fault",
    [
        csv_row(text=b'"a "b" c"'),
        csv_row(text=b'"a\\"b"'),
        csv_row(text=b'"never closed'),
        csv_row(text=b"a,b"),
        b"u2,2024-05-31\n",
        csv_row(text=b"a\nb"),
        csv_row(text=b"a\rb"),
    ],
)
def test_a_fault_is_reported_with_its_line(tmp_path: Path, rows_before: int, fault: bytes) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(HEADER + csv_row() * rows_before + fault + csv_row())
    message = rejected(path)
    assert f"{path}, line {rows_before + 2}: " in message
    assert "strict_mode" not in message


def test_the_line_counts_line_breaks_in_fields(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(HEADER + csv_row(text=b'"two\nlines"') + b"\n" + b"u2,hello\n")
    assert f"{path}, line 5: " in rejected(path)


@pytest.mark.parametrize("ends", [(b"\n", b"\r\n"), (b"\r\n", b"\n"), (b"\r\n", b"\r\n")])
def test_lines_may_end_in_different_ways(tmp_path: Path, ends: tuple[bytes, bytes]) -> None:
    rows = csv_row(text=b'"a\r\nb"').replace(STAMP_END, STAMP_END[:-1] + ends[0])
    rows += csv_row(b"u2", b'"c\nd"').replace(STAMP_END, STAMP_END[:-1] + ends[1])
    (tmp_path / "a.csv").write_bytes(HEADER + rows)
    assert outcome(tmp_path) == {"u1": ("a\r\nb", None), "u2": ("c\nd", None)}


ENDS = (b"\n", b"\r\n", b"\r")


@pytest.mark.parametrize("line_end", ENDS)
@pytest.mark.parametrize("blank_lines", [0, 2])
def test_a_line_break_in_a_column_name_says_nothing_about_the_ends_of_rows(
    tmp_path: Path, line_end: bytes, blank_lines: int
) -> None:
    for number, in_name in enumerate(ENDS):
        path = tmp_path / f"{number}.csv"
        lines = [b'"a\0b",' + HEADER, b"1," + csv_row(), b"2," + csv_row(b"u2", b"hello you")]
        content = b"".join(lines).replace(b"\n", line_end).replace(b"\0", in_name)
        path.write_bytes(line_end * blank_lines + content)
        assert outcome(path) == FINE | {"u2": ("hello you", None)}


def test_blank_lines_that_end_otherwise_than_the_header_are_rejected(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"\r\n" + HEADER + csv_row())
    assert f"{path}, line 1: " in rejected(path)


STAMP_END = b":00\n"


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"\xef\xbb\xbf" + HEADER + csv_row(), FINE),
        (HEADER + csv_row(text=b""), {"u1": ("", None)}),
        (HEADER + csv_row(text=b'5" disc'), {"u1": ('5" disc', None)}),
        (HEADER + csv_row().replace(b"\n", b",\n"), FINE),
        (HEADER.replace(b"\n", b"\r") + csv_row().replace(b"\n", b"\r"), FINE),
        (b"\n\n" + HEADER + b"\n" + csv_row() + b"\n\n", FINE),
        (HEADER.replace(b"text", b' text ,"text"') + csv_row(text=b"hello,no"), FINE),
    ],
)
def test_unusual_csv_is_read(
    tmp_path: Path, content: bytes, expected: dict[str, tuple[str, str | None]]
) -> None:
    (tmp_path / "a.csv").write_bytes(content)
    assert outcome(tmp_path) == expected


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("name", ["a.csv", "a.jsonl"])
def test_utf_16_is_read(tmp_path: Path, encoding: str, name: str) -> None:
    content = HEADER + csv_row(text="é😀".encode()) if name == "a.csv" else line(text="é😀")
    (tmp_path / name).write_bytes(("\ufeff" + content.decode()).encode(encoding))
    assert outcome(tmp_path) == {"u1": ("é😀", None)}


def test_files_may_have_other_columns_in_another_order(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"likes," + HEADER + b"12," + csv_row())
    (tmp_path / "b.csv").write_bytes(b"text,uri,preprocessing_timestamp\nhello,u2,2024-05-31\n")
    assert set(outcome(tmp_path, where="CAST(likes AS INT) >= 10 OR likes IS NULL")) == {"u1", "u2"}
    assert set(outcome(tmp_path, where="CAST(likes AS INT) >= 10")) == {"u1"}
    assert "CAST(likes AS BIGINT)" in rejected(tmp_path, "likes >= 10")


@pytest.mark.parametrize(
    ("header", "names"),
    [
        (["uri", " text "], ("uri", "text")),
        (["a", "A", "a", "a_1"], ("a", "A_1", "a_2", "a_1_1")),
        (["", "b", ""], ("column0", "b", "column2")),
    ],
)
def test_no_two_columns_have_one_name(header: list[str], names: tuple[str, ...]) -> None:
    assert column_names(header) == names


FIELDS = st.text(st.characters(codec="utf-8", exclude_characters="\r"), min_size=1, max_size=15)


@given(st.lists(FIELDS, min_size=1, max_size=5))
@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_a_file_reads_the_same_beside_a_row_that_is_not_text(
    tmp_path: Path, texts: list[str]
) -> None:
    """The slower way in which a file with a fault is read changes no other post."""
    stream = io.StringIO(newline="")
    csv.writer(stream, lineterminator="\n").writerows(
        (f"u{i}", text, "2024-05-31") for i, text in enumerate(texts)
    )
    rows = HEADER + stream.getvalue().encode()
    (tmp_path / "a.csv").write_bytes(rows)
    expected = outcome(tmp_path)
    (tmp_path / "a.csv").write_bytes(rows + csv_row(b"bad", b"\xff"))
    found = outcome(tmp_path)
    assert found.pop("bad") == ("\ufffd", "invalid_text")
    assert found == expected
