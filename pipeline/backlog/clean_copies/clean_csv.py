"""Write a copy of a CSV file with one dialect and one kind of line end, or say what is wrong in it.

DuckDB reads a file whose lines end in different ways, or whose bytes are not text, only in such a
copy. Python's csv module is the judge of faults: it knows the line.
"""

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from pipeline.errors import InputError
from pipeline.terminal import one_line

# A post is never as long; DuckDB stops at 2 million bytes a line [ran].
_MOST_CHARACTERS = 2_000_000
_SHOWN = 60

QUOTING = (
    'a field with commas, line breaks or quotes needs quotes around it, and "" for each quote in it'
)


def copy_csv(path: Path, source: IO[str], target: IO[str], delimiter: str) -> None:
    """Copy a CSV file, with every field in quotes.

    Args:
        path: the file, for messages.
        source: its text, opened with `newline=""`.
        target: where the copy goes.
        delimiter: what separates its fields.

    Raises:
        InputError: a row cannot be read; the message has the file, the line and what to do.
    """
    writer = csv.writer(target, delimiter=delimiter, quoting=csv.QUOTE_ALL, lineterminator="\n")
    writer.writerows(_rows(path, source, delimiter))


def _rows(path: Path, source: IO[str], delimiter: str) -> Iterator[list[str]]:
    csv.field_size_limit(_MOST_CHARACTERS)
    lines = _Lines(source)
    rows = csv.reader(lines, delimiter=delimiter, strict=True)
    columns, first_line = 0, 1
    while True:
        try:
            row = next(rows, None)
        except csv.Error:
            raise _unmatched_quotes(path, first_line, is_at_end=lines.are_used_up) from None
        if row is None:
            return
        if row:
            columns = columns or len(row)
            if len(row) == columns + 1 and not row[-1]:  # a delimiter at the end of the line
                row.pop()
            if len(row) != columns:
                raise _wrong_width(path, first_line, columns, row)
            yield row
        first_line = rows.line_num + 1


class _Lines:
    """The lines of a text, and whether more were wanted than there are."""

    def __init__(self, source: IO[str]) -> None:
        self._source = source
        self.are_used_up = False

    def __iter__(self) -> Iterator[str]:
        yield from self._source
        self.are_used_up = True


def _unmatched_quotes(path: Path, line: int, *, is_at_end: bool) -> InputError:
    problem = (
        "a quote opens a field in this row, and is never closed"
        if is_at_end
        else "a quote inside a quoted field is not doubled, or a quoted field is never closed"
    )
    return InputError(f"backlog.source: {path}, line {line}: {problem}: {QUOTING}")


def _wrong_width(path: Path, line: int, columns: int, row: list[str]) -> InputError:
    beginning = one_line(",".join(row), _SHOWN)
    return InputError(
        f"backlog.source: {path}, line {line}: the row has {len(row)} fields, and the header has "
        f"{columns} ({beginning!r}): {QUOTING}"
    )
