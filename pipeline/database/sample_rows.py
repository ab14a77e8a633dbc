"""Keep the rows of samples in the database, by which labels are weighted."""

import duckdb
import pyarrow as pa

from pipeline.database.duckdb_file import has_table, register_tables, transaction

_COLUMNS = "uri, stratum, inclusion_probability, posts"


def names(connection: duckdb.DuckDBPyConnection) -> set[str]:
    """Return the samples that the database has."""
    if not has_table(connection, "samples"):
        return set()
    return {
        name for (name,) in connection.execute("SELECT DISTINCT sample FROM samples").fetchall()
    }


def has(connection: duckdb.DuckDBPyConnection, sample: str, description: str, rows: int) -> bool:
    """Tell whether the database has a sample as it was described when it was loaded.

    The description says when the sample was drawn, so it tells a sample from one that was drawn
    again. To compare all rows each time would take seconds for each million of them.
    """
    found = connection.execute(
        "SELECT (SELECT count(*) FROM samples WHERE sample = $sample) = $rows AND EXISTS "
        "(FROM sample_files WHERE sample = $sample AND description = $description)",
        {"sample": sample, "rows": rows, "description": description},
    ).fetchall()
    return bool(found[0][0])


def of_name(connection: duckdb.DuckDBPyConnection, name: str) -> list[str]:
    """Return the samples of a name's runs, the newest run's last; folders may be gone."""
    rows = connection.execute(
        "SELECT sample FROM runs WHERE name = ? AND sample IS NOT NULL ORDER BY run_id", [name]
    ).fetchall()
    return [str(sample) for (sample,) in rows]


def put(
    connection: duckdb.DuckDBPyConnection, sample: str, description: str, rows: pa.Table
) -> None:
    """Make the rows of a sample those of its file.

    Args:
        connection: the database, open for writing.
        sample: its name.
        description: what its file says about it, as JSON.
        rows: the rows of its file, as `sample_file.read` returns them.
    """
    with register_tables(connection, drawn=rows), transaction(connection):
        for table in ("samples", "sample_files"):
            connection.execute(f"DELETE FROM {table} WHERE sample = ?", [sample])
        connection.execute(f"INSERT INTO samples SELECT ?, {_COLUMNS} FROM drawn", [sample])
        connection.execute("INSERT INTO sample_files VALUES (?, ?)", [sample, description])
