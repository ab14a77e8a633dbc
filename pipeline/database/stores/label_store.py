"""Define what a place for the labels of a name can do. No other code asks which place it is.

Queries read the labels by the name of their table, which is a view if they are Parquet files.
"""

from contextlib import AbstractContextManager
from typing import Protocol

import pyarrow as pa


class LabelStore(Protocol):
    """The labels of one name, open for writing."""

    @property
    def name(self) -> str:
        """The name of the labels."""

    def transaction(self) -> AbstractContextManager[None]:
        """Commit what is written within the block, in the whole database, or nothing of it."""

    def ensure_columns(self, schema: pa.Schema) -> None:
        """Create the table, or add the label columns that it does not have yet.

        Raises:
            RunError: a column exists with another type.
        """

    def delete(self, condition: str) -> int:
        """Delete rows within a transaction.

        Args:
            condition: SQL that is true for the rows to delete. It may read views and other tables.

        Returns:
            How many rows were deleted.
        """

    def insert(self, query: str, run_id: str) -> int:
        """Insert rows within a transaction.

        Args:
            query: SQL that yields the rows. Columns that it lacks become null.
            run_id: the run that all of them come from.

        Returns:
            How many rows were inserted.
        """

    def rows_end(self) -> int:
        """Return a number that marks the end of the rows that are there now; 0 if there are none.

        A row that is inserted later may be before it only if rows were deleted meanwhile.
        """

    def rows_before(self, end: int) -> str:
        """Return SQL for the rows before an end that `rows_end` has returned, unless it is 0."""

    def compact(self, run_id: str, *, is_whole: bool) -> None:
        """Join what has been inserted of a run in small pieces.

        Args:
            run_id: the run.
            is_whole: whether all of its shards are gathered, so that no more pieces follow.
        """
