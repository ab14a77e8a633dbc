"""Move rows that a later run replaces into `superseded_<name>`, with where they came from."""

from collections.abc import Sequence

import duckdb
import msgspec

from pipeline.database.duckdb_file import has_table
from pipeline.database.stores.label_store import LabelStore
from pipeline.model import SUPERSEDED_AT
from pipeline.sql import fetch_number, literal, quoted

OTHER_CONFIG, UNLABELABLE = "other_config", "unlabelable"
# The part of a reason that is the same for every post: invalid_answer, without the answer itself.
_KIND = "regexp_extract(reason, '^[^:]*')"


class Replacement(msgspec.Struct, frozen=True, kw_only=True):
    """Which rows of other runs the rows of a run replace, and which they give way to."""

    outdated: str | None = None
    """A condition on the rows to replace; None for a run that replaces nothing."""
    newer: tuple[str, ...] = ()
    """The runs that were created later."""


def outdated_condition(
    replaces: str, config_hash: str, *, reason: str | None = None, newer: Sequence[str] = ()
) -> str | None:
    """Return SQL, a condition on the labels' table, for the rows that a run replaces.

    Args:
        replaces: OTHER_CONFIG, UNLABELABLE, or empty for a run that only adds rows.
        config_hash: of the run's labeling setup.
        reason: with UNLABELABLE, replace only rows with this reason.
        newer: the runs created later, whose rows it never replaces.

    Returns:
        The condition, or None for a run that replaces nothing.
    """
    same_reason = f" AND {_KIND} = {literal(reason)}" if reason else ""
    condition = {
        OTHER_CONFIG: f"config_hash <> {literal(config_hash)}",
        UNLABELABLE: f"NOT was_successfully_labeled{same_reason}",
    }.get(replaces)
    if condition and newer:
        return f"{condition} AND run_id NOT IN ({', '.join(map(literal, newer))})"
    return condition


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


def move(
    connection: duckdb.DuckDBPyConnection, store: LabelStore, condition: str, run_id: str
) -> int:
    """Move the outdated rows of view `output`'s posts out of the labels, within a transaction.

    Args:
        connection: the database.
        store: where the labels are.
        condition: which rows are outdated, as `outdated_condition` returns it.
        run_id: the run of the outputs in view `output`; rows of their own shards stay.

    Returns:
        How many rows were moved.
    """
    table, history = quoted(f"labels_{store.name}"), _ensure_history(connection, store.name)
    outdated_rows = (
        f"uri IN (SELECT uri FROM output) AND {condition} AND NOT (run_id = {literal(run_id)} "
        "AND shard_index IN (SELECT shard_index FROM output))"
    )
    connection.execute(
        f"INSERT INTO {history} BY NAME "
        f"SELECT *, now()::TIMESTAMP AS {SUPERSEDED_AT} FROM {table} WHERE {outdated_rows}"
    )
    return store.delete(outdated_rows)


def yield_to_newer_runs(
    connection: duckdb.DuckDBPyConnection, store: LabelStore, newer: Sequence[str]
) -> int:
    """Settle which rows stay where newer runs were gathered first, within a transaction.

    The order of gathering decides nothing: what stays is what would have stayed if the runs had
    been gathered in the order of their creation, as a rebuild does. Rows of view `output` that a
    newer run replaces go to `superseded_<name>`. Rows of a newer run that only adds are deleted.

    Args:
        connection: the database, with views `output` and `present`.
        store: where the labels are.
        name: of the labels.
        newer: the runs that were created after that of the outputs.

    Returns:
        How many rows were deleted from the labels.
    """
    table = quoted(f"labels_{store.name}")
    connection.execute(
        "CREATE OR REPLACE TEMPORARY TABLE settled AS "
        f"SELECT output.uri, labels.run_id, coalesce("
        f"runs.replaces = {literal(OTHER_CONFIG)} AND output.config_hash <> runs.config_hash OR "
        f"runs.replaces = {literal(UNLABELABLE)} AND NOT output.was_successfully_labeled, false"
        f") AS is_replaced FROM output SEMI JOIN present USING (uri) JOIN {table} AS labels "
        "ON labels.uri = output.uri JOIN runs ON runs.run_id = labels.run_id "
        "WHERE labels.run_id IN ?",
        [list(newer)],
    )
    if fetch_number(connection, "SELECT count(*) FROM settled WHERE is_replaced"):
        connection.execute(
            f"INSERT INTO {_ensure_history(connection, store.name)} BY NAME "
            f"SELECT *, now()::TIMESTAMP AS {SUPERSEDED_AT} FROM output "
            "WHERE uri IN (SELECT uri FROM settled WHERE is_replaced)"
        )
    deleted = store.delete(
        "(uri, run_id) IN (SELECT (uri, run_id) FROM settled WHERE NOT is_replaced)"
    )
    connection.execute("DROP TABLE settled")
    return deleted


def forget(
    connection: duckdb.DuckDBPyConnection, name: str, run_id: object, shards: Sequence[object]
) -> None:
    """Delete the superseded rows of shards that were labeled again, within a transaction."""
    if has_table(connection, f"superseded_{name}"):
        connection.execute(
            f"DELETE FROM {quoted(f'superseded_{name}')} WHERE run_id = ? AND shard_index IN ?",
            [run_id, list(shards)],
        )


def _ensure_history(connection: duckdb.DuckDBPyConnection, name: str) -> str:
    """Create or widen the table of a name's replaced rows, and return its quoted name."""
    table, history = quoted(f"labels_{name}"), quoted(f"superseded_{name}")
    connection.execute(
        f"CREATE TABLE IF NOT EXISTS {history} AS "
        f"SELECT *, now()::TIMESTAMP AS {SUPERSEDED_AT} FROM {table} LIMIT 0"
    )
    present = {row[0] for row in connection.execute(f"DESCRIBE {history}").fetchall()}
    for column, kind, *_ in connection.execute(f"DESCRIBE {table}").fetchall():
        if column not in present:
            connection.execute(f"ALTER TABLE {history} ADD COLUMN {quoted(column)} {kind}")
    return history
