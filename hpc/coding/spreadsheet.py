"""Write coding files for a spreadsheet, and read them as the spreadsheet saved them.

Posts come from strangers, and a spreadsheet takes a cell that begins with `=`, `+`, `-` or `@` for
a formula and one that looks like a number or a date for one. Such a text or uri gets an
apostrophe in front, which keeps the cell a text. It is ignored when the file is read.
"""

import csv
import io
import re
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline import limits
from pipeline.errors import InputError

URI, TEXT = "uri", "text"
_GUARD = "'"
_FORMULA = re.compile(r"[=+\-@\t\r\n]")
# What a spreadsheet may take for a number, a date, a time or a percentage.
_NUMBER_LIKE = re.compile(
    r"[\d\s.,:/+\-%eE()$€£]*\d[\d\s.,:/+\-%eE()$€£]*|true|false", re.IGNORECASE
)
_SEPARATORS = (",", ";", "\t")
_INVISIBLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ufeff]")
_MOST_BYTES = 512 << 20
_LONGEST_CELL = 1 << 20


@dataclass(frozen=True, kw_only=True, slots=True)
class ParsedRow:
    """One row of a coding file, exactly as the coder typed it."""

    file: Path
    place: str
    """Where in the file it is, such as `row 7`."""
    uri: str
    text: str | None
    """The post's text; None if the file does not have it."""
    coder: str
    """Who coded it; '' if the file does not say."""
    typed: dict[str, str]
    """What was typed for each label."""


def guard_cell(text: str) -> str:
    """Return a text as it stands in a cell, so that no spreadsheet changes or computes it."""
    if _FORMULA.match(text) or _NUMBER_LIKE.fullmatch(text.strip()):
        return _GUARD + text
    return text


def unguard_cell(typed: str, known: Container[str]) -> str:
    """Return what was typed, without the apostrophe if a known word follows it."""
    plain = typed.removeprefix(_GUARD)
    return plain if typed not in known and plain in known else typed


def is_same_text(typed: str, text: str) -> bool:
    """Tell whether a cell holds a post's text; spreadsheets change ends of lines and blanks."""
    return _comparable(typed) in {_comparable(text), _comparable(guard_cell(text))}


def _comparable(text: str) -> str:
    lines = re.split(r"\r\n|\r|\n", _INVISIBLE.sub("", text))
    return "\n".join(line.strip() for line in lines).strip()


def write_csv(
    columns: Sequence[str], rows: Iterable[Sequence[object]], *, text_columns: frozenset[str]
) -> bytes:
    """Return a CSV file: UTF-8 with a byte order mark, by which Excel recognizes UTF-8.

    Args:
        columns: the names of the columns.
        rows: the cells; None is an empty cell.
        text_columns: the columns whose texts come from elsewhere, and are guarded.
    """
    stream = io.StringIO(newline="")
    writer = csv.writer(stream, lineterminator="\r\n")
    writer.writerow(columns)
    is_foreign = [column in text_columns for column in columns]
    for row in rows:
        writer.writerow(
            guard_cell(cell) if foreign and isinstance(cell, str) else cell
            for cell, foreign in zip(row, is_foreign, strict=True)
        )
    return stream.getvalue().encode("utf-8-sig")


def read_csv(path: Path, labels: Sequence[str], coder_column: str) -> list[ParsedRow]:
    """Return the rows of a coding file: commas, semicolons or tabs, as Excel and others save it.

    Args:
        path: the file.
        labels: the columns with codings.
        coder_column: the column that says who coded a row, if there is one.

    Raises:
        InputError: it is no such file, lacks a column, or is not in UTF-8.
        OSError: it cannot be read.
    """
    text = _decode(path, limits.read_file(path, _MOST_BYTES))
    first, _, rest = text.partition("\n")
    if re.fullmatch(r'"?sep=[,;\t]"?\s*', first):
        text = rest
    records = _parse(path, text)
    header = [name.strip() for name in records[0]] if records else []
    names = [name.lower() for name in header]
    if URI not in names:
        raise InputError(
            f"{path}: the first row has no column uri; its columns: {', '.join(header) or 'none'}"
        )
    places = _places(path, names, (URI, *labels))
    text_place = names.index(TEXT) if TEXT in names else None
    coder_place = names.index(coder_column) if coder_column in names else None
    rows = []
    for number, record in enumerate(records[1:], 2):
        if not any(cell.strip() for cell in record):
            continue
        if len(record) > len(header):
            raise InputError(
                f"{path}, row {number}: it has {len(record)} cells, and the first row "
                f"{len(header)}. A text with a separator should be in quotes"
            )
        cells = [*record, *[""] * (len(header) - len(record))]
        rows.append(
            ParsedRow(
                file=path,
                place=f"row {number}",
                uri=cells[places[URI]].strip(),
                text=None if text_place is None else cells[text_place],
                coder="" if coder_place is None else cells[coder_place].strip(),
                typed={label: cells[places[label]] for label in labels},
            )
        )
    return rows


def _places(path: Path, names: list[str], wanted: Sequence[str]) -> dict[str, int]:
    missing = [name for name in wanted if name.lower() not in names]
    if missing:
        raise InputError(
            f"{path}: the first row lacks {', '.join(missing)}; its columns: {', '.join(names)}. "
            "Add the column, empty where nothing was coded"
        )
    if twice := sorted({name for name in names if name and names.count(name) > 1}):
        raise InputError(f"{path}: the first row has {', '.join(twice)} more than once")
    return {name: names.index(name.lower()) for name in wanted}


def _decode(path: Path, content: bytes) -> str:
    # Excel's "Unicode text" is UTF-16.
    encoding = "utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise InputError(
            f"{path}, line {line}: it is not in UTF-8, so letters such as ä would be guessed. In "
            "the spreadsheet, save it as CSV UTF-8, or choose the character set UTF-8"
        ) from None


def _parse(path: Path, text: str) -> list[list[str]]:
    """Return the records, with the separator that makes `uri` a column of the first row."""
    csv.field_size_limit(_LONGEST_CELL)
    first = text.splitlines()[0] if text.strip() else ""
    separator = max(_SEPARATORS, key=first.count)
    try:
        return list(csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True))
    except csv.Error as error:
        raise InputError(f"{path}: it is not a CSV file: {error}") from None
