"""Choose the table of a database, and name the columns that a table lacks."""

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

import msgspec
from msgspec import structs

from pipeline.backlog.column_path import ColumnPath, find_path, join_parts, split_path
from pipeline.backlog.sources import Source
from pipeline.config.sections import SOURCE_COLUMNS, SourceColumns
from pipeline.errors import InputError
from pipeline.sql import quoted
from pipeline.text import did_you_mean, nearest

_UPPER = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_TO_LOWER = str.maketrans(_UPPER, _UPPER.lower())


class LacksPostsError(InputError):
    """A file lacks a table or a column that the configuration names; maybe it holds no posts."""

    def __init__(
        self, message: str, *, column: str = "", nearest_column: str | None = None
    ) -> None:
        """Keep the column's configured name, and the name there that is nearest, if any."""
        super().__init__(message)
        self.column = column
        self.nearest_column = nearest_column


class CatalogTable(msgspec.Struct, frozen=True, kw_only=True):
    """A table or view of a database."""

    schema: str
    name: str
    in_default_schema: bool
    """Whether its name alone is enough in a SELECT."""
    has_posts: bool = True
    """Whether it is a user's table. The database's own tables and indexes can be named, too."""

    @property
    def sql(self) -> str:
        """Its schema and name as SQL."""
        return f"{quoted(self.schema)}.{quoted(self.name)}"

    def __str__(self) -> str:
        return self.name if self.in_default_schema else join_parts((self.schema, self.name))

    def spellings(self, database: str) -> Iterator[str]:
        """Yield the names that a SELECT accepts for this table.

        Args:
            database: the name that the database program gives to the file.
        """
        if self.in_default_schema:
            yield from _spellings((self.name,))
        yield from _spellings((self.schema, self.name))
        yield from _spellings((database, self.schema, self.name))
        if self.in_default_schema:
            yield from _spellings((database, self.name))


def _spellings(parts: tuple[str, ...]) -> Iterator[str]:
    """Yield the parts joined by dots, each with and without quotes."""
    head, *rest = parts
    for spelling in (head, quoted(head)):
        if not rest:
            yield spelling
        for tail in _spellings(tuple(rest)) if rest else ():
            yield f"{spelling}.{tail}"


def fold_case(name: str) -> str:
    """Return a name as SQLite and DuckDB compare it: only the letters A to Z have a case."""
    return name.translate(_TO_LOWER)


def choose_table(source: Source, path: Path, tables: Sequence[CatalogTable]) -> CatalogTable:
    """Return the configured table of a database, or the only one with posts.

    Raises:
        LacksPostsError: the table is not there, or the file has none.
        InputError: it is not clear which table is meant.
    """
    wanted = source.backlog.table
    with_posts = [table for table in tables if table.has_posts]
    names = ", ".join(sorted(map(str, with_posts))) or "no table"
    if wanted is None:
        if len(with_posts) == 1:
            return with_posts[0]
        if not with_posts:
            raise LacksPostsError(f"backlog.source: {path} has no table")
        raise InputError(f"backlog.table: set this to a table of {path}; it has {names}")
    matches = _find_matching(wanted, path.stem, tables)
    if len(matches) == 1:
        return matches[0]
    if matches:
        choices = " or ".join(f"{quoted(table.schema)}.{quoted(table.name)}" for table in matches)
        raise InputError(f"backlog.table: {path} has several tables {wanted!r}: write {choices}")
    near = did_you_mean(wanted, [str(table) for table in with_posts])
    raise LacksPostsError(f"backlog.table: {path} has no table {wanted!r}{near}; it has {names}")


def _find_matching(
    wanted: str, database: str, tables: Sequence[CatalogTable]
) -> list[CatalogTable]:
    """Return the tables that a name means: those spelled so, or else those in another case."""
    spelled = [table for table in tables if wanted in table.spellings(database)]
    folded = fold_case(wanted)
    return spelled or [
        table for table in tables if folded in map(fold_case, table.spellings(database))
    ]


def find_column(name: str, columns: Collection[str]) -> ColumnPath | None:
    """Return the column that a name means, in any case of its letters, and the keys inside it.

    The case of the keys matters, as it does in JSON.

    Args:
        name: a column's name, or a path such as `record.text`.
        columns: the columns of the table.

    Returns:
        None if no column is meant.
    """
    if path := find_path(name, columns):
        return path
    by_folded = {fold_case(column): column for column in columns}
    path = find_path(fold_case(name), by_folded)
    if path is None:
        return None
    keys = split_path(name)[-len(path.keys) :] if path.keys else ()
    return ColumnPath(column=by_folded[path.column], keys=keys)


def resolve_columns(names: SourceColumns, columns: Collection[str]) -> SourceColumns:
    """Return configured names in the case in which a table has them; others stay as they are."""
    paths = {
        key: find_column(name, columns)
        for key, name in zip(SOURCE_COLUMNS, names.values(), strict=True)
    }
    return structs.replace(names, **{key: str(path) for key, path in paths.items() if path})


def missing_column(where_from: str, name: str, columns: tuple[str, ...]) -> LacksPostsError:
    """Return the error for a configured column that a table lacks, with the nearest name.

    For a field that is missing, the column around it is no alternative.
    """
    around = find_path(name, columns)
    if around and around.keys:
        return LacksPostsError(
            f"backlog.columns: {where_from} has no {name!r}: no value of column "
            f"{around.column!r} has {join_parts(around.keys)}; check which keys they have",
            column=name,
        )
    first, *keys = split_path(name)
    likely = nearest(name, columns)
    if keys and (root := nearest(first, columns)):
        likely = join_parts((root, *keys))
    near = f" (did you mean {likely!r}?)" if likely else ""
    return LacksPostsError(
        f"backlog.columns: {where_from} has no column {name!r}{near}; it has {', '.join(columns)}",
        column=name,
        nearest_column=likely,
    )
