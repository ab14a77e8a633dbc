"""Find the keys of JSON objects that `backlog.where` uses, and offer them as columns of text.

`lang` is a key, and `record.lang` a key inside the object `record`.
"""

from collections.abc import Mapping, Sequence
from typing import Union

import duckdb
import msgspec

from pipeline.backlog.catalog import missing_column
from pipeline.backlog.column_path import join_parts
from pipeline.backlog.formats.json_keys import (
    JsonFile,
    Keys,
    all_keys,
    fields_in_heads,
    has_anywhere,
)
from pipeline.backlog.formats.path_columns import path_columns, reject_clash
from pipeline.backlog.formats.where_condition import FILENAME, check_where, references_in
from pipeline.errors import InputError
from pipeline.sql import quoted
from pipeline.text import did_you_mean

PATH_OF_FILE = "{path}"
"""What stands for the path of a row's file in `WhereColumns.paths`."""

_TEXT = "VARCHAR"

Fields = dict[str, Union["Fields", None]]
"""The fields of a nested value that a condition uses; None for a value that is text."""


class WhereColumns(msgspec.Struct, frozen=True, kw_only=True):
    """The columns that `backlog.where` uses."""

    keys: Mapping[str, str]
    """Keys of the objects by the names that the condition has for them."""
    fields: Mapping[str, Fields]
    """The fields that it uses of those columns that it takes for nested."""
    paths: Mapping[str, str]
    """SQL for the columns that come from the path of the file, with PATH_OF_FILE for that path."""


def where_columns(
    connection: duckdb.DuckDBPyConnection, files: Sequence[JsonFile], condition: str | None
) -> WhereColumns:
    """Return the columns that a condition on JSON objects uses.

    Raises:
        InputError: the condition cannot be used, no object has a key that it uses, or a folder is
            called like such a key.
        UnreadableFileError: a file has to be searched for a key, and cannot be read.
    """
    if not condition:
        return WhereColumns(keys={}, fields={}, paths={})
    place = str(files[0].file.original)
    references = references_in(connection, condition, place)
    fields = _merge_fields(references)
    folders = path_columns([file.file.original for file in files])
    types = {
        name: folders[name.casefold()].sql_type
        if inner is None and name.casefold() in folders
        else _sql_type(inner)
        for name, inner in fields.items()
    }
    used = check_where(connection, condition, types, place)
    keys: dict[str, str] = {}
    paths: dict[str, str] = {}
    for name in used:
        key = _key_in_heads(files, name)
        if key is not None:
            keys[name] = key
        elif name.casefold() in folders:
            paths[name] = folders[name.casefold()].sql(PATH_OF_FILE)
        elif name.casefold() == FILENAME:
            paths[name] = PATH_OF_FILE
        else:
            keys[name] = _search(connection, files, name)
    reject_clash([file.file.original for file in files], list(keys))
    used_fields = {name: inner for name in keys if (inner := fields[name]) is not None}
    for name, inner in used_fields.items():
        _require(connection, files, (keys[name],), inner)
    return WhereColumns(keys=keys, fields=used_fields, paths=paths)


def _require(
    connection: duckdb.DuckDBPyConnection, files: Sequence[JsonFile], keys: Keys, fields: Fields
) -> None:
    """Raise InputError if no object has one of the fields inside the value at some keys.

    The field would be NULL everywhere, and the condition keep no row without a word.
    """
    for name, inner in fields.items():
        path = (*keys, name)
        if inner is not None:
            _require(connection, files, path, inner)
        elif not has_anywhere(connection, files, path) and any(
            file.has_rows(connection) for file in files
        ):
            present = fields_in_heads(files, keys)
            near = did_you_mean(join_parts(path), present)
            listed = f"; it has {', '.join(present)}" if present else ""
            raise InputError(
                f"backlog.where: {files[0].file.original} has no {join_parts(path)}{near}{listed}"
            )


def _merge_fields(references: Sequence[Keys]) -> Fields:
    """Return the columns of references, with the fields that are used of each."""
    merged: Fields = {}
    names: dict[str, str] = {}
    for column, *inner in references:
        name = names.setdefault(column.casefold(), column)
        fields, keys = merged, [name, *inner]
        for position, key in enumerate(keys):
            is_last = position == len(keys) - 1
            reached = fields.get(key, None if is_last else {})
            if key in fields and (reached is None) != is_last:
                path = ".".join(keys[: position + 1])
                raise InputError(
                    f"backlog.where: it uses both {path} and a field of it: write the field as "
                    f"{path}->>'$.…' in both places"
                )
            fields[key] = reached
            if reached is not None:
                fields = reached
    return merged


def _sql_type(fields: Fields | None) -> str:
    if fields is None:
        return _TEXT
    inner = ", ".join(f"{quoted(name)} {_sql_type(deeper)}" for name, deeper in fields.items())
    return f"STRUCT({inner})"


def _key_in_heads(files: Sequence[JsonFile], name: str) -> str | None:
    """Return the key with this name, in whatever case, that the first objects show."""
    present = dict.fromkeys(key for file in files for value in file.objects for key in value)
    if name in present:
        return name
    return next((key for key in present if key.casefold() == name.casefold()), None)


def _search(connection: duckdb.DuckDBPyConnection, files: Sequence[JsonFile], name: str) -> str:
    if has_anywhere(connection, files, (name,)):
        return name
    if not any(file.has_rows(connection) for file in files):
        return name  # nothing is left out by it
    present = all_keys(connection, [file.file for file in files])
    for key in present:
        if key.casefold() == name.casefold():
            return key
    error = missing_column(str(files[0].file.original), name, present)
    raise InputError(str(error).replace("backlog.columns", "backlog.where", 1))
