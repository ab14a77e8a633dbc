"""Say where a row is in a file, so that a person finds it in an editor."""

import csv
from collections.abc import Iterator

from pipeline.backlog.clean_copies.open_text import open_text
from pipeline.backlog.file_formats import JsonLayout, SourceFile, SourceKind


def describe_row(file: SourceFile, row: int) -> str:
    """Return "row 2", and the line too where it is not the one that the row's number suggests.

    Args:
        file: a file that can be read.
        row: the number of the row, from 1, without the header.
    """
    is_csv = file.kind is SourceKind.CSV
    if not is_csv and not has_lines(file):
        return f"row {row}"
    lines = _lines_of_csv(file) if is_csv else _lines_of_json(file)
    line = next((line for number, line in enumerate(lines, 1) if number == row), None)
    expected = row + 1 if is_csv else row
    return f"row {row}" if line in (None, expected) else f"row {row} (line {line})"


def has_lines(file: SourceFile) -> bool:
    """Tell whether a file is JSON with one object a line."""
    return file.kind is SourceKind.JSON_LINES and file.format.layout is JsonLayout.LINES


def _lines_of_json(file: SourceFile) -> Iterator[int]:
    """Yield the number of each line that is not blank."""
    with open_text(file.path, file.format.compression) as text:
        for number, line in enumerate(text, 1):
            if line.strip():
                yield number


def _lines_of_csv(file: SourceFile) -> Iterator[int]:
    """Yield the number of the line in which each row after the header begins."""
    with open_text(file.path, file.format.compression) as text:
        rows = csv.reader(text, delimiter=file.format.delimiter)
        is_header, beginning = True, 1
        for row in rows:
            if row and not is_header:
                yield beginning
            is_header = is_header and not row
            beginning = rows.line_num + 1
