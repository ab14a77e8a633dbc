"""Keep the labels of a name in a table of the database."""

from contextlib import AbstractContextManager

import duckdb
import pyarrow as pa

from pipeline.database import duckdb_file
from pipeline.database.label_tables import has_labels, labels_table
from pipeline.database.stores.columns import columns_of, find_new, types_by_name
from pipeline.sql import fetch_number, quoted


class DuckDBTable:
    """The labels of one name in a table, open for writing."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, name: str) -> None:
        """Keep the database's connection and the name, whose table need not exist yet."""
        self.name = name
        self._connection = connection
        self._table = quoted(labels_table(name))

    def transaction(self) -> AbstractContextManager[None]:
        """Commit what is written within the block, or nothing of it."""
        return duckdb_file.transaction(self._connection)

    def ensure_columns(self, schema: pa.Schema) -> None:
        """Create the table, or add the columns that it lacks; RunError if a type differs."""
        wanted = columns_of(self._connection, schema)
        self._connection.execute(
            f"CREATE TABLE IF NOT EXISTS {self._table} "
            f"({', '.join(f'{quoted(column)} {kind}' for column, kind in wanted.items())})"
        )
        present = types_by_name(self._connection, self._table)
        for column, kind in find_new(labels_table(self.name), present, wanted).items():
            self._connection.execute(
                f"ALTER TABLE {self._table} ADD COLUMN {quoted(column)} {kind}"
            )

    def delete(self, condition: str) -> int:
        """Delete the rows that fulfill a condition; return how many these were."""
        return fetch_number(self._connection, f"DELETE FROM {self._table} WHERE {condition}")

    def insert(self, query: str, run_id: str) -> int:
        """Insert the rows that a query yields; return how many these were."""
        return fetch_number(self._connection, f"INSERT INTO {self._table} BY NAME {query}")

    def rows_end(self) -> int:
        """Return a number that is above the rowids of all rows; 0 if there are none.

        A checkpoint may close the gaps of deleted rows, and then later rows have lower ones.
        """
        if not has_labels(self._connection, self.name):
            return 0
        query = f"SELECT coalesce(max(rowid) + 1, 0) FROM {self._table}"
        return fetch_number(self._connection, query)

    def rows_before(self, end: int) -> str:
        """Return SQL for the rows with lower rowids."""
        return f"(SELECT * FROM {self._table} WHERE rowid < {end})"

    def compact(self, run_id: str, *, is_whole: bool) -> None:
        """Leave it to DuckDB, which keeps rows in blocks of its own."""
