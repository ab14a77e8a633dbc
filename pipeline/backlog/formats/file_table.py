"""Describe the files that DuckDB reads as one table, and the SQL that reads posts from them."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import duckdb
import msgspec

from pipeline.backlog.file_formats import Compression, SourceFile
from pipeline.backlog.formats.post_columns import PostColumns, Types
from pipeline.errors import InputError
from pipeline.sql import files_table, literal, quoted, where_all

PATH = "path of the file"
"""The column with the path of a row's file, if one is wanted; no real column is called so."""


class ReadableFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file as DuckDB reads it: itself, or a copy."""

    file: SourceFile
    """The file that was found."""
    path: Path
    """Where it is read from."""
    compression: Compression
    """How the file at `path` is compressed."""
    has_marks: bool = False
    """Whether it is a copy with marks where bytes were not text."""
    is_exact: bool = False
    """Whether JSON is read by the slower way that knows the type of each value."""

    @property
    def original(self) -> Path:
        """The path of the file that was found."""
        return self.file.path

    @property
    def is_copy(self) -> bool:
        """Whether it is read from a copy."""
        return self.path != self.file.path


class UnreadableFileError(Exception):
    """A file cannot be read in the way in which it is read now."""

    def __init__(self, file: ReadableFile) -> None:
        """Name the file."""
        super().__init__(str(file.original))
        self.file = file


class FileTable(msgspec.Struct, frozen=True, kw_only=True):
    """Files that one call of a table function reads."""

    files: tuple[ReadableFile, ...]
    function: str
    """Such as `read_csv`."""
    options: str
    """Its arguments after the files."""
    types: Types
    """The columns with their types."""

    @property
    def place(self) -> str:
        """The files, for messages: the first of them."""
        return str(self.files[0].original)

    @property
    def has_marks(self) -> bool:
        """Whether its texts may have marks."""
        return self.files[0].has_marks

    @property
    def originals(self) -> tuple[Path, ...]:
        """The paths of the files that were found."""
        return tuple(file.original for file in self.files)

    def call(self, *, with_path: bool = False) -> str:
        """Return the call of the table function, with or without the column PATH."""
        paths = (file.path for file in self.files)
        options = [self.options] if self.options else []
        return files_table(self.function, paths, *options, path_column=PATH if with_path else "")

    def sql(self, added: Mapping[str, str] | None = None) -> str:
        """Return the table as SQL, with further columns whose SQL may use the column PATH."""
        if not added:
            return self.call()
        columns = ", ".join(f"{sql} AS {quoted(name)}" for name, sql in added.items())
        return f"(SELECT * EXCLUDE ({quoted(PATH)}), {columns} FROM {self.call(with_path=True)})"

    @property
    def path_sql(self) -> str:
        """SQL for the path of a row's file, for columns that are added."""
        if self.files[0].is_copy:
            return literal(str(self.files[0].original))
        return quoted(PATH)


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """How posts are read from one table."""

    place: str
    """The file or table, for messages."""
    table: str
    """The table as SQL."""
    columns: PostColumns
    conditions: tuple[str, ...] = ()
    """The SQL conditions that rows must fulfill."""
    null_is_empty: bool = False
    """Whether NULL is an empty text, as in CSV."""
    files: tuple[ReadableFile, ...] = ()
    """The files of the table; none for a table of a database."""
    types: Types = {}
    """Its columns with their types; none for JSON."""

    def sql(self, *more: str) -> str:
        """Return SQL that yields `uri`, `text`, `raw_timestamp` and `reason`.

        Args:
            more: further conditions.
        """
        return (
            f"SELECT {self.columns.select(null_is_empty=self.null_is_empty)} FROM {self.table}"
            + where_all([*self.conditions, *more])
        )


def describe_types(connection: duckdb.DuckDBPyConnection, table: str, place: str) -> Types:
    """Return the columns of a table with their types.

    Raises:
        InputError: the table cannot be read.
    """
    try:
        described = connection.sql(f"SELECT * FROM {table}")
    except duckdb.Error as error:
        raise InputError(f"backlog.source: {place} cannot be read: {first_line(error)}") from None
    return dict(zip(described.columns, described.types, strict=True))


def first_line(error: duckdb.Error) -> str:
    """Return what DuckDB says about a problem, without its advice."""
    return str(error).partition("\n")[0].strip()


def rows_exist(
    connection: duckdb.DuckDBPyConnection, table: str, conditions: Sequence[str]
) -> bool:
    """Return whether some row of a table fulfills the conditions."""
    query = f"SELECT 1 FROM {table}{where_all(conditions)} LIMIT 1"
    return bool(connection.execute(query).fetchall())
