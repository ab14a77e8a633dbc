"""Find the keys of JSON objects that the configuration names, without reading every line.

The first lines of a file show most keys. Only for a key that they lack is the whole file searched.
"""

import json
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

import duckdb
import msgspec

from pipeline.backlog.catalog import missing_column
from pipeline.backlog.clean_copies.open_text import open_text
from pipeline.backlog.column_path import join_parts, json_pointer, split_path
from pipeline.backlog.file_formats import JsonLayout
from pipeline.backlog.formats.file_table import (
    ReadableFile,
    UnreadableFileError,
    rows_exist,
)
from pipeline.errors import InputError
from pipeline.sql import files_table, literal

Keys = tuple[str, ...]
"""The keys that lead from an object to a value inside it."""

_HEAD_CHARACTERS = 1 << 16
_HEAD_LINES = 50
_MOST_KEYS_SHOWN = 40


class JsonFile(msgspec.Struct, frozen=True, kw_only=True):
    """A JSON file with its first objects."""

    file: ReadableFile
    objects: tuple[dict[str, Any], ...]

    def has(self, connection: duckdb.DuckDBPyConnection, keys: Keys) -> bool:
        """Return whether some object of the file has these keys.

        Raises:
            UnreadableFileError: the file has to be searched, and cannot be read.
        """
        if any(_reaches(each, keys) for each in self.objects):
            return True
        exists = f"json_exists(json, {literal(json_pointer(keys))})"
        return self._rows_exist(connection, exists)

    def has_rows(self, connection: duckdb.DuckDBPyConnection) -> bool:
        """Return whether the file has an object.

        Raises:
            UnreadableFileError: the file has to be searched, and cannot be read.
        """
        return bool(self.objects) or self._rows_exist(connection)

    def _rows_exist(self, connection: duckdb.DuckDBPyConnection, *conditions: str) -> bool:
        try:
            return rows_exist(connection, objects_table([self.file]), conditions)
        except duckdb.Error:
            raise UnreadableFileError(self.file) from None

    def top_level(self, connection: duckdb.DuckDBPyConnection) -> tuple[str, ...]:
        """Return the keys of the objects, for messages."""
        names = tuple(dict.fromkeys(name for each in self.objects for name in each))
        return names or all_keys(connection, [self.file])[:_MOST_KEYS_SHOWN]


def open_json(file: ReadableFile) -> JsonFile:
    """Return a file with its first objects; with none of them where they are not plain lines."""
    return JsonFile(file=file, objects=tuple(_first_objects(file)))


def _first_objects(file: ReadableFile) -> Iterator[dict[str, Any]]:
    if file.file.format.layout is not JsonLayout.LINES:
        return
    with open_text(file.path, file.compression) as stream:
        head = stream.read(_HEAD_CHARACTERS)
    lines = head.split("\n")
    if len(head) == _HEAD_CHARACTERS:
        lines.pop()
    for line in islice(filter(str.strip, lines), _HEAD_LINES):
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            return
        if isinstance(value, dict):
            yield value


def _reaches(value: object, keys: Keys) -> bool:
    if not keys:
        return True
    around = _value_at(value, keys[:-1])
    return isinstance(around, dict) and keys[-1] in around


def _value_at(value: object, keys: Keys) -> object:
    """Return the value at these keys inside an object; None if there is none."""
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def objects_table(files: Sequence[ReadableFile]) -> str:
    """Return SQL for a table of the objects of files that are arranged alike, in column `json`."""
    layout, compression = files[0].file.format.layout, files[0].compression
    return files_table(
        "read_json_objects",
        (file.path for file in files),
        f"compression={literal(str(compression))}",
        f"format={literal(str(layout))}",
    )


def all_keys(
    connection: duckdb.DuckDBPyConnection, files: Sequence[ReadableFile]
) -> tuple[str, ...]:
    """Return all keys of all objects, without those inside nested values."""
    names: dict[str, None] = {}
    for file in files:
        try:
            rows = connection.execute(
                f"SELECT DISTINCT unnest(json_keys(json)) FROM {objects_table([file])} ORDER BY 1"
            ).fetchall()
        except duckdb.Error:
            raise UnreadableFileError(file) from None
        names |= {row[0]: None for row in rows}
    return tuple(names)


def find_keys(connection: duckdb.DuckDBPyConnection, files: Sequence[JsonFile], name: str) -> Keys:
    """Return the keys that a configured column means, and require each file to have them.

    A key of exactly this name comes first, then the longest key that the name begins with.

    Raises:
        InputError: in some file, no object has them.
        UnreadableFileError: a file has to be searched, and cannot be read.
    """
    candidates = _readings_of(name)
    keys = next(
        (
            each
            for each in candidates
            if any(_reaches(value, each) for file in files for value in file.objects)
        ),
        None,
    ) or next(
        (each for each in candidates if any(file.has(connection, each) for file in files)),
        candidates[0],
    )
    for file in files:
        if not file.has(connection, keys) and file.has_rows(connection):
            if not file.top_level(connection):
                raise UnreadableFileError(file.file)  # it holds something else than objects
            raise _missing_key(connection, file, name)
    return keys


def has_anywhere(
    connection: duckdb.DuckDBPyConnection, files: Sequence[JsonFile], keys: Keys
) -> bool:
    """Return whether some object of some file has these keys; first objects are looked at first.

    Raises:
        UnreadableFileError: a file has to be searched, and cannot be read.
    """
    return any(_reaches(value, keys) for file in files for value in file.objects) or any(
        file.has(connection, keys) for file in files
    )


def fields_in_heads(files: Sequence[JsonFile], keys: Keys) -> tuple[str, ...]:
    """Return the fields of the value at these keys that the first objects show, as paths."""
    fields: dict[str, None] = {}
    for file in files:
        for value in file.objects:
            inner = _value_at(value, keys)
            if isinstance(inner, dict):
                fields |= {join_parts((*keys, field)): None for field in inner}
    return tuple(fields)


def _readings_of(name: str) -> list[Keys]:
    parts = split_path(name)
    splits = ((".".join(parts[:n]), *parts[n:]) for n in range(len(parts), 0, -1))
    return list(dict.fromkeys([(name,), *splits]))


def _missing_key(connection: duckdb.DuckDBPyConnection, file: JsonFile, name: str) -> InputError:
    top_level = file.top_level(connection)
    first = split_path(name)[0]
    fields = fields_in_heads([file], (first,))
    present = top_level if first == name or not fields else fields
    return missing_column(str(file.file.original), name, present)
