"""The history of runs, shards and attempts in the database, and the watermark that follows."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import duckdb

from pipeline.database.duckdb_file import has_table, insert_rows, transaction
from pipeline.sql import quoted


@dataclass(frozen=True, slots=True)
class LabelledRun:
    """A run, and the hash of the question that its labels answer. Times are UTC."""

    run_id: str
    created_at: datetime
    config_hash: str


def newest_labelled_run(connection: duckdb.DuckDBPyConnection, name: str) -> LabelledRun | None:
    """The newest run of a name with gathered labels, its folder there or not: one that has none is
    forgotten with its folder."""
    if not has_table(connection, "runs") or not has_table(connection, "shards"):
        return None
    rows = connection.execute(
        "SELECT run_id, created_at, config_hash FROM runs WHERE name = ? AND run_id IN "
        "(SELECT run_id FROM shards WHERE gathered_at IS NOT NULL) "
        "ORDER BY created_at DESC, run_id DESC LIMIT 1",
        [name],
    ).fetchall()
    return LabelledRun(*rows[0]) if rows else None


def gathered_shards(
    connection: duckdb.DuckDBPyConnection, run_id: str
) -> dict[int, tuple[str, datetime]]:
    """The publication that was gathered of each shard of a run, and when (UTC)."""
    if not has_table(connection, "shards"):
        return {}
    rows = connection.execute(
        "SELECT shard_index, publication, gathered_at FROM shards "
        "WHERE run_id = ? AND gathered_at IS NOT NULL",
        [run_id],
    ).fetchall()
    return {int(index): (publication, at) for index, publication, at in rows}


def rows_by_run(connection: duckdb.DuckDBPyConnection) -> dict[str, int]:
    """How many rows of labels, superseded ones included, come from each run."""
    tables = connection.execute(
        "SELECT table_name FROM duckdb_columns() WHERE database_name = current_database() "
        "AND column_name = 'run_id' AND regexp_matches(table_name, '^(labels|superseded)_')"
    ).fetchall()
    found: dict[str, int] = {}
    for (table,) in tables:
        rows = connection.execute(f"SELECT run_id, count(*) FROM {quoted(table)} GROUP BY 1")
        for run_id, count in rows.fetchall():
            found[run_id] = found.get(run_id, 0) + count
    return found


def run_folders(connection: duckdb.DuckDBPyConnection, name: str) -> dict[str, str]:
    """Where each run of a name was, by its id."""
    if not has_table(connection, "runs"):
        return {}
    rows = connection.execute(
        "SELECT run_id, run_dir FROM runs WHERE name = ? ORDER BY created_at, run_id", [name]
    ).fetchall()
    return dict(rows)


def watermark(
    connection: duckdb.DuckDBPyConnection, name: str, first_waiting: datetime | None
) -> datetime | None:
    """Up to when every post planned under `name` has its row, UTC; None: nothing is sure.

    Never by a run that chose its posts by another name's labels: between those are others.

    Args:
        first_waiting: the oldest post of shards that the database may not know of.
    """
    if not has_table(connection, "shards"):
        return None
    described = connection.execute("DESCRIBE runs").fetchall()
    # A database that was last written by an older version has no such runs either.
    told = "only_labelled_by" in {row[0] for row in described}
    whole = "only_labelled_by IS NULL" if told else "true"
    rows = connection.execute(
        f"WITH named AS (SELECT shards.*, {whole} AS whole FROM shards JOIN runs USING (run_id) "
        "WHERE name = ?), "
        "held AS (SELECT least(min(min_preprocessing_timestamp), ?::TIMESTAMP) AS first_missing "
        "FROM named WHERE gathered_at IS NULL) "
        "SELECT max(max_preprocessing_timestamp) FROM named, held "
        "WHERE gathered_at IS NOT NULL AND whole "
        "AND (first_missing IS NULL OR max_preprocessing_timestamp < first_missing)",
        [name, first_waiting],
    ).fetchall()
    found: datetime | None = rows[0][0]
    return found


def register(
    connection: duckdb.DuckDBPyConnection,
    run: dict[str, object],
    shards: Sequence[dict[str, object]],
) -> None:
    """Makes a planned run known, so that its posts hold the watermark back; once."""
    if connection.execute("SELECT 1 FROM runs WHERE run_id = ?", [run["run_id"]]).fetchall():
        return
    replace_history(connection, run=run, shards=shards, attempts=[])


def delete_run(connection: duckdb.DuckDBPyConnection, run_id: str) -> None:
    """Of a run that no label comes from."""
    for table in ("runs", "shards", "attempts"):
        connection.execute(f"DELETE FROM {table} WHERE run_id = ?", [run_id])


def replace_history(
    connection: duckdb.DuckDBPyConnection,
    *,
    run: dict[str, object],
    shards: Sequence[dict[str, object]],
    attempts: Sequence[dict[str, object]],
) -> None:
    """One transaction: what is known of a run, its shards and attempts now."""
    key = [run["run_id"]]
    with transaction(connection):
        for table, rows in (("runs", [run]), ("shards", shards), ("attempts", attempts)):
            connection.execute(f"DELETE FROM {table} WHERE run_id = ?", key)
            insert_rows(connection, table, rows)
