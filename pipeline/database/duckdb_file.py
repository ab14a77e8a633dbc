"""The DuckDB file of labels and history: opening it, waiting for its lock, its tables. It can be
rebuilt from the run folders.

Only a gathering process opens it for writing, briefly: DuckDB lets one process write at a time.
"""

import errno
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import duckdb
import pyarrow as pa

from pipeline.errors import BusyError, RunError
from pipeline.sql import literal, quoted

MEMORY_LIMIT = "1GB"
THREADS = 2
LOCK_WAIT_S = 10.0

_TABLES = """
CREATE TABLE IF NOT EXISTS runs (
    run_id VARCHAR PRIMARY KEY, name VARCHAR NOT NULL, created_at TIMESTAMP NOT NULL,
    run_dir VARCHAR NOT NULL, posts BIGINT NOT NULL, shards INTEGER NOT NULL,
    state VARCHAR NOT NULL, config_hash VARCHAR NOT NULL, version VARCHAR NOT NULL);
CREATE TABLE IF NOT EXISTS shards (
    run_id VARCHAR NOT NULL, shard_index INTEGER NOT NULL, posts BIGINT NOT NULL,
    min_preprocessing_timestamp TIMESTAMP NOT NULL, max_preprocessing_timestamp TIMESTAMP NOT NULL,
    state VARCHAR NOT NULL, cause VARCHAR, attempts INTEGER NOT NULL, gathered_at TIMESTAMP,
    publication VARCHAR);
CREATE TABLE IF NOT EXISTS attempts (
    run_id VARCHAR NOT NULL, shard_index INTEGER NOT NULL, attempt INTEGER NOT NULL,
    array_job_id BIGINT, array_task_index INTEGER NOT NULL, slurm_state VARCHAR, cause VARCHAR,
    exit_code VARCHAR, elapsed_s BIGINT, max_rss_mb DOUBLE, mem_gb DOUBLE, time_min BIGINT,
    node VARCHAR, submitted_at TIMESTAMP, started_at TIMESTAMP, ended_at TIMESTAMP);
ALTER TABLE runs ADD COLUMN IF NOT EXISTS only_labelled_by VARCHAR;
-- Everything planned up to a name's watermark has its row: no gathered shard counts that begins
-- behind, or ends after, the first post of one that is not gathered. A run that chose its posts by
-- another name's labels left out those between them: its shards hold back, and never move on.
CREATE OR REPLACE VIEW watermarks AS
    WITH named AS (
        SELECT name, only_labelled_by, shards.* FROM shards JOIN runs USING (run_id)),
    held AS (SELECT name, min(min_preprocessing_timestamp) AS first_missing
             FROM named WHERE gathered_at IS NULL GROUP BY name)
    SELECT name, max(max_preprocessing_timestamp) AS watermark
    FROM named LEFT JOIN held USING (name)
    WHERE gathered_at IS NOT NULL AND only_labelled_by IS NULL
      AND (first_missing IS NULL OR max_preprocessing_timestamp < first_missing)
    GROUP BY name;
"""


@contextmanager
def opened(
    path: Path, *, read_only: bool = False, wait_s: float | None = None
) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection to the database, its tables made.

    Raises RunError where another process holds it longer than `wait_s` (LOCK_WAIT_S), or where the
    file is no DuckDB database; OSError where the disk is full, also from the block.
    """
    connection = _connect(path, read_only, LOCK_WAIT_S if wait_s is None else wait_s)
    try:
        connection.execute(f"SET memory_limit = '{MEMORY_LIMIT}'")
        connection.execute(f"SET threads = {THREADS}")
        # A transaction a shard fills DuckDB's log quickly: folding it in every 16 MB, the default,
        # takes as long again as the inserts (1M posts: 8.3 s against 4.5 s).
        connection.execute("SET checkpoint_threshold = '256MB'")
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute("SET enable_progress_bar = false")
        _refuse_a_strangers(connection, path)
        if not read_only:
            try:
                connection.execute(f"BEGIN; {_TABLES} COMMIT;")
            except duckdb.Error as error:
                _tell_a_full_disk(path, error)
                raise RunError(f"{path} is not a database of this program: {error}") from None
        yield connection
    except duckdb.Error as error:
        _tell_a_full_disk(path, error)
        raise
    finally:
        connection.close()


def _refuse_a_strangers(connection: duckdb.DuckDBPyConnection, path: Path) -> None:
    """Before anything is spent: a database of something else is not to be filled with ours."""
    rows = connection.execute(
        "SELECT table_name FROM duckdb_tables() WHERE database_name = current_database()"
    ).fetchall()
    tables = {row[0] for row in rows}
    if tables and not tables >= {"runs", "shards", "attempts"}:
        raise RunError(
            f"{path} is not a database of this program: it has {', '.join(sorted(tables))}; name "
            "another file in storage.database"
        )


def _connect(path: Path, read_only: bool, wait_s: float) -> duckdb.DuckDBPyConnection:
    deadline = time.monotonic() + wait_s
    path.parent.mkdir(parents=True, exist_ok=True)
    while True:
        try:
            return duckdb.connect(str(path), read_only=read_only)
        except duckdb.Error as error:
            _refuse_to_wait(path, error, deadline)
        time.sleep(0.2)


def _tell_a_full_disk(path: Path, error: duckdb.Error) -> None:
    """DuckDB has no class for it; nothing is wrong with the database then."""
    for number in (errno.ENOSPC, errno.EDQUOT):
        if os.strerror(number) in str(error):
            raise OSError(number, os.strerror(number), str(path)) from None


def _refuse_to_wait(path: Path, error: duckdb.Error, deadline: float) -> None:
    _tell_a_full_disk(path, error)
    # Not just "lock": a damaged file's message says which block, and all of them give the path.
    if "Could not set lock on file" not in str(error):
        raise RunError(f"the database {path} cannot be opened: {error}") from None
    if time.monotonic() > deadline:
        raise BusyError(f"the database {path} is in use by another process: {error}") from None


def attach(connection: duckdb.DuckDBPyConnection, path: Path, alias: str) -> None:
    """Attaches the database read-only to a planning connection, waiting as `opened` does."""
    deadline = time.monotonic() + LOCK_WAIT_S
    while True:
        try:
            connection.execute(f"ATTACH {literal(str(path))} AS {quoted(alias)} (READ_ONLY)")
        except duckdb.Error as error:
            _refuse_to_wait(path, error, deadline)
            time.sleep(0.2)
        else:
            return


@contextmanager
def transaction(connection: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """All of the block, or nothing. Raises what went wrong: a COMMIT that fails (a full disk) has
    ended the transaction already, and the complaint of a ROLLBACK after it would hide why."""
    connection.execute("BEGIN")
    try:
        yield
        connection.execute("COMMIT")
    except duckdb.Error:
        with suppress(duckdb.Error):
            connection.execute("ROLLBACK")
        raise


def has_table(connection: duckdb.DuckDBPyConnection, name: str) -> bool:
    found = connection.execute(
        "SELECT 1 FROM duckdb_tables() WHERE database_name = current_database() AND table_name = ?",
        [name],
    ).fetchall()
    return bool(found)


def insert_rows(
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
