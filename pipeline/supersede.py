"""Rows that a later run replaces: kept, with where they came from, in `superseded_<name>`."""

import duckdb

from pipeline.model import SUPERSEDED_AT
from pipeline.sql import literal, quoted

OTHER_CONFIG, UNLABELABLE = "other_config", "unlabelable"


def outdated(replaces: str, config_hash: str, *, reason: str | None = None) -> str | None:
    """Which rows a run replaces, as a condition on the labels' table; None: it adds only.

    Args:
        reason: of the unlabelable ones, only those of this reason.
    """
    alike = f" AND regexp_extract(reason, '^[^:]*') = {literal(reason)}" if reason else ""
    return {
        OTHER_CONFIG: f"config_hash <> {literal(config_hash)}",
        UNLABELABLE: f"NOT was_successfully_labeled{alike}",
    }.get(replaces)


def move(
    connection: duckdb.DuckDBPyConnection, name: str, condition: str, own: list[object]
) -> int:
    """Within a transaction: takes the outdated rows of view `output`'s posts out of the labels.
    Returns how many.

    Args:
        own: run id and shard index, whose rows are not meant.
    """
    table, history = quoted(f"labels_{name}"), quoted(f"superseded_{name}")
    which = (
        f"FROM {table} WHERE uri IN (SELECT uri FROM output) AND {condition} "
        "AND NOT (run_id = ? AND shard_index = ?)"
    )
    connection.execute(
        f"CREATE TABLE IF NOT EXISTS {history} AS "
        f"SELECT *, now()::TIMESTAMP AS {SUPERSEDED_AT} FROM {table} LIMIT 0"
    )
    has = {row[0] for row in connection.execute(f"DESCRIBE {history}").fetchall()}
    for column, kind, *_ in connection.execute(f"DESCRIBE {table}").fetchall():
        if column not in has:
            connection.execute(f"ALTER TABLE {history} ADD COLUMN {quoted(column)} {kind}")
    connection.execute(
        f"INSERT INTO {history} BY NAME SELECT *, now()::TIMESTAMP AS {SUPERSEDED_AT} {which}", own
    )
    return int(connection.execute(f"DELETE {which}", own).fetchall()[0][0])
