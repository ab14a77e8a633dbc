"""Read JSON files: only the keys that the configuration names, in every line, as text.

DuckDB would infer the keys from a sample, and miss those that are rare or come late.
"""

from collections.abc import Mapping, Sequence

import duckdb
import msgspec

from pipeline.backlog.formats.file_table import FileTable, ReadableFile, Reading
from pipeline.backlog.formats.json_keys import Keys, find_keys, open_json
from pipeline.backlog.formats.json_where import (
    PATH_OF_FILE,
    Fields,
    WhereColumns,
    where_columns,
)
from pipeline.backlog.formats.path_columns import reject_clash
from pipeline.backlog.formats.post_columns import PostColumns, Value, json_value
from pipeline.config.sections import SOURCE_COLUMNS, Backlog
from pipeline.sql import literal, quoted

_BROKEN = "whether the row is broken"


class JsonColumns(msgspec.Struct, frozen=True, kw_only=True):
    """The keys that the configuration names."""

    posts: Mapping[str, Keys]
    """The keys of a post's values, by `uri`, `text` and `preprocessing_timestamp`."""
    where: WhereColumns

    @property
    def top_level(self) -> tuple[str, ...]:
        """The keys of the objects that are read, each once."""
        keys = [keys[0] for keys in self.posts.values()]
        return tuple(dict.fromkeys([*keys, *self.where.keys.values()]))


def read_json_files(
    connection: duckdb.DuckDBPyConnection,
    files: Sequence[ReadableFile],
    backlog: Backlog,
    *,
    apart: bool = False,
) -> list[Reading]:
    """Return how posts are read from JSON files.

    Args:
        connection: where the posts are read.
        files: the files.
        backlog: which columns to read, and which rows.
        apart: read each file by itself, to find the one with a fault.

    Raises:
        InputError: no object of a file has a key, or a folder is called like one that is used.
        UnreadableFileError: a file has to be searched for a key, and cannot be read.
    """
    opened = [open_json(file) for file in files]
    posts = {
        key: find_keys(connection, opened, name)
        for key, name in zip(SOURCE_COLUMNS, backlog.columns.values(), strict=True)
    }
    reject_clash([file.original for file in files], [keys[0] for keys in posts.values()])
    columns = JsonColumns(posts=posts, where=where_columns(connection, opened, backlog.where))
    groups: dict[object, list[ReadableFile]] = {}
    for file in files:
        own = file.path if file.is_copy or apart else None
        layout = file.file.format.layout
        groups.setdefault((file.compression, layout, file.is_exact, own), []).append(file)
    return [_read(group, columns, backlog) for group in groups.values()]


def _read(files: Sequence[ReadableFile], columns: JsonColumns, backlog: Backlog) -> Reading:
    arrangement = (
        f"compression={literal(str(files[0].compression))}, "
        f"format={literal(str(files[0].file.format.layout))}"
    )
    if files[0].is_exact or not _can_be_declared(columns.top_level):
        values: ExactValues | DeclaredValues = ExactValues(has_marks=files[0].has_marks)
        function, options = "read_json_objects", arrangement
    else:
        types = _declared_types(columns)
        values = DeclaredValues(types=types)
        declared = ", ".join(f"{quoted(name)}: '{kind}'" for name, kind in types.items())
        function, options = "read_json", f"{arrangement}, records=true, columns={{{declared}}}"
    table = FileTable(files=tuple(files), function=function, options=options, types={})
    rows, posts = select_values(
        columns, values, table.call(with_path=bool(columns.where.paths)), table.path_sql
    )
    return Reading(
        place=table.place,
        table=rows,
        columns=posts,
        conditions=(backlog.where,) if backlog.where else (),
        files=table.files,
    )


def select_values(
    columns: JsonColumns, values: "ExactValues | DeclaredValues", source: str, path: str
) -> tuple[str, PostColumns]:
    """Return a table with the values of posts and the columns of `where`, and where they are.

    Args:
        columns: the keys to read.
        values: how a value is read from a row of `source`.
        source: a table of JSON objects, as SQL.
        path: SQL for the path of a row's file.
    """
    selected: dict[str, str] = {}
    posts: dict[str, Value] = {}
    for key, keys in columns.posts.items():
        value = values.read(keys)
        name, nested = f"the {key} of the post", f"whether the {key} of the post is nested"
        selected |= {name: value.sql, nested: value.nested}
        posts[key] = Value(
            sql=quoted(name),
            has_marks=value.has_marks,
            nested=quoted(nested) if key != "preprocessing_timestamp" else "",
        )
    for name, key in columns.where.keys.items():
        fields = columns.where.fields.get(name)
        selected[name] = (
            _struct(values, fields, (key,)) if fields is not None else values.read((key,)).sql
        )
    for name, sql in columns.where.paths.items():
        selected[name] = sql.replace(PATH_OF_FILE, path)
    broken = values.broken(columns.top_level)
    if broken:
        selected[_BROKEN] = broken
    listed = ", ".join(f"{sql} AS {quoted(name)}" for name, sql in selected.items())
    uri, text, time = posts.values()
    return f"(SELECT {listed} FROM {source})", PostColumns(
        uri=uri,
        text=text,
        time=time,
        broken=quoted(_BROKEN) if broken else "",
    )


class ExactValues(msgspec.Struct, frozen=True, kw_only=True):
    """Reads values from whole objects in column `json`, with their types: the slower way."""

    has_marks: bool

    def read(self, keys: Keys) -> Value:
        """Return how the value at these keys is read."""
        return json_value("json", keys, has_marks=self.has_marks)

    def broken(self, names: Sequence[str]) -> str:
        """Return SQL that tells whether a row is no object, or has one of these keys twice."""
        wanted = ", ".join(map(literal, names))
        present = f"list_filter(json_keys(json), lambda key: key IN ({wanted}))"
        repeated = f"coalesce(len({present}) > len(list_distinct({present})), false)"
        return f"(json_type(json) NOT IN ('OBJECT', 'NULL') OR {repeated})"


class DeclaredValues(msgspec.Struct, frozen=True, kw_only=True):
    """Reads values from columns that DuckDB's reader fills, with the types VARCHAR or JSON.

    VARCHAR does not tell an object from a text that looks like one; both are taken for nested,
    and then the file is read again with `ExactValues`.
    """

    types: Mapping[str, str]

    def read(self, keys: Keys) -> Value:
        """Return how the value at these keys is read."""
        sql = quoted(keys[0])
        if self.types[keys[0]] != "VARCHAR":
            return json_value(sql, keys[1:], has_marks=False)
        looks_nested = f"({sql} ^@ '{{' OR {sql} ^@ '[') AND json_valid({sql})"
        return Value(sql=sql, nested=f"coalesce({looks_nested}, false)")

    def broken(self, names: Sequence[str]) -> str:
        """Return ''; DuckDB's reader rejects such rows."""
        del names
        return ""


def _declared_types(columns: JsonColumns) -> dict[str, str]:
    """Return the types of the keys: JSON for those of which something inside is read."""
    nested = {keys[0] for keys in columns.posts.values() if len(keys) > 1}
    nested |= {columns.where.keys[name] for name in columns.where.fields}
    return {name: "JSON" if name in nested else "VARCHAR" for name in columns.top_level}


def _can_be_declared(names: Sequence[str]) -> bool:
    """Return False for names that differ only in case, and for an empty one; SQL has no such."""
    return all(names) and len({name.casefold() for name in names}) == len(names)


def _struct(values: ExactValues | DeclaredValues, fields: Fields, keys: Keys) -> str:
    """Return SQL for a struct of the fields that a condition uses, all of them text."""
    parts = (
        f"{quoted(name)} := "
        + (
            values.read((*keys, name)).sql
            if inner is None
            else _struct(values, inner, (*keys, name))
        )
        for name, inner in fields.items()
    )
    return f"struct_pack({', '.join(parts)})"
