"""Read and write the gathered labels.

Each name has a table with one row for each uri. A shard is gathered whole or not at all; many
shards share a transaction, because each commit takes about as long as inserting a shard.
"""

from collections.abc import Iterable, Sequence
from datetime import date

import duckdb
import pyarrow as pa

from pipeline.database import supersede
from pipeline.database.duckdb_file import insert_rows, register_tables
from pipeline.database.stores import layouts
from pipeline.database.stores.columns import columns_of, find_conflict, types_by_name
from pipeline.database.stores.label_store import LabelStore
from pipeline.database.supersede import Replacement
from pipeline.model import COPIED_FROM
from pipeline.sql import fetch_number, literal, quoted
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


def gathered_names(connection: duckdb.DuckDBPyConnection) -> list[str]:
    """Return the names that the open database has gathered labels of: not those of mapped ones."""
    prefix = labels_table("")
    tables = connection.execute(
        "SELECT table_name FROM duckdb_tables() WHERE database_name = current_database() "
        "AND starts_with(table_name, ?)",
        [prefix],
    ).fetchall()
    in_files = layouts.parquet_names(connection, layouts.current_catalog(connection))
    return sorted({*(table.removeprefix(prefix) for (table,) in tables), *in_files})


def has_labels(connection: duckdb.DuckDBPyConnection, name: str) -> bool:
    """Tell whether labels of a name were ever gathered into the open database."""
    return name in gathered_names(connection)


def is_mapped(connection: duckdb.DuckDBPyConnection, name: str, catalog: str) -> bool:
    """Tell whether a name's labels in an attached database are a view, by a map of scores."""
    if name in layouts.parquet_names(connection, catalog):
        return False
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


def find_type_conflict(
    connection: duckdb.DuckDBPyConnection, name: str, catalog: str, schema: pa.Schema
) -> tuple[str, str, str] | None:
    """Return a column that a gather would reject, its type in the database and in `schema`.

    None where all columns fit, or where the name has no table in the attached database.
    """
    if labeled_uris(connection, name, catalog) is None:
        return None
    table = f"{quoted(catalog)}.{quoted(labels_table(name))}"
    return find_conflict(types_by_name(connection, table), columns_of(connection, schema))


def count(connection: duckdb.DuckDBPyConnection, name: str) -> int:
    """Count a name's rows; 0 where nothing was ever gathered under it."""
    if not has_labels(connection, name):
        return 0
    return fetch_number(connection, f"SELECT count(*) FROM {quoted(labels_table(name))}")


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
    store: LabelStore,
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
        store: where the labels are.
        run_id: the run that the outputs come from.
        tables: the rows of verified outputs, as `join_outputs` returns them.
        outdated: a condition on rows that do not count, because they will be replaced.
        rows_end: only rows before this end are searched, see `LabelStore.rows_end`.
    """
    if not rows_end:
        return pa.table({"uri": pa.array([], pa.string())})
    current = f" AND NOT ({outdated})" if outdated else ""
    uris = pa.concat_tables([table.select(["uri", "shard_index"]) for table in tables])
    with register_tables(connection, new_uris=uris):
        return connection.sql(
            f"SELECT DISTINCT new_uris.uri FROM new_uris JOIN {store.rows_before(rows_end)} AS old "
            "ON old.uri = new_uris.uri "
            "WHERE NOT (old.run_id = ? AND old.shard_index = new_uris.shard_index)" + current,
            params=[run_id],
        ).to_arrow_table()


def replace_shards(
    connection: duckdb.DuckDBPyConnection,
    store: LabelStore,
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
        store: where the labels of the run's name are.
        outputs: the rows of verified outputs of one run, as `join_outputs` returns them.
        shards: the rows of these outputs for `shards`.
        present: uris that have a row from elsewhere, which stays unless a newer run added it.
        replacement: which rows of other runs are replaced.

    Returns:
        How many rows were removed, and how many were inserted.
    """
    run_id = str(shards[0]["run_id"])
    with store.transaction():
        removed = _delete_shards(connection, store, run_id, shards)
        inserted = 0
        for labels in outputs:
            with register_tables(connection, output=labels, present=present):
                if replacement.outdated:
                    removed += supersede.move(connection, store, replacement.outdated, run_id)
                if present.num_rows and replacement.newer:
                    removed += supersede.yield_to_newer_runs(connection, store, replacement.newer)
                table = quoted(labels_table(store.name))
                there = f"(FROM present SEMI JOIN {table} USING (uri))"
                new = f" ANTI JOIN {there} USING (uri)" if present.num_rows else ""
                inserted += store.insert(f"SELECT * FROM output{new}", run_id)
        insert_rows(connection, "shards", shards)
    return removed, inserted


def _delete_shards(
    connection: duckdb.DuckDBPyConnection,
    store: LabelStore,
    run_id: str,
    shards: Sequence[dict[str, object]],
) -> int:
    """Delete the rows of shards; return how many labels they had."""
    deleted = connection.execute(
        "DELETE FROM shards WHERE run_id = ? AND shard_index IN ? "
        "RETURNING shard_index, gathered_at",
        [run_id, [shard["shard_index"] for shard in shards]],
    ).fetchall()
    # Only a shard that was gathered has rows: the labels need not be searched for others.
    gathered = [int(index) for index, gathered_at in deleted if gathered_at is not None]
    if not gathered:
        return 0
    supersede.forget(connection, store.name, run_id, gathered)
    return store.delete(
        f"run_id = {literal(run_id)} AND shard_index IN ({', '.join(map(str, gathered))})"
    )
