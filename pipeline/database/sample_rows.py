"""Keep the rows of samples in the database, by which labels are weighted."""

import duckdb
import pyarrow as pa

from pipeline.database.duckdb_file import has_table, registered, transaction

_COLUMNS = "uri, stratum, inclusion_probability, posts"


def names(connection: duckdb.DuckDBPyConnection) -> set[str]:
    """Return the samples that the database has."""
    if not has_table(connection, "samples"):
        return set()
    return {
        name for (name,) in connection.execute("SELECT DISTINCT sample FROM samples").fetchall()
    }


def put(connection: duckdb.DuckDBPyConnection, sample: str, rows: pa.Table) -> bool:
    """Make the rows of a sample those of its file; return whether they were others, or none.

    Args:
        connection: the database, open for writing.
        sample: its name.
        rows: the rows of its file, as `sample_file.read` returns them.
    """
    with registered(connection, drawn=rows):
        there = f"SELECT {_COLUMNS} FROM samples WHERE sample = $sample"
        # EXCEPT alone would not see a row that is there twice.
        same = connection.execute(
            f"SELECT (SELECT count(*) FROM ({there})) = (SELECT count(*) FROM drawn) AND NOT "
            f"EXISTS ((SELECT {_COLUMNS} FROM drawn) EXCEPT ({there}))",
            {"sample": sample},
        ).fetchall()[0][0]
        if same:
            return False
        with transaction(connection):
            connection.execute("DELETE FROM samples WHERE sample = ?", [sample])
            connection.execute(f"INSERT INTO samples SELECT ?, {_COLUMNS} FROM drawn", [sample])
    return True
