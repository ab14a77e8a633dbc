"""Rows that a later run replaces: kept, with where they came from, in `superseded_<name>`."""

import duckdb

from pipeline.model import SUPERSEDED_AT
from pipeline.sql import literal, quoted

OTHER_CONFIG, UNLABELABLE = "other_config", "unlabelable"
# Of a reason, what is the same for every post: invalid_answer, and not what the answer was.
_KIND = "regexp_extract(reason, '^[^:]*')"


def outdated(replaces: str, config_hash: str, *, reason: str | None = None) -> str | None:
    """Which rows a run replaces, as a condition on the labels' table; None: it adds only.

    Args:
        reason: of the unlabelable ones, only those of this reason.
    """
    alike = f" AND {_KIND} = {literal(reason)}" if reason else ""
    return {
        OTHER_CONFIG: f"config_hash <> {literal(config_hash)}",
        UNLABELABLE: f"NOT was_successfully_labeled{alike}",
    }.get(replaces)


def reasons(connection: duckdb.DuckDBPyConnection, name: str, catalog: str) -> list[str]:
    """Why posts under `name` had no label, in an attached database: also those that have one by
    now, so that who asks for the same reason each night is not told that there is none."""
    rows = connection.execute(
        "SELECT table_name FROM information_schema.tables WHERE table_catalog = ? "
        "AND table_name IN (?, ?)",
        [catalog, f"labels_{name}", f"superseded_{name}"],
    ).fetchall()
    found: set[str] = set()
    for (table,) in rows:
        reason = f"SELECT DISTINCT {_KIND} FROM {quoted(catalog)}.{quoted(table)}"
        had = connection.execute(f"{reason} WHERE NOT was_successfully_labeled").fetchall()
        found.update(one for (one,) in had)
    return sorted(found)


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
