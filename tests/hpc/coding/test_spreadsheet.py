"""Coding files survive spreadsheets, and hostile posts do not become formulas."""

import csv
import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpc.coding.spreadsheet import guard_cell, is_same_text, read_csv, write_csv
from pipeline.errors import InputError

TEXTS = [
    "plain",
    '=HYPERLINK("http://example.org","click")',
    "+1 for this",
    "-5",
    "@someone hi",
    "\tindented",
    "00123456789012345678",
    "1/2",
    "3.5.2024",
    "TRUE",
    'says "so, what?"; then\r\nleaves 😊 مرحبا \u200b',
    "'quoted'",
    "x" * 3000,
]


def content(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8", newline="")
    return path


def resaved(written: bytes, separator: str) -> str:
    """A file as a spreadsheet saves it after somebody coded: other separator and ends of lines."""
    rows = list(csv.reader(io.StringIO(written.decode("utf-8-sig"), newline="")))
    stream = io.StringIO(newline="")
    csv.writer(stream, delimiter=separator, lineterminator="\r\n").writerows(rows)
    return "\ufeff" + stream.getvalue().replace("\r\n", "\n").replace("\n", "\r\n")


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_a_file_is_read_as_spreadsheets_save_it(tmp_path: Path, separator: str) -> None:
    rows = [(f"uri-{number}", text, number) for number, text in enumerate(TEXTS)]
    written = write_csv(["uri", "text", "score"], rows, text_columns=frozenset({"text"}))
    path = content(tmp_path / "a.csv", resaved(written, separator))
    read = read_csv(path, ("score",), "coder")
    assert [(row.uri, row.typed["score"], row.place) for row in read] == [
        (uri, str(number), f"row {number + 2}") for uri, _, number in rows
    ]
    for row, text in zip(read, TEXTS, strict=True):
        assert row.text is not None and is_same_text(row.text, text), text
        assert not is_same_text(row.text + " more", text)


@given(st.text())
def test_no_text_begins_as_a_formula_or_stands_alone_as_a_number(text: str) -> None:
    cell = guard_cell(text)
    assert cell[:1] not in ("=", "+", "-", "@", "\t", "\r", "\n") or not cell
    assert not cell.strip().isdecimal()
    assert is_same_text(cell, text)
    assert cell in (text, f"'{text}")


@given(st.text(alphabet=st.characters(codec="utf-8", exclude_characters="\0")), st.text())
def test_another_text_is_not_taken_for_the_same(text: str, more: str) -> None:
    if more.strip() and more.isprintable():
        assert not is_same_text(f"{text}|{more}", text)


def test_a_file_of_excel_in_utf_16_and_with_a_line_for_the_separator_is_read(
    tmp_path: Path,
) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes("uri\ttoxic\r\nä\tWAHR\r\n\t\r\n".encode("utf-16"))
    (row,) = read_csv(path, ("toxic",), "coder")
    assert (row.uri, row.typed, row.text) == ("ä", {"toxic": "WAHR"}, None)
    content(path, "sep=;\r\nuri;Coder;TOXIC\r\na;anna;1\r\n")
    (row,) = read_csv(path, ("toxic",), "coder")
    assert (row.coder, row.typed) == ("anna", {"toxic": "1"})


@pytest.mark.parametrize(
    "text",
    [
        "",
        "text,toxic\na,1\n",
        "uri,text\na,b\n",
        "uri,toxic,toxic\na,1,0\n",
        "uri,toxic\na,1,2\n",
        'uri,toxic\n"a,1\n',
    ],
)
def test_a_file_that_cannot_be_a_coding_file_is_rejected(tmp_path: Path, text: str) -> None:
    with pytest.raises(InputError):
        read_csv(content(tmp_path / "a.csv", text), ("toxic",), "coder")


def test_a_file_in_latin_1_is_rejected_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes("uri,text,toxic\na,schön,1\n".encode("latin-1"))
    with pytest.raises(InputError) as error:
        read_csv(path, ("toxic",), "coder")
    assert f"{path}, line 2" in str(error.value)
