"""Move rows that a later run replaces into `superseded_<name>`, with where they came from."""

import duckdb

from pipeline.model import SUPERSEDED_AT
from pipeline.sql import fetch_number, literal, quoted

OTHER_CONFIG, UNLABELABLE = "other_config", "unlabelable"
# The part of a reason that is the same for every post: invalid_answer, without the answer itself.
_KIND = "regexp_extract(reason, '^[^:]*')"


def outdated(replaces: str, config_hash: str, *, reason: str | None = None) -> str | None:
    """Return SQL, a condition on the labels' table, for the rows that a run replaces.

    Args:
        replaces: OTHER_CONFIG, UNLABELABLE, or empty for a run that only adds rows.
        config_hash: of the run's labeling setup.
        reason: with UNLABELABLE, replace only rows with this reason.

    Returns:
        The condition, or None for a run that replaces nothing.
    """
    same_reason = f" AND {_KIND} = {literal(reason)}" if reason else ""
    return {
        OTHER_CONFIG: f"config_hash <> {literal(config_hash)}",
        UNLABELABLE: f"NOT was_successfully_labeled{same_reason}",
    }.get(replaces)


def reasons(connection: duckdb.DuckDBPyConnection, name: str, catalog: str) -> list[str]:
    """Return the reasons why posts of a name have no label, or had none, in an attached database.

    Reasons of posts that have a label by now are included, so that a command that retries the same
    reason every night does not fail when no post is left.
    """
    rows = connection.execute(
        "SELECT table_name FROM information_schema.tables WHERE table_catalog = ? "
        "AND table_name IN (?, ?)",
        [catalog, f"labels_{name}", f"superseded_{name}"],
    ).fetchall()
    reasons_seen: set[str] = set()
    for (table,) in rows:
        distinct = connection.execute(
            f"SELECT DISTINCT {_KIND} FROM {quoted(catalog)}.{quoted(table)} "
            "WHERE NOT was_successfully_labeled"
        )
        reasons_seen.update(reason for (reason,) in distinct.fetchall())
    return sorted(reasons_seen)


def move(connection: duckdb.DuckDBPyConnection, name: str, condition: str, run_id: object) -> int:
    """Move the outdated rows of view `output`'s posts out of the labels, within a transaction.

    Args:
        connection: the database.
        name: of the labels.
        condition: which rows are outdated, as `outdated` returns it.
        run_id: the run of the outputs in view `output`; rows of their own shards stay.

    Returns:
        How many rows were moved.
    """
    table, history = quoted(f"labels_{name}"), quoted(f"superseded_{name}")
    outdated_rows = (
        f"FROM {table} WHERE uri IN (SELECT uri FROM output) AND {condition} "
        "AND NOT (run_id = ? AND shard_index IN (SELECT shard_index FROM output))"
    )
    connection.execute(
        f"CREATE TABLE IF NOT EXISTS {history} AS "
        f"SELECT *, now()::TIMESTAMP AS {SUPERSEDED_AT} FROM {table} LIMIT 0"
    )
    present = {row[0] for row in connection.execute(f"DESCRIBE {history}").fetchall()}
    for column, kind, *_ in connection.execute(f"DESCRIBE {table}").fetchall():
        if column not in present:
            connection.execute(f"ALTER TABLE {history} ADD COLUMN {quoted(column)} {kind}")
    connection.execute(
        f"INSERT INTO {history} BY NAME "
        f"SELECT *, now()::TIMESTAMP AS {SUPERSEDED_AT} {outdated_rows}",
        [run_id],
    )
    return fetch_number(connection, f"DELETE {outdated_rows}", [run_id])
