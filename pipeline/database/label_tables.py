"""Read and write the gathered labels.

Each name has a table with one row for each uri. A shard is gathered whole or not at all; many
shards share a transaction, because each commit takes about as long as inserting a shard.
"""

from collections.abc import Iterable, Sequence
from datetime import date

import duckdb
import pyarrow as pa

from pipeline.database import supersede
from pipeline.database.duckdb_file import has_table, insert_rows, registered, transaction
from pipeline.database.supersede import Replacement
from pipeline.errors import RunError
from pipeline.model import COPIED_FROM
from pipeline.sql import fetch_number, quoted
from pipeline.usage import CACHED, COMPLETION, PROMPT, UsedTokens

_REPLACES_NOTHING = Replacement()


def labels_table(name: str) -> str:
    """Return the name of the table that holds a name's labels."""
    return f"labels_{name}"


def with_copied_from(connection: duckdb.DuckDBPyConnection, table: str) -> str:
    """Return a relation with a table's labels, and null in `copied_from` if it has no such column.

    The previous version copied no answers, and no gather changes a table without a new row.
    """
    columns = [row[0] for row in connection.execute(f"DESCRIBE {table}").fetchall()]
    if "copied_from" in columns:
        return table
    return f"(SELECT *, NULL::VARCHAR AS copied_from FROM {table})"


def labeled_uris(
    connection: duckdb.DuckDBPyConnection, name: str, catalog: str, *, outdated: str | None = None
) -> str | None:
    """Return SQL that yields the uris with a row under a name in an attached database.

    Args:
        connection: which the database is attached to.
        name: of the labels.
        catalog: the alias of the attached database.
        outdated: a condition on rows to leave out.

    Returns:
        The SQL, or None where the name has no table.
    """
    tables = connection.execute(
        "SELECT 1 FROM information_schema.tables WHERE table_catalog = ? AND table_name = ?",
        [catalog, labels_table(name)],
    ).fetchall()
    if not tables:
        return None
    current = f" WHERE NOT ({outdated})" if outdated else ""
    return f"SELECT uri FROM {quoted(catalog)}.{quoted(labels_table(name))}{current}"


def successful_uris(connection: duckdb.DuckDBPyConnection, name: str, catalog: str) -> str | None:
    """Return SQL that yields the uris labeled under a name in an attached database.

    None where the name has no table.
    """
    uris = labeled_uris(connection, name, catalog)
    return f"{uris} WHERE was_successfully_labeled" if uris else None


def count_copies(connection: duckdb.DuckDBPyConnection, name: str, catalog: str) -> int:
    """Count the rows of a name, in an attached database, that have the answer to another post.

    0 where the name has no table, or one in which an earlier version gathered all rows.
    """
    if not connection.execute(
        "SELECT 1 FROM duckdb_columns() WHERE database_name = ? AND table_name = ? "
        "AND column_name = ?",
        [catalog, labels_table(name), COPIED_FROM.name],
    ).fetchall():
        return 0
    table = f"{quoted(catalog)}.{quoted(labels_table(name))}"
    return fetch_number(connection, f"SELECT count({COPIED_FROM.name}) FROM {table}")


def names(connection: duckdb.DuckDBPyConnection, catalog: str) -> list[str]:
    """Return the names that have labels in an attached database."""
    rows = connection.execute(
        "SELECT table_name FROM information_schema.tables WHERE table_catalog = ? "
        "AND starts_with(table_name, ?) ORDER BY 1",
        [catalog, labels_table("")],
    ).fetchall()
    return [row[0].removeprefix(labels_table("")) for row in rows]


def is_view(connection: duckdb.DuckDBPyConnection, name: str, catalog: str) -> bool:
    """Tell whether a name's labels in an attached database are a view, by a map of scores."""
    rows = connection.execute(
        "SELECT 1 FROM duckdb_views() WHERE database_name = ? AND view_name = ?",
        [catalog, labels_table(name)],
    ).fetchall()
    return bool(rows)


def count_before(connection: duckdb.DuckDBPyConnection, name: str, catalog: str, day: date) -> int:
    """Count a name's rows of posts from before a day, in an attached database."""
    table = f"{quoted(catalog)}.{quoted(labels_table(name))}"
    query = f"SELECT count(*) FROM {table} WHERE preprocessing_timestamp < ?"
    return fetch_number(connection, query, [day])


def read_used_tokens(
    connection: duckdb.DuckDBPyConnection, name: str, catalog: str, config_hash: str
) -> UsedTokens | None:
    """Return the tokens that a name's posts have used under one labeling setup.

    Rows without token counts are left out, such as those of posts that were never sent to the
    model. Return None where no row has any.
    """
    columns = connection.execute(
        "SELECT column_name FROM information_schema.columns WHERE table_catalog = ? "
        "AND table_name = ?",
        [catalog, labels_table(name)],
    ).fetchall()
    if not {(PROMPT,), (COMPLETION,), (CACHED,)} <= set(columns):
        return None
    table = f"{quoted(catalog)}.{quoted(labels_table(name))}"
    posts, *sums = connection.execute(
        f"SELECT count(*), sum({PROMPT}), sum({COMPLETION}), sum({CACHED}) FROM {table} "
        f"WHERE config_hash = ? AND {PROMPT} IS NOT NULL AND {COMPLETION} IS NOT NULL",
        [config_hash],
    ).fetchall()[0]
    if not posts:
        return None
    totals = dict(zip((PROMPT, COMPLETION, CACHED), sums, strict=True))
    return UsedTokens(posts, {column: int(total or 0) for column, total in totals.items()})


def ensure_labels(connection: duckdb.DuckDBPyConnection, name: str, schema: pa.Schema) -> None:
    """Create a name's table, or add the label columns that it does not have yet.

    Raises RunError where a column exists with another type.
    """
    table = quoted(labels_table(name))
    wanted = _columns_of(connection, schema)
    connection.execute(
        f"CREATE TABLE IF NOT EXISTS {table} "
        f"({', '.join(f'{quoted(column)} {kind}' for column, kind in wanted.items())})"
    )
    present = _types_by_name(connection, table)
    if conflict := _find_conflict(present, wanted):
        column, old, new = conflict
        raise RunError(
            f"table {labels_table(name)}: column {column} is {old}, but {new} in this run's "
            "outputs. Give the configuration another name"
        )
    for column, kind in wanted.items():
        if column.lower() not in present:
            connection.execute(f"ALTER TABLE {table} ADD COLUMN {quoted(column)} {kind}")


def find_type_conflict(
    connection: duckdb.DuckDBPyConnection, name: str, catalog: str, schema: pa.Schema
) -> tuple[str, str, str] | None:
    """Return a column that `ensure_labels` would reject, its type in the database and in `schema`.

    None where all columns fit, or where the name has no table in the attached database.
    """
    if labeled_uris(connection, name, catalog) is None:
        return None
    table = f"{quoted(catalog)}.{quoted(labels_table(name))}"
    return _find_conflict(_types_by_name(connection, table), _columns_of(connection, schema))


def count(connection: duckdb.DuckDBPyConnection, name: str) -> int:
    """Count a name's rows; 0 where nothing was ever gathered under it."""
    if not has_table(connection, labels_table(name)):
        return 0
    return fetch_number(connection, f"SELECT count(*) FROM {quoted(labels_table(name))}")


def rows_end(connection: duckdb.DuckDBPyConnection, name: str) -> int:
    """Return a number that is above the rowids of all rows of a name; 0 where it has no rows.

    Rows that are inserted later have this number or a higher one. A checkpoint may close the gaps
    of deleted rows, and then some of them have lower ones.
    """
    if not has_table(connection, labels_table(name)):
        return 0
    query = f"SELECT coalesce(max(rowid) + 1, 0) FROM {quoted(labels_table(name))}"
    return fetch_number(connection, query)


def join_outputs(outputs: Iterable[pa.Table]) -> list[pa.Table]:
    """Return the rows of outputs, those with the same columns as one table.

    The rows are copied together: DuckDB takes a hundred times the memory of small outputs that lie
    apart (9,000 outputs of 10 rows: 1.1 GB).
    """
    groups: dict[pa.Schema, list[pa.Table]] = {}
    for labels in outputs:
        bare = labels.replace_schema_metadata()
        groups.setdefault(bare.schema, []).append(bare)
    return [pa.concat_tables(group).combine_chunks() for group in groups.values()]


def overlap(
    connection: duckdb.DuckDBPyConnection,
    name: str,
    run_id: str,
    tables: Sequence[pa.Table],
    *,
    outdated: str | None = None,
    rows_end: int,
) -> pa.Table:
    """Return the uris of these outputs that have a row from another shard; usually none.

    One pass serves all outputs: an anti-join for each shard would read the whole table as many
    times as there are shards.

    Args:
        connection: the database.
        name: of the labels.
        run_id: the run that the outputs come from.
        tables: the rows of verified outputs, as `join_outputs` returns them.
        outdated: a condition on rows that do not count, because they will be replaced.
        rows_end: rows with this rowid or a higher one need not be searched, see `rows_end`.
    """
    if not rows_end:
        return pa.table({"uri": pa.array([], pa.string())})
    current = f" AND NOT ({outdated})" if outdated else ""
    uris = pa.concat_tables([table.select(["uri", "shard_index"]) for table in tables])
    with registered(connection, new_uris=uris):
        return connection.sql(
            f"SELECT DISTINCT new_uris.uri FROM new_uris JOIN {quoted(labels_table(name))} AS old "
            "ON old.uri = new_uris.uri "
            "WHERE old.rowid < ? AND "
            "NOT (old.run_id = ? AND old.shard_index = new_uris.shard_index)" + current,
            params=[rows_end, run_id],
        ).to_arrow_table()


def replace_shards(
    connection: duckdb.DuckDBPyConnection,
    name: str,
    outputs: Sequence[pa.Table],
    *,
    shards: Sequence[dict[str, object]],
    present: pa.Table,
    replacement: Replacement = _REPLACES_NOTHING,
) -> tuple[int, int]:
    """Write the labels of a run's shards and their rows in `shards`, in one transaction.

    Earlier labels of shards that were redone are replaced, and so are outdated rows of their posts.

    Args:
        connection: the database.
        name: of the labels.
        outputs: the rows of verified outputs of one run, as `join_outputs` returns them.
        shards: the rows of these outputs for `shards`.
        present: uris that have a row from elsewhere, which stays unless a newer run added it.
        replacement: which rows of other runs are replaced.

    Returns:
        How many rows were removed, and how many were inserted.
    """
    with transaction(connection):
        removed = _delete_shards(connection, name, shards)
        inserted = 0
        for labels in outputs:
            with registered(connection, output=labels, present=present):
                if replacement.outdated:
                    run_id = shards[0]["run_id"]
                    removed += supersede.move(connection, name, replacement.outdated, run_id)
                if present.num_rows and replacement.newer:
                    removed += supersede.yield_to_newer_runs(connection, name, replacement.newer)
                table = quoted(labels_table(name))
                there = f"(FROM present SEMI JOIN {table} USING (uri))"
                new = f"ANTI JOIN {there} USING (uri)" if present.num_rows else ""
                inserted += fetch_number(
                    connection, f"INSERT INTO {table} BY NAME SELECT * FROM output {new}"
                )
        insert_rows(connection, "shards", shards)
    return removed, inserted


def _delete_shards(
    connection: duckdb.DuckDBPyConnection, name: str, shards: Sequence[dict[str, object]]
) -> int:
    """Delete the rows of shards; return how many labels they had."""
    keys = [shards[0]["run_id"], [shard["shard_index"] for shard in shards]]
    these_shards = "WHERE run_id = ? AND shard_index IN ?"
    deleted = connection.execute(
        f"DELETE FROM shards {these_shards} RETURNING shard_index, gathered_at", keys
    ).fetchall()
    # Only a shard that was gathered has rows: the labels need not be searched for others.
    gathered = [index for index, gathered_at in deleted if gathered_at is not None]
    if not gathered:
        return 0
    supersede.forget(connection, name, keys[0], gathered)
    table = quoted(labels_table(name))
    return fetch_number(connection, f"DELETE FROM {table} {these_shards}", [keys[0], gathered])


def _find_conflict(present: dict[str, str], wanted: dict[str, str]) -> tuple[str, str, str] | None:
    for column, new in wanted.items():
        old = present.get(column.lower(), new)
        if old != new:
            return column, old, new
    return None


def _types_by_name(connection: duckdb.DuckDBPyConnection, table: str) -> dict[str, str]:
    """Return the columns' types by name, in lower case: DuckDB's names do not differ by case."""
    rows = connection.execute(f"DESCRIBE {table}").fetchall()
    return {row[0].lower(): row[1] for row in rows}


def _columns_of(connection: duckdb.DuckDBPyConnection, schema: pa.Schema) -> dict[str, str]:
    connection.register("empty", schema.empty_table())
    rows = connection.execute("DESCRIBE SELECT * FROM empty").fetchall()
    connection.unregister("empty")
    return {row[0]: row[1] for row in rows}
