"""What is in the database: gathered labels, and the history of runs, shards and attempts."""

from collections.abc import Sequence
from datetime import datetime

import duckdb
import pyarrow as pa

from pipeline.errors import RunError
from pipeline.sql import quoted


def labels_table(name: str) -> str:
    return f"labels_{name}"


def labelled_uris(connection: duckdb.DuckDBPyConnection, name: str, catalog: str) -> str | None:
    """SQL of the uris that have a row under `name` in an attached database; None: no such table."""
    found = connection.execute(
        "SELECT 1 FROM information_schema.tables WHERE table_catalog = ? AND table_name = ?",
        [catalog, labels_table(name)],
    ).fetchall()
    return f"SELECT uri FROM {quoted(catalog)}.{quoted(labels_table(name))}" if found else None


def ensure_labels(connection: duckdb.DuckDBPyConnection, name: str, schema: pa.Schema) -> None:
    """Makes the labels' table, or adds the label columns that it does not have yet.

    Raises RunError where a column is there with another type.
    """
    table = labels_table(name)
    wanted = _columns_of(connection, schema)
    connection.execute(
        f"CREATE TABLE IF NOT EXISTS {quoted(table)} "
        f"({', '.join(f'{quoted(column)} {kind}' for column, kind in wanted.items())})"
    )
    rows = connection.execute(f"DESCRIBE {quoted(table)}").fetchall()
    present = {row[0].lower(): row[1] for row in rows}  # DuckDB's names differ by more than case
    for column, kind in wanted.items():
        had = present.get(column.lower())
        if had is None:
            connection.execute(f"ALTER TABLE {quoted(table)} ADD COLUMN {quoted(column)} {kind}")
        elif had != kind:
            raise RunError(
                f"table {table}: column {column} is {had}, and {kind} in this run's "
                "outputs: give the configuration another name"
            )


def count(connection: duckdb.DuckDBPyConnection, name: str) -> int:
    """Rows under `name` now; 0 where nothing was ever gathered under it."""
    if not _has_table(connection, labels_table(name)):
        return 0
    table = quoted(labels_table(name))
    return int(connection.execute(f"SELECT count(*) FROM {table}").fetchall()[0][0])


def gathered(connection: duckdb.DuckDBPyConnection, run_id: str) -> dict[int, tuple[str, datetime]]:
    """The publication that was gathered of each shard of a run, and when (UTC)."""
    if not _has_table(connection, "shards"):
        return {}
    rows = connection.execute(
        "SELECT shard_index, publication, gathered_at FROM shards "
        "WHERE run_id = ? AND gathered_at IS NOT NULL",
        [run_id],
    ).fetchall()
    return {int(index): (publication, at) for index, publication, at in rows}


def watermark(
    connection: duckdb.DuckDBPyConnection, name: str, first_waiting: datetime | None
) -> datetime | None:
    """Up to when every post planned under `name` has its row, UTC; None: nothing is sure.

    Args:
        first_waiting: the oldest post of shards that the database may not know of.
    """
    if not _has_table(connection, "shards"):
        return None
    rows = connection.execute(
        "WITH named AS (SELECT shards.* FROM shards JOIN runs USING (run_id) WHERE name = ?), "
        "held AS (SELECT least(min(min_preprocessing_timestamp), ?::TIMESTAMP) AS first_missing "
        "FROM named WHERE gathered_at IS NULL) "
        "SELECT max(max_preprocessing_timestamp) FROM named, held WHERE gathered_at IS NOT NULL "
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


def forget(connection: duckdb.DuckDBPyConnection, run_id: str) -> None:
    """Of a run that no label comes from."""
    for table in ("runs", "shards", "attempts"):
        connection.execute(f"DELETE FROM {table} WHERE run_id = ?", [run_id])


def overlap(
    connection: duckdb.DuckDBPyConnection, name: str, run_id: str, tables: Sequence[pa.Table]
) -> pa.Table:
    """The uris of these outputs that have a row from elsewhere: mostly none, one pass for all.

    An anti-join a shard would read the whole table as often as there are shards.
    """
    uris = pa.concat_tables([table.select(["uri", "shard_index"]) for table in tables])
    connection.register("new_uris", uris)
    found = connection.sql(
        f"SELECT DISTINCT new_uris.uri FROM new_uris JOIN {quoted(labels_table(name))} AS old "
        "ON old.uri = new_uris.uri "
        "WHERE NOT (old.run_id = ? AND old.shard_index = new_uris.shard_index)",
        params=[run_id],
    ).to_arrow_table()
    connection.unregister("new_uris")
    return found


def replace_shard(
    connection: duckdb.DuckDBPyConnection,
    name: str,
    labels: pa.Table,
    *,
    shard: dict[str, object],
    present: pa.Table,
) -> tuple[int, int]:
    """One transaction: the shard's labels and its row in `shards`. Returns (removed, inserted).

    `labels` is a verified output; `present` the uris to leave as they are; a redone shard's
    former labels are replaced.
    """
    table = quoted(labels_table(name))
    key = [shard["run_id"], shard["shard_index"]]
    connection.register("output", labels)
    connection.register("present", present)
    connection.execute("BEGIN")
    try:
        was = "WHERE run_id = ? AND shard_index = ?"
        former = connection.execute(f"DELETE FROM shards {was} RETURNING gathered_at", key)
        # Only a shard that was gathered has rows: no look through the labels for the others.
        redone = any(at is not None for (at,) in former.fetchall())
        removed = _changed(connection, f"DELETE FROM {table} {was}", key) if redone else 0
        new = "SELECT * FROM output" + (" ANTI JOIN present USING (uri)" * bool(present.num_rows))
        inserted = _changed(connection, f"INSERT INTO {table} BY NAME {new}")
        _insert(connection, "shards", [shard])
        connection.execute("COMMIT")
    except duckdb.Error:
        connection.execute("ROLLBACK")
        raise
    finally:
        connection.unregister("output")
        connection.unregister("present")
    return removed, inserted


def replace_history(
    connection: duckdb.DuckDBPyConnection,
    *,
    run: dict[str, object],
    shards: Sequence[dict[str, object]],
    attempts: Sequence[dict[str, object]],
) -> None:
    """One transaction: what is known of a run, its shards and attempts now."""
    key = [run["run_id"]]
    connection.execute("BEGIN")
    try:
        for table, rows in (("runs", [run]), ("shards", shards), ("attempts", attempts)):
            connection.execute(f"DELETE FROM {table} WHERE run_id = ?", key)
            _insert(connection, table, rows)
        connection.execute("COMMIT")
    except duckdb.Error:
        connection.execute("ROLLBACK")
        raise


def _has_table(connection: duckdb.DuckDBPyConnection, name: str) -> bool:
    found = connection.execute(
        "SELECT 1 FROM duckdb_tables() WHERE database_name = current_database() AND table_name = ?",
        [name],
    ).fetchall()
    return bool(found)


def _insert(
    connection: duckdb.DuckDBPyConnection, table: str, rows: Sequence[dict[str, object]]
) -> None:
    """Rows as one Arrow table: 10,000 shards by INSERT … VALUES take a second a thousand."""
    if not rows:
        return
    if len(rows) == 1:
        names = ", ".join(map(quoted, rows[0]))
        marks = ", ".join("?" * len(rows[0]))
        connection.execute(
            f"INSERT INTO {table} ({names}) VALUES ({marks})", list(rows[0].values())
        )
        return
    connection.register("rows", pa.Table.from_pylist(list(rows)))
    connection.execute(f"INSERT INTO {table} BY NAME SELECT * FROM rows")
    connection.unregister("rows")


def _changed(
    connection: duckdb.DuckDBPyConnection, statement: str, values: list[object] | None = None
) -> int:
    return int(connection.execute(statement, values or []).fetchall()[0][0])


def _columns_of(connection: duckdb.DuckDBPyConnection, schema: pa.Schema) -> dict[str, str]:
    connection.register("empty", schema.empty_table())
    rows = connection.execute("DESCRIBE SELECT * FROM empty").fetchall()
    connection.unregister("empty")
    return {row[0]: row[1] for row in rows}
