"""The row of a fault is one that a person finds in the file."""

import gzip
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.pipeline.backlog.source_files import STAMP, rejection

BAD = f"u2,hello,{STAMP}x"


def csv_with_lines_in_a_text() -> bytes:
    return f'uri,text,preprocessing_timestamp\n\nu1,"a\nb\n\nc",{STAMP}\r\n{BAD}\r\n'.encode()


def json_with_blank_lines() -> bytes:
    return "\n".join(["", json_line("u1", STAMP), " ", json_line("u2", "soon"), ""]).encode()


def json_line(uri: str, stamp: str) -> str:
    return f'{{"uri": "{uri}", "text": "hello", "preprocessing_timestamp": "{stamp}"}}'


@pytest.mark.parametrize(
    ("name", "content", "line"),
    [("a.csv", csv_with_lines_in_a_text, 7), ("a.jsonl", json_with_blank_lines, 4)],
)
@pytest.mark.parametrize("is_compressed", [False, True])
def test_the_line_of_a_row_is_named_where_its_number_does_not_lead_there(
    tmp_path: Path, name: str, content: Callable[[], bytes], line: int, is_compressed: bool
) -> None:
    path = tmp_path / name
    path.write_bytes(gzip.compress(content()) if is_compressed else content())
    assert rejection(path).startswith(f"{path}, row 2 (line {line}): ")


def test_a_row_of_csv_that_is_not_text_is_named_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(csv_with_lines_in_a_text().replace(b"u2", b"\xe9"))
    assert f"{path}, row 2 (line 7): " in rejection(path)


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl"])
def test_a_row_is_counted_in_the_file_and_not_among_those_that_where_keeps(
    tmp_path: Path, name: str
) -> None:
    path = tmp_path / name
    lines = [json_line(f"u{number}", "soon" if number == 5 else STAMP) for number in range(1, 7)]
    path.write_text("\n".join(lines) + "\n")
    if name == "a.csv":
        rows = [f"u{n},hello,{'soon' if n == 5 else STAMP}" for n in range(1, 7)]
        path.write_text("\n".join(["uri,text,preprocessing_timestamp", *rows]) + "\n")
    assert rejection(path, where="uri > 'u3'").startswith(f"{path}, row 5: ")
