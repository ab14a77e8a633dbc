"""Keep the labels of a name in a few Parquet files, which other engines read as a folder.

All files of a name have the same columns. Rows are deleted by writing their file again without
them, which is rare: a shard was labeled again, or a later run replaces labels.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import duckdb
import pyarrow as pa

from pipeline.database import duckdb_file
from pipeline.database.label_tables import has_labels, labels_table
from pipeline.database.stores.columns import columns_of, find_new, types_by_name
from pipeline.database.stores.parts import FILE, Part, Parts
from pipeline.sql import quoted

# A run that is gathered every few minutes would have a file for each time.
SMALL_ROWS = 250_000
MOST_SMALL_PARTS = 8
JOINED_ROWS = 1_000_000


class ParquetFolder:
    """The labels of one name in a folder, open for writing."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, database: Path, name: str) -> None:
        """Keep an open database, its path, and the name, which need not have labels yet."""
        self.name = name
        self._connection = connection
        self._table = quoted(labels_table(name))
        self._parts = Parts(connection, database, name)
        self._replaced: list[Part] = []

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Commit what is written within the block, or nothing of it.

        Files that were replaced are deleted after the commit.
        """
        self._replaced = []
        with duckdb_file.transaction(self._connection):
            yield
        for part in self._replaced:
            self._parts.remove(part)

    def ensure_columns(self, schema: pa.Schema) -> None:
        """Create the view, or add the columns that the files lack; RunError if a type differs.

        To add a column, all files are written again, so that every engine finds the same columns
        in each of them. That is rare: most other columns come with another configuration.
        """
        wanted = columns_of(self._connection, schema)
        if not has_labels(self._connection, self.name):
            with self.transaction():
                self._parts.create_view(wanted)
            return
        present = self._columns()
        new = find_new(labels_table(self.name), present, wanted)
        if not new:
            return
        values = [*map(quoted, present), *_nulls(new)]
        with self.transaction():
            for part in self._parts.listed():
                self._replace([part], values)
            self._parts.show({**present, **new})

    def delete(self, condition: str) -> int:
        """Write the files with rows that fulfill a condition again, without these rows."""
        parts = {str(self._parts.path(part)): part for part in self._parts.listed()}
        if not parts:
            return 0
        rows = self._connection.execute(
            f"SELECT {quoted(FILE)}, count(*) FROM {self._parts.relation([*parts.values()])} "
            f"WHERE {condition} GROUP BY ALL"
        ).fetchall()
        if not rows:
            return 0
        columns = self._columns()
        for file, _ in rows:
            values = [*map(quoted, columns)]
            self._replace([parts[file]], values, where=f"WHERE ({condition}) IS NOT TRUE")
        self._parts.show(columns)
        return sum(count for _, count in rows)

    def insert(self, query: str, run_id: str) -> int:
        """Write the rows that a query yields to a new file; return how many these were."""
        columns = self._columns()
        given = {name.lower() for name in types_by_name(self._connection, query)}
        values = [
            f"CAST({quoted(name)} AS {kind}) AS {quoted(name)}"
            if name.lower() in given
            else _null(name, kind)
            for name, kind in columns.items()
        ]
        number = self.rows_end() + 1
        part = self._parts.write(f"SELECT {', '.join(values)} FROM ({query})", run_id, number)
        if part is None:
            return 0
        self._parts.show(columns)
        return part.rows

    def rows_end(self) -> int:
        """Return the number of the last file; a file that replaces another one has its number."""
        return max((part.number for part in self._parts.listed()), default=0)

    def rows_before(self, end: int) -> str:
        """Return SQL for the rows of the files up to this number."""
        parts = [part for part in self._parts.listed() if part.number <= end]
        return self._parts.relation(parts) if parts else f"(FROM {self._table} WHERE false)"

    def compact(self, run_id: str, *, is_whole: bool) -> None:
        """Join the small files of a run: all of them at its end, and before only if many."""
        small = [
            part
            for part in self._parts.listed()
            if part.run_id == run_id and part.rows < SMALL_ROWS
        ]
        if len(small) < (2 if is_whole else MOST_SMALL_PARTS):
            return
        columns = self._columns()
        with self.transaction():
            for group in _groups(small):
                self._replace(group, [*map(quoted, columns)])
            self._parts.show(columns)

    def _columns(self) -> dict[str, str]:
        return types_by_name(self._connection, self._table)

    def _replace(self, parts: Sequence[Part], values: Sequence[str], *, where: str = "") -> None:
        """Put one new file in the place of some files.

        Args:
            parts: the files, at least one.
            values: SQL for the columns.
            where: a clause for the rows to keep; empty for all.
        """
        query = f"SELECT {', '.join(values)} FROM {self._parts.relation(parts)} {where}"
        self._parts.write(query, parts[0].run_id, parts[0].number)
        for part in parts:
            self._parts.forget(part)
        self._replaced += parts


def _groups(parts: Sequence[Part]) -> Iterator[list[Part]]:
    """Yield files that are joined, two or more at a time."""
    group: list[Part] = []
    for part in parts:
        if group and sum(each.rows for each in group) + part.rows > JOINED_ROWS:
            yield group
            group = []
        group.append(part)
    if len(group) > 1:
        yield group


def _null(name: str, kind: str) -> str:
    return f"NULL::{kind} AS {quoted(name)}"


def _nulls(columns: Mapping[str, str]) -> list[str]:
    return [_null(name, kind) for name, kind in columns.items()]
