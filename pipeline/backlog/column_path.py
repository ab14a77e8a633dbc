"""Find the column that a configured name means, and the keys that lead into a nested value.

`record.text` is the field `text` of column `record`, unless a column is called `record.text`.
A part in double quotes may hold dots: `record."app.text"`.
"""

import re
from collections.abc import Collection

import msgspec

_PART = re.compile(r'"((?:[^"]|"")+)"|([^".]+)')


class ColumnPath(msgspec.Struct, frozen=True, kw_only=True):
    """Where a value is: in a column, or inside the nested value of a column."""

    column: str
    """The column of the table."""
    keys: tuple[str, ...] = ()
    """The keys from the column's value to the value that is meant; empty for the value itself."""

    def __str__(self) -> str:
        return join_parts((self.column, *self.keys)) if self.keys else self.column

    @property
    def json_pointer(self) -> str:
        """The keys as a JSON pointer (RFC 6901), such as `/record/text`."""
        return json_pointer(self.keys)


def find_path(name: str, columns: Collection[str]) -> ColumnPath | None:
    """Return the column that a configured name means, and the keys inside it.

    A column of exactly this name comes first, then the column with the longest name that the path
    begins with.

    Args:
        name: a column's name, or a path such as `record.text`.
        columns: the columns of the table.

    Returns:
        None if no column is meant.
    """
    if name in columns:
        return ColumnPath(column=name)
    parts = split_path(name)
    for length in range(len(parts), 0, -1):
        column = ".".join(parts[:length])
        if column in columns:
            return ColumnPath(column=column, keys=parts[length:])
    return None


def split_path(name: str) -> tuple[str, ...]:
    """Return the parts of a path; a name that is not well formed is a single part."""
    parts = []
    position = 0
    while match := _PART.match(name, position):
        quoted_part, plain_part = match.groups()
        parts.append(plain_part if plain_part else quoted_part.replace('""', '"'))
        position = match.end()
        if position == len(name):
            return tuple(parts)
        if name[position] != ".":
            break
        position += 1
    return (name,)


def join_parts(parts: tuple[str, ...]) -> str:
    """Return the path of these parts, as `split_path` reads it."""
    return ".".join(
        part if part and not set('".') & set(part) else '"' + part.replace('"', '""') + '"'
        for part in parts
    )


def json_pointer(keys: tuple[str, ...]) -> str:
    """Return the JSON pointer (RFC 6901) of these keys."""
    return "".join("/" + key.replace("~", "~0").replace("/", "~1") for key in keys)
