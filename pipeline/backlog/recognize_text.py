"""Tell JSON Lines, JSON and delimited text from other text by their beginning."""

import csv
import json
import re
from collections.abc import Sequence

from pipeline.backlog.file_formats import Empty, FileFormat, JsonLayout, SourceKind

_DELIMITERS = (",", "\t", ";", "|")
# A source has three columns.
_FEWEST_COLUMNS = 3
_ROWS_LOOKED_AT = 20
_OBJECT = re.compile(r"\{\s*(?:[\"}]|$)")
_ARRAY = re.compile(r"\[\s*(?:\{|\]?$)")
# A line of an indented object ends so; a line that was cut ends within a string or a number.
_GOES_ON = re.compile(r"[{\[,:]\s*$")


def recognize_text(
    head: bytes, columns: Sequence[str], *, is_whole: bool
) -> FileFormat | Empty | None:
    """Return what a text is by its beginning; None if that does not say.

    Args:
        head: the first bytes.
        columns: what the source calls its columns.
        is_whole: whether these are all bytes of the file.
    """
    text = head.decode("utf-8-sig", errors="replace")
    stripped = text.strip()
    if not stripped:
        return Empty() if is_whole else None
    if _ARRAY.match(stripped):
        return FileFormat(kind=SourceKind.JSON_LINES, layout=JsonLayout.ARRAY)
    if _OBJECT.match(stripped):
        layout = _layout_of_objects(text.lstrip())
        return FileFormat(kind=SourceKind.JSON_LINES, layout=layout)
    delimiter = _find_delimiter(text, columns, is_whole=is_whole)
    return FileFormat(kind=SourceKind.CSV, delimiter=delimiter) if delimiter else None


def _layout_of_objects(text: str) -> JsonLayout:
    """Return whether the first object fills one line, or goes over several."""
    first, _, rest = text.partition("\n")
    is_only = not rest.strip()  # or longer than what was read
    if is_only or first.rstrip().endswith("}"):
        return JsonLayout.LINES
    try:
        json.loads(first)
    except (ValueError, RecursionError):
        return JsonLayout.OBJECTS if _GOES_ON.search(first) else JsonLayout.LINES
    return JsonLayout.LINES


def _find_delimiter(text: str, columns: Sequence[str], *, is_whole: bool) -> str | None:
    """Return what separates the columns of a table; None if the text does not look like one.

    The header says it: with the right delimiter, it has the names of the columns.
    """
    lines = text.splitlines()
    if not is_whole and len(lines) > 1:
        lines.pop()  # it may be cut
    wanted = {column.casefold() for column in columns}
    named = {
        delimiter: len(wanted & {name.strip().casefold() for name in header})
        for delimiter in _DELIMITERS
        for header in _rows(lines[:1], delimiter)
    }
    best = max(named, key=named.__getitem__, default=None)
    if best and named[best] > 1:
        return best
    return _delimiter_of_even_rows(lines[:_ROWS_LOOKED_AT])


def _delimiter_of_even_rows(lines: Sequence[str]) -> str | None:
    """Return the delimiter with which all rows have equally many columns, three or more."""
    for delimiter in _DELIMITERS:
        rows = _rows(lines, delimiter)
        widths = {len(row) for row in rows}
        if len(rows) > 1 and len(widths) == 1 and widths.pop() >= _FEWEST_COLUMNS:
            return delimiter
    return None


def _rows(lines: Sequence[str], delimiter: str) -> list[list[str]]:
    try:
        return [row for row in csv.reader(lines, delimiter=delimiter) if row]
    except csv.Error:
        return []
