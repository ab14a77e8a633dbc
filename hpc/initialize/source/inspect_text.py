"""List the columns of CSV and JSON files, by the beginning of the first one."""

import csv
import io
import json
import re
from collections.abc import Iterator, Mapping, Sequence

from hpc.initialize.source.facts import TableFacts
from hpc.initialize.source.sample_values import describe_columns, rows_to_sample
from pipeline import strict_json
from pipeline.backlog.clean_copies.open_text import open_text
from pipeline.backlog.decompress import DamagedCompressionError
from pipeline.backlog.file_formats import Compression, JsonLayout, SourceFile, SourceKind
from pipeline.backlog.formats.csv_files import column_names

_BEGINNING = 1 << 20
# The first character that is not between two objects.
_OBJECT = re.compile(r"[^ \t\r\n,]")


def inspect_text(files: Sequence[SourceFile]) -> TableFacts:
    """Return the columns of CSV or JSON files of one kind, and about how many rows they have.

    Only the first mebibyte of the first file is read. The rows are estimated by the files' sizes.
    """
    first = files[0]
    try:
        with open_text(first.path, first.format.compression) as stream:
            beginning = stream.read(_BEGINNING)
            is_whole = not stream.read(1)
    except (DamagedCompressionError, OSError) as error:
        return TableFacts(name=None, problem=f"{first.path} cannot be read: {error}")
    if first.kind is SourceKind.CSV:
        names, rows = _csv_rows(beginning, first.format.delimiter, is_whole=is_whole)
    else:
        names, rows = _json_rows(beginning, first.format.layout)
    if not names:
        return TableFacts(name=None, problem=f"{first.path} begins with no row that can be read")
    sampled = rows[: rows_to_sample(len(names))]
    count, is_estimate = _count(files, len(rows), beginning, is_whole=is_whole)
    return TableFacts(
        name=None,
        columns=describe_columns(dict.fromkeys(names, ""), sampled),
        rows=count,
        is_estimate=is_estimate,
    )


def _csv_rows(
    text: str, delimiter: str, *, is_whole: bool
) -> tuple[tuple[str, ...], list[tuple[object, ...]]]:
    """Return the columns of the header, and the rows below that have a value for each."""
    rows: list[list[str]] = []
    try:
        for row in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter):
            if row:
                rows.append(row)
    except csv.Error:  # the last row is cut in a quoted value, or a value is very long
        is_whole = True
    if not rows:
        return (), []
    names = column_names(rows[0])
    body = rows[1:] if is_whole else rows[1:-1]
    return names, [tuple(value or None for value in row) for row in body if len(row) == len(names)]


def _json_rows(text: str, layout: JsonLayout) -> tuple[tuple[str, ...], list[tuple[object, ...]]]:
    """Return the keys of the objects, each once, and the values of each object."""
    objects = list(_objects(text, layout))
    names = tuple(dict.fromkeys(key for each in objects for key in each))
    return names, [tuple(each.get(name) for name in names) for each in objects]


def _objects(text: str, layout: JsonLayout) -> Iterator[Mapping[str, object]]:
    """Yield the objects at the beginning of a text, up to one that is cut or is not JSON."""
    decoder = json.JSONDecoder()
    end = text.find("[") + 1 if layout is JsonLayout.ARRAY else 0
    while (begin := _OBJECT.search(text, end)) and begin[0] == "{":
        try:
            value, end = decoder.raw_decode(text, begin.start())
        except (ValueError, RecursionError):
            return
        if isinstance(value, dict) and not strict_json.is_too_deep(text[begin.start() : end]):
            yield value


def _count(
    files: Sequence[SourceFile], rows: int, beginning: str, *, is_whole: bool
) -> tuple[int | None, bool]:
    """Return how many rows the files have; None where compression hides it."""
    if is_whole and len(files) == 1:
        return rows, False
    if any(file.format.compression is not Compression.NONE for file in files):
        return None, False
    read_bytes = len(beginning.encode(errors="replace"))
    if not rows or not read_bytes:
        return None, False
    size = sum(file.path.stat().st_size for file in files)
    return max(rows, round(rows * size / read_bytes)), True
