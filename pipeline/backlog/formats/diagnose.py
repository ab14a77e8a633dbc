"""Say which row of a file or table cannot be used, and what to do.

DuckDB's own words are no help: it names the line after the one with the fault, and advises options
that are not the user's to set.
"""

import json
from collections.abc import Iterator

import duckdb
import pyarrow as pa

from pipeline.backlog.clean_copies.marks import MARK
from pipeline.backlog.column_path import split_path
from pipeline.backlog.file_formats import SourceKind
from pipeline.backlog.formats.file_table import ReadableFile, Reading
from pipeline.backlog.formats.post_columns import Fault, nested_value
from pipeline.backlog.formats.row_places import describe_row, has_lines
from pipeline.config.sections import Backlog
from pipeline.errors import InputError
from pipeline.sql import clean_up_with, where_all
from pipeline.terminal import one_line

_LINES_AT_ONCE = 10_000
_LONGEST_OBJECT = 16 * 1024 * 1024
_LARGEST_DOCUMENT = 256 * 1024 * 1024
_SHOWN = 120
_LINES = "lines_of_json"


def find_fault(
    connection: duckdb.DuckDBPyConnection, reading: Reading, backlog: Backlog
) -> InputError | None:
    """Return the error for the first row with a fault; None if no row has one.

    A file is one that `ReadableFiles` has improved as far as it can.
    """
    is_lines = bool(reading.files) and has_lines(reading.files[0].file)
    malformed = find_malformed(connection, reading.files[0]) if reading.files else None
    if malformed:
        return malformed
    faults = reading.columns.faults()
    if not faults:
        return None
    conditions = [*reading.conditions, " OR ".join(faults.values())]
    values = reading.columns.values()
    selected = ", ".join(
        [f"({sql})" for sql in faults.values()] + [value.sql for value in values.values()]
    )
    rows = connection.execute(
        f"SELECT row, {selected} FROM (SELECT row_number() OVER () AS row, * FROM "
        f"{reading.table}){where_all(conditions)} ORDER BY row LIMIT 1"
    ).fetchall()
    if not rows:
        return None
    row, *found = rows[0]
    key, fault = next(
        fault for fault, is_there in zip(faults, found[: len(faults)], strict=True) if is_there
    )
    shown = dict(zip(values, found[len(faults) :], strict=True))
    if is_lines:
        where = f"line {_line_of_row(reading.files[0], row)}"
    else:
        where = describe_row(reading.files[0].file, row) if reading.files else f"row {row}"
    name = dict(zip(values, backlog.columns.values(), strict=True))[key]
    place = f"{reading.place}, {where}"
    return _describe(place, key, name, fault, shown)


def _describe(
    place: str, key: str, name: str, fault: Fault, shown: dict[str, str | None]
) -> InputError:
    value = (shown[key] or "").replace(MARK, "\ufffd")
    match fault:
        case Fault.NESTED:
            inner = json.loads(value)
            return nested_value(
                place, key, split_path(name), tuple(inner) if isinstance(inner, dict) else ()
            )
        case Fault.NOT_TEXT:
            uri = (shown["uri"] or "").replace(MARK, "\ufffd")
            of_post = "" if key == "uri" else f" (uri {one_line(uri, _SHOWN)})"
            return InputError(
                f"backlog.source: {place}: column {name!r} is {one_line(value, _SHOWN)!r}, with "
                f"bytes that are not UTF-8 text at each \ufffd{of_post}: correct the value, or "
                "exclude the row with backlog.where"
            )
        case Fault.BROKEN:
            return InputError(
                f"backlog.source: {place}: it is not a JSON object, or has a key twice: correct it"
            )


def find_malformed(connection: duckdb.DuckDBPyConnection, file: ReadableFile) -> InputError | None:
    """Return the error for the first place where a file is not JSON; None if it is JSON."""
    if file.file.kind is not SourceKind.JSON_LINES:
        return None
    if has_lines(file.file):
        return _find_malformed_line(connection, file)
    if file.path.stat().st_size > _LARGEST_DOCUMENT:
        return None
    decoder = json.JSONDecoder()
    content = file.path.read_text(encoding="utf-8")
    position = _skip_blanks(content, 0)
    try:
        while position < len(content):
            _, position = decoder.raw_decode(content, position)
            position = _skip_blanks(content, position)
    except (ValueError, RecursionError) as error:
        line = getattr(error, "lineno", 1)
        return InputError(
            f"backlog.source: {file.original}, line {line}: it is not JSON from here on: correct "
            "it, or write one object a line"
        )
    return None


def _skip_blanks(content: str, position: int) -> int:
    while position < len(content) and content[position].isspace():
        position += 1
    return position


def _find_malformed_line(
    connection: duckdb.DuckDBPyConnection, file: ReadableFile
) -> InputError | None:
    """Return the error for the first line that is not a JSON object, by DuckDB's own parser."""
    schema = pa.schema([("line", pa.int64()), ("content", pa.string())])
    reader = pa.RecordBatchReader.from_batches(schema, _batches(file, schema))
    connection.register(_LINES, reader)
    with clean_up_with(lambda: connection.unregister(_LINES)):
        rows = connection.execute(
            f"SELECT line, content FROM {_LINES} WHERE NOT json_valid(content) "
            "OR json_type(content) NOT IN ('OBJECT', 'NULL') "
            "OR len(json_keys(content)) > len(list_distinct(json_keys(content))) "
            f"OR strlen(content) >= {_LONGEST_OBJECT} ORDER BY line LIMIT 1"
        ).fetchall()
    if not rows:
        return None
    line, content = rows[0]
    return InputError(f"backlog.source: {file.original}, line {line}: {_explain(content)}")


def _batches(file: ReadableFile, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    numbers: list[int] = []
    contents: list[str] = []
    for number, content in _lines(file):
        numbers.append(number)
        contents.append(content)
        if len(numbers) == _LINES_AT_ONCE:
            yield pa.record_batch([numbers, contents], schema=schema)
            numbers, contents = [], []
    yield pa.record_batch([numbers, contents], schema=schema)


def _lines(file: ReadableFile) -> Iterator[tuple[int, str]]:
    """Yield the lines of a clean copy that are not blank, with their numbers."""
    with file.path.open(encoding="utf-8", newline="\n") as stream:
        for number, line in enumerate(stream, 1):
            content = line.strip()
            if content:
                yield number, content


def _line_of_row(file: ReadableFile, row: int) -> int:
    return next(number for position, (number, _) in enumerate(_lines(file), 1) if position == row)


def _explain(content: str) -> str:
    """Return what is wrong with a line that should be a JSON object, and what to do."""
    if len(content) >= _LONGEST_OBJECT:
        return f"it is longer than {_LONGEST_OBJECT:,} bytes, which is no post: remove it"
    if not content.startswith(("{", "[")):
        return f"it is {one_line(content, _SHOWN)!r}, and not a JSON object: remove it"
    if content.startswith("["):
        return "a JSON array; one object a line is needed: jq -c '.[]' FILE > FILE.jsonl"
    try:
        value, end = json.JSONDecoder(object_pairs_hook=_Pairs).raw_decode(content)
    except (ValueError, RecursionError) as error:
        position = getattr(error, "pos", 0)
        if position >= len(content) - 1 or not content.endswith("}"):
            return (
                f"the line ends before its object does ({_end_of(content)}): it was cut, or the "
                "object goes over several lines; complete or remove it, or write one object a "
                "line: jq -c . FILE > FILE.jsonl"
            )
        around = one_line(content[max(0, position - 20) : position + 20], _SHOWN)
        return f"it is not JSON at character {position + 1} ({around!r}): correct or remove it"
    if content[end:].strip():
        return (
            "it goes on after its object, and one object a line is needed: "
            "jq -c . FILE > FILE.jsonl"
        )
    if isinstance(value, _Pairs):
        keys = [key for key, _ in value]
        twice = next((key for key in keys if keys.count(key) > 1), "")
        return f"the object has the key {twice!r} twice: remove one of the two"
    return f"it is {one_line(content, _SHOWN)!r}, and not a JSON object: remove it"


class _Pairs(list[tuple[str, object]]):
    """The keys and values of a JSON object, also those of repeated keys."""


def _end_of(content: str) -> str:
    return repr("…" + one_line(content[-30:], _SHOWN))
