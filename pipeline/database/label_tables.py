"""The gathered labels: one table a name, one row a uri, one transaction a shard."""

from collections.abc import Sequence
from datetime import date

import duckdb
import pyarrow as pa

from pipeline.database import supersede
from pipeline.database.duckdb_file import has_table, insert_rows, transaction
from pipeline.errors import RunError
from pipeline.sql import quoted
from pipeline.usage import CACHED, COMPLETION, PROMPT, UsedTokens


def labels_table(name: str) -> str:
    return f"labels_{name}"


def labelled_uris(
    connection: duckdb.DuckDBPyConnection, name: str, catalog: str, *, outdated: str | None = None
) -> str | None:
    """SQL of the uris that have a row under `name` in an attached database, but for `outdated` ones
    (a condition); None: no such table."""
    found = connection.execute(
        "SELECT 1 FROM information_schema.tables WHERE table_catalog = ? AND table_name = ?",
        [catalog, labels_table(name)],
    ).fetchall()
    if not found:
        return None
    current = f" WHERE NOT ({outdated})" if outdated else ""
    return f"SELECT uri FROM {quoted(catalog)}.{quoted(labels_table(name))}{current}"


def successful_uris(connection: duckdb.DuckDBPyConnection, name: str, catalog: str) -> str | None:
    """SQL of the uris that are labelled under `name` in an attached database; None: no such
    table."""
    uris = labelled_uris(connection, name, catalog)
    return f"{uris} WHERE was_successfully_labeled" if uris else None


def names(connection: duckdb.DuckDBPyConnection, catalog: str) -> list[str]:
    """The names that have labels in an attached database."""
    rows = connection.execute(
        "SELECT table_name FROM information_schema.tables WHERE table_catalog = ? "
        "AND starts_with(table_name, ?) ORDER BY 1",
        [catalog, labels_table("")],
    ).fetchall()
    return [row[0].removeprefix(labels_table("")) for row in rows]


def count_before(connection: duckdb.DuckDBPyConnection, name: str, catalog: str, day: date) -> int:
    """Rows under `name` of posts from before a day, in an attached database."""
    table = f"{quoted(catalog)}.{quoted(labels_table(name))}"
    query = f"SELECT count(*) FROM {table} WHERE preprocessing_timestamp < ?"
    return int(connection.execute(query, [day]).fetchall()[0][0])


def paid(
    connection: duckdb.DuckDBPyConnection, name: str, catalog: str, config_hash: str
) -> UsedTokens | None:
    """What the posts of one question have used, in an attached database; None where no row says.
    Rows that do not say are left out, and with them posts that needed no asking."""
    found = connection.execute(
        "SELECT column_name FROM information_schema.columns WHERE table_catalog = ? "
        "AND table_name = ?",
        [catalog, labels_table(name)],
    ).fetchall()
    if not {(PROMPT,), (COMPLETION,), (CACHED,)} <= set(found):
        return None
    table = f"{quoted(catalog)}.{quoted(labels_table(name))}"
    posts, *sums = connection.execute(
        f"SELECT count(*), sum({PROMPT}), sum({COMPLETION}), sum({CACHED}) FROM {table} "
        f"WHERE config_hash = ? AND {PROMPT} IS NOT NULL AND {COMPLETION} IS NOT NULL",
        [config_hash],
    ).fetchall()[0]
    if not posts:
        return None
    told = dict(zip((PROMPT, COMPLETION, CACHED), sums, strict=True))
    return UsedTokens(posts, {column: int(total or 0) for column, total in told.items()})


def ensure_labels(connection: duckdb.DuckDBPyConnection, name: str, schema: pa.Schema) -> None:
    """Makes the labels' table, or adds the label columns that it does not have yet.

    Raises RunError where a column is there with another type.
    """
    table = quoted(labels_table(name))
    wanted = _columns_of(connection, schema)
    connection.execute(
        f"CREATE TABLE IF NOT EXISTS {table} "
        f"({', '.join(f'{quoted(column)} {kind}' for column, kind in wanted.items())})"
    )
    present = _present(connection, table)
    if other := _of_another_type(present, wanted):
        column, had, kind = other
        raise RunError(
            f"table {labels_table(name)}: column {column} is {had}, and {kind} in this run's "
            "outputs: give the configuration another name"
        )
    for column, kind in wanted.items():
        if column.lower() not in present:
            connection.execute(f"ALTER TABLE {table} ADD COLUMN {quoted(column)} {kind}")


def of_another_type(
    connection: duckdb.DuckDBPyConnection, name: str, catalog: str, schema: pa.Schema
) -> tuple[str, str, str] | None:
    """A column of `schema`, the type that the name's table in an attached database has of it, and
    the one that it should have; None where all fit. What `ensure_labels` would refuse."""
    if labelled_uris(connection, name, catalog) is None:
        return None
    table = f"{quoted(catalog)}.{quoted(labels_table(name))}"
    return _of_another_type(_present(connection, table), _columns_of(connection, schema))


def count(connection: duckdb.DuckDBPyConnection, name: str) -> int:
    """Rows under `name` now; 0 where nothing was ever gathered under it."""
    if not has_table(connection, labels_table(name)):
        return 0
    table = quoted(labels_table(name))
    return int(connection.execute(f"SELECT count(*) FROM {table}").fetchall()[0][0])


def overlap(
    connection: duckdb.DuckDBPyConnection,
    name: str,
    run_id: str,
    tables: Sequence[pa.Table],
    *,
    outdated: str | None = None,
) -> pa.Table:
    """The uris of these outputs that have a row from elsewhere: mostly none, one pass for all.

    An anti-join a shard would read the whole table as often as there are shards. `outdated` is a
    condition on rows that do not count, because they are to be replaced.
    """
    current = f" AND NOT ({outdated})" if outdated else ""
    uris = pa.concat_tables([table.select(["uri", "shard_index"]) for table in tables])
    connection.register("new_uris", uris)
    found = connection.sql(
        f"SELECT DISTINCT new_uris.uri FROM new_uris JOIN {quoted(labels_table(name))} AS old "
        "ON old.uri = new_uris.uri "
        "WHERE NOT (old.run_id = ? AND old.shard_index = new_uris.shard_index)" + current,
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
    outdated: str | None = None,
) -> tuple[int, int]:
    """One transaction: the shard's labels and its row in `shards`. Returns (removed, inserted).

    `labels` is a verified output; `present` the uris to leave as they are; a redone shard's
    former labels are replaced, and so are `outdated` rows of its posts.
    """
    table = quoted(labels_table(name))
    key = [shard["run_id"], shard["shard_index"]]
    connection.register("output", labels)
    connection.register("present", present)
    try:
        with transaction(connection):
            was = "WHERE run_id = ? AND shard_index = ?"
            former = connection.execute(f"DELETE FROM shards {was} RETURNING gathered_at", key)
            # Only a shard that was gathered has rows: no look through the labels for the others.
            redone = any(at is not None for (at,) in former.fetchall())
            removed = _changed(connection, f"DELETE FROM {table} {was}", key) if redone else 0
            if outdated:
                removed += supersede.move(connection, name, outdated, key)
            others = " ANTI JOIN present USING (uri)" * bool(present.num_rows)
            new = f"SELECT * FROM output{others}"
            inserted = _changed(connection, f"INSERT INTO {table} BY NAME {new}")
            insert_rows(connection, "shards", [shard])
    finally:
        connection.unregister("output")
        connection.unregister("present")
    return removed, inserted


def _changed(
    connection: duckdb.DuckDBPyConnection, statement: str, values: list[object] | None = None
) -> int:
    return int(connection.execute(statement, values or []).fetchall()[0][0])


def _of_another_type(
    present: dict[str, str], wanted: dict[str, str]
) -> tuple[str, str, str] | None:
    for column, kind in wanted.items():
        had = present.get(column.lower(), kind)
        if had != kind:
            return column, had, kind
    return None


def _present(connection: duckdb.DuckDBPyConnection, table: str) -> dict[str, str]:
    """Types by name, in lower case: DuckDB's names differ by more than that."""
    rows = connection.execute(f"DESCRIBE {table}").fetchall()
    return {row[0].lower(): row[1] for row in rows}


def _columns_of(connection: duckdb.DuckDBPyConnection, schema: pa.Schema) -> dict[str, str]:
    connection.register("empty", schema.empty_table())
    rows = connection.execute("DESCRIBE SELECT * FROM empty").fetchall()
    connection.unregister("empty")
    return {row[0]: row[1] for row in rows}
