"""Read and write the history of runs, shards and attempts in the database."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import duckdb
import msgspec

from pipeline.database.duckdb_file import has_table, insert_rows, transaction
from pipeline.database.output_proofs import OutputProof
from pipeline.sql import quoted

PROOF_COLUMNS = ("output_sha256", "rows_hash")


class LabeledRun(msgspec.Struct, frozen=True):
    """A run that has labels in the database."""

    run_id: str
    config_hash: str
    """The hash of the labeling setup."""


class GatheredShard(NamedTuple):
    """What the database has of a shard that was gathered."""

    publication: str
    """Which output was gathered."""
    gathered_at: datetime
    """When (UTC)."""
    proof: OutputProof | None = None
    """What the output held; None if an earlier version gathered it."""


def newest_labeled_run(connection: duckdb.DuckDBPyConnection, name: str) -> LabeledRun | None:
    """Return the newest run of a name with gathered labels, whether or not its folder exists.

    A run without labels no longer counts once its folder is gone. The ids tell which is the newest.
    """
    if not has_table(connection, "runs") or not has_table(connection, "shards"):
        return None
    rows = connection.execute(
        "SELECT run_id, config_hash FROM runs WHERE name = ? AND run_id IN "
        "(SELECT run_id FROM shards WHERE gathered_at IS NOT NULL) ORDER BY run_id DESC LIMIT 1",
        [name],
    ).fetchall()
    return LabeledRun(*rows[0]) if rows else None


def gathered_shards(connection: duckdb.DuckDBPyConnection, run_id: str) -> dict[int, GatheredShard]:
    """Return by shard index what the database has of a run's gathered shards."""
    if not has_table(connection, "shards"):
        return {}
    columns = {row[0] for row in connection.execute("DESCRIBE shards").fetchall()}
    # A database that an earlier version made is read as it is.
    proof = (column if column in columns else "NULL" for column in PROOF_COLUMNS)
    rows = connection.execute(
        f"SELECT shard_index, publication, gathered_at, {', '.join(proof)} FROM shards "
        "WHERE run_id = ? AND gathered_at IS NOT NULL",
        [run_id],
    ).fetchall()
    return {
        int(index): GatheredShard(
            publication,
            gathered_at,
            OutputProof(sha256, rows_hash) if sha256 and rows_hash else None,
        )
        for index, publication, gathered_at, sha256, rows_hash in rows
    }


def count_gathered(connection: duckdb.DuckDBPyConnection) -> dict[str, int]:
    """Return by run id how many shards were gathered."""
    if not has_table(connection, "shards"):
        return {}
    rows = connection.execute(
        "SELECT run_id, count(*) FROM shards WHERE gathered_at IS NOT NULL GROUP BY run_id"
    ).fetchall()
    return {str(run_id): int(count) for run_id, count in rows}


def newer_runs(connection: duckdb.DuckDBPyConnection, run_id: str) -> tuple[str, ...]:
    """Return the known runs that were created after a known run."""
    rows = connection.execute(
        "SELECT newer.run_id FROM runs AS newer JOIN runs AS this ON this.run_id = ? "
        "WHERE (newer.created_at, newer.run_id) > (this.created_at, this.run_id) ORDER BY ALL",
        [run_id],
    ).fetchall()
    return tuple(str(newer) for (newer,) in rows)


def all_gathered_shards(connection: duckdb.DuckDBPyConnection) -> set[tuple[str, int]]:
    """Return run id and shard index of every shard that was gathered."""
    rows = connection.execute(
        "SELECT run_id, shard_index FROM shards WHERE gathered_at IS NOT NULL"
    ).fetchall()
    return {(str(run_id), int(index)) for run_id, index in rows}


def rows_by_run(connection: duckdb.DuckDBPyConnection) -> dict[str, int]:
    """Count the rows of labels, superseded ones included, by the run that they come from."""
    tables = connection.execute(
        "SELECT table_name FROM duckdb_columns() JOIN duckdb_tables() USING (table_oid, "
        "database_name, table_name) WHERE database_name = current_database() "
        "AND column_name = 'run_id' AND regexp_matches(table_name, '^(labels|superseded)_') "
        "UNION SELECT view_name FROM duckdb_views() WHERE database_name = current_database() "
        "AND view_name IN (SELECT concat('labels_', name) FROM label_layouts)"
    ).fetchall()
    counts: Counter[str] = Counter()
    for (table,) in tables:
        rows = connection.execute(f"SELECT run_id, count(*) FROM {quoted(table)} GROUP BY 1")
        counts.update(dict(rows.fetchall()))
    return counts


def run_folders(connection: duckdb.DuckDBPyConnection, name: str) -> dict[str, str]:
    """Return the folder of each run of a name, by run id."""
    if not has_table(connection, "runs"):
        return {}
    rows = connection.execute(
        "SELECT run_id, run_dir FROM runs WHERE name = ? ORDER BY created_at, run_id", [name]
    ).fetchall()
    return dict(rows)


def run_roots(
    connection: duckdb.DuckDBPyConnection, catalog: str, names: Sequence[str]
) -> list[Path]:
    """Return the folders that hold the runs of some names, as an attached database has them."""
    if not connection.execute(
        "SELECT 1 FROM duckdb_tables() WHERE database_name = ? AND table_name = 'runs'", [catalog]
    ).fetchall():
        return []
    rows = connection.execute(
        f"SELECT DISTINCT run_dir FROM {quoted(catalog)}.runs WHERE name IN (SELECT unnest(?))",
        [list(names)],
    ).fetchall()
    return sorted({Path(row[0]).parent for row in rows})


def register(
    connection: duckdb.DuckDBPyConnection,
    run: dict[str, object],
    shards: Sequence[dict[str, object]],
) -> None:
    """Record a planned run that is not known yet, so that its posts hold the watermark back."""
    if connection.execute("SELECT 1 FROM runs WHERE run_id = ?", [run["run_id"]]).fetchall():
        return
    replace_history(connection, run=run, shards=shards, attempts=[])


def delete_run(connection: duckdb.DuckDBPyConnection, run_id: str) -> None:
    """Delete the history of a run that no label comes from."""
    for table in ("runs", "shards", "attempts"):
        connection.execute(f"DELETE FROM {table} WHERE run_id = ?", [run_id])


def replace_history(
    connection: duckdb.DuckDBPyConnection,
    *,
    run: dict[str, object],
    shards: Sequence[dict[str, object]],
    attempts: Sequence[dict[str, object]],
) -> None:
    """Replace all that is recorded of a run, its shards and attempts, in one transaction."""
    key = [run["run_id"]]
    with transaction(connection):
        for table, rows in (("runs", [run]), ("shards", shards), ("attempts", attempts)):
            connection.execute(f"DELETE FROM {table} WHERE run_id = ?", key)
            insert_rows(connection, table, rows)
