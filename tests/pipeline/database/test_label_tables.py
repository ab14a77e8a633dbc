import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from pipeline.config.sections import LAYOUTS
from pipeline.database import duckdb_file, history, label_tables
from pipeline.database.history import GatheredShard
from pipeline.database.stores.label_store import LabelStore
from pipeline.database.stores.open_store import open_store
from pipeline.errors import RunError
from pipeline.model import Column, output_schema
from pipeline.run_files import output
from pipeline.run_files.manifest import Manifest
from tests.pipeline.run_builders import make_run, posts, publish_shard, uri

NAME = "valence"
COLUMNS = (Column("compound", "number"), Column("valence_label", "text"))
SCHEMA = output_schema(COLUMNS)
NO_URIS = pa.table({"uri": pa.array([], pa.string())})
HOLD = "import sys, duckdb; c = duckdb.connect(sys.argv[1]); print('held', flush=True); input()"


def published(run_dir: Path, run: Manifest, index: int) -> pa.Table:
    publish_shard(run_dir, run, index)
    _, table = output.read(run_dir, run, index)
    assert table is not None
    return table


def shard_row(
    run: Manifest, index: int, *, gathered_at: datetime | None = datetime(2024, 6, 2)
) -> dict[str, object]:
    shard = run.shards[index].to_json()
    return {
        "run_id": run.run_id,
        "shard_index": index,
        **{key: shard[key] for key in shard if key not in ("index", "sha256")},
        "state": "done",
        "cause": None,
        "attempts": 1,
        "gathered_at": gathered_at,
        "publication": f"p{index}",
    }


def run_row(run: Manifest) -> dict[str, object]:
    return {
        "run_id": run.run_id,
        "name": run.name,
        "created_at": run.created_at,
        "run_dir": "/runs",
        "posts": run.posts,
        "shards": len(run.shards),
        "state": "done",
        "config_hash": run.config_hash,
        "version": run.version,
    }


def rows(connection: duckdb.DuckDBPyConnection, query: str) -> list[tuple[Any, ...]]:
    return connection.execute(query).fetchall()


@pytest.fixture(params=LAYOUTS)
def layout(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb_file.open_database(tmp_path / "labels.duckdb") as connection:
        yield connection


@pytest.fixture
def store(database: duckdb.DuckDBPyConnection, tmp_path: Path, layout: str) -> LabelStore:
    """The empty labels of NAME in each layout."""
    made = open_store(database, tmp_path / "labels.duckdb", NAME, layout)
    made.ensure_columns(SCHEMA)
    return made


@contextmanager
def held_by_another_process(path: Path) -> Iterator[int]:
    """Yields that process's id."""
    arguments = [sys.executable, "-c", HOLD, str(path)]
    with subprocess.Popen(
        arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout
        assert holder.stdout.readline() == "held\n"
        try:
            yield holder.pid
        finally:
            holder.communicate("\n")


def test_a_new_database_has_its_tables_and_nothing_in_them(tmp_path: Path) -> None:
    path = tmp_path / "new" / "labels.duckdb"
    with duckdb_file.open_database(path) as connection:
        assert rows(connection, "SELECT * FROM watermarks") == []
        assert label_tables.count(connection, NAME) == 0
        assert history.gathered_shards(connection, "r") == {}
        assert label_tables.labeled_uris(connection, NAME, "labels") is None
    with duckdb_file.open_database(path, read_only=True) as connection:
        names = rows(connection, "SELECT table_name FROM duckdb_tables() ORDER BY table_name")
        assert [name for (name,) in names] == [
            "attempts",
            "label_layouts",
            "label_parts",
            "runs",
            "sample_files",
            "samples",
            "shards",
        ]


def test_labels_are_kept_under_their_columns(
    database: duckdb.DuckDBPyConnection, store: LabelStore, tmp_path: Path
) -> None:
    run_dir, run = make_run(tmp_path, posts(3))
    labels = published(run_dir, run, 0)
    changed = label_tables.replace_shards(
        database, store, [labels], shards=[shard_row(run, 0)], present=NO_URIS
    )
    assert changed == (0, 3)
    assert label_tables.count(database, NAME) == 3
    kept = database.sql("SELECT * FROM labels_valence ORDER BY uri").to_arrow_table()
    assert kept.to_pylist() == labels.to_pylist()
    assert history.gathered_shards(database, run.run_id) == {
        0: GatheredShard("p0", datetime(2024, 6, 2))
    }


def test_gathering_a_shard_again_replaces_its_rows(
    database: duckdb.DuckDBPyConnection, store: LabelStore, tmp_path: Path
) -> None:
    run_dir, run = make_run(tmp_path, posts(5), shards=2)
    for index in (0, 1):
        labels = published(run_dir, run, index)
        label_tables.replace_shards(
            database,
            store,
            [labels],
            shards=[shard_row(run, index)],
            present=NO_URIS,
        )
    again = label_tables.replace_shards(
        database,
        store,
        [labels],
        shards=[shard_row(run, 1) | {"publication": "p9"}],
        present=NO_URIS,
    )
    assert again == (2, 2)
    assert label_tables.count(database, NAME) == 5
    at = datetime(2024, 6, 2)
    assert history.gathered_shards(database, run.run_id) == {
        0: GatheredShard("p0", at),
        1: GatheredShard("p9", at),
    }


def test_a_shard_is_replaced_as_one_whole_or_not_at_all(
    database: duckdb.DuckDBPyConnection, store: LabelStore, tmp_path: Path
) -> None:
    run_dir, run = make_run(tmp_path, posts(3))
    labels = published(run_dir, run, 0)
    label_tables.replace_shards(
        database, store, [labels], shards=[shard_row(run, 0)], present=NO_URIS
    )
    for broken in ({"attempts": "many"}, {"posts": None}):
        with pytest.raises(duckdb.Error):
            label_tables.replace_shards(
                database,
                store,
                [labels.slice(1)],
                shards=[shard_row(run, 0) | broken],
                present=NO_URIS,
            )
    assert label_tables.count(database, NAME) == 3
    assert rows(database, "SELECT attempts, posts FROM shards") == [(1, 3)]
    changed = label_tables.replace_shards(
        database, store, [labels], shards=[shard_row(run, 0)], present=NO_URIS
    )
    assert changed == (3, 3)


def uris_from_elsewhere(
    database: duckdb.DuckDBPyConnection,
    store: LabelStore,
    run: Manifest,
    *tables: pa.Table,
    rows_end: int | None = None,
) -> list[str]:
    if rows_end is None:
        rows_end = store.rows_end()
    found = label_tables.overlap(database, store, run.run_id, tables, rows_end=rows_end)
    return sorted(found["uri"].to_pylist())


def test_posts_that_have_a_row_from_elsewhere_are_found_and_left_as_they_are(
    database: duckdb.DuckDBPyConnection, store: LabelStore, tmp_path: Path
) -> None:
    first_dir, first = make_run(tmp_path, posts(4), shards=2)
    second_dir, second = make_run(tmp_path, posts(4, first=2), run_id="20240602T000000-valence-2")
    tables = [published(first_dir, first, index) for index in (0, 1)]
    assert uris_from_elsewhere(database, store, first, *tables) == []
    for index in (0, 1):
        label_tables.replace_shards(
            database,
            store,
            [tables[index]],
            shards=[shard_row(first, index)],
            present=NO_URIS,
        )
    assert uris_from_elsewhere(database, store, first, *tables) == []
    labels = published(second_dir, second, 0)
    assert uris_from_elsewhere(database, store, second, labels) == [uri(2), uri(3)]
    present = label_tables.overlap(
        database, store, second.run_id, [labels], rows_end=store.rows_end()
    )
    changed = label_tables.replace_shards(
        database,
        store,
        [labels],
        shards=[shard_row(second, 0)],
        present=present,
    )
    assert changed == (0, 2)
    assert rows(database, "SELECT run_id, count(*) FROM labels_valence GROUP BY 1 ORDER BY 1") == [
        (first.run_id, 4),
        (second.run_id, 2),
    ]


def test_a_post_of_the_same_run_but_another_shard_is_from_elsewhere(
    database: duckdb.DuckDBPyConnection, store: LabelStore, tmp_path: Path
) -> None:
    run_dir, run = make_run(tmp_path, posts(2))
    labels = published(run_dir, run, 0)
    label_tables.replace_shards(
        database, store, [labels], shards=[shard_row(run, 0)], present=NO_URIS
    )
    index = labels.schema.get_field_index("shard_index")
    moved = labels.set_column(index, labels.schema.field(index), pa.array([1, 1], pa.int32()))
    assert uris_from_elsewhere(database, store, run, moved) == [uri(0), uri(1)]


def test_only_rows_before_a_given_one_are_searched_for_the_same_posts(
    database: duckdb.DuckDBPyConnection, store: LabelStore, tmp_path: Path
) -> None:
    first_dir, first = make_run(tmp_path, posts(4), shards=2)
    second_dir, second = make_run(tmp_path, posts(4), run_id="20240602T000000-valence-2")
    ends = [store.rows_end()]
    for index in (0, 1):
        labels = published(first_dir, first, index)
        label_tables.replace_shards(
            database, store, [labels], shards=[shard_row(first, index)], present=NO_URIS
        )
        ends.append(store.rows_end())
    again = published(second_dir, second, 0)
    searched = [uris_from_elsewhere(database, store, second, again, rows_end=end) for end in ends]
    assert searched == [[], [uri(0), uri(1)], [uri(i) for i in range(4)]]


def test_new_label_columns_are_added_and_old_rows_have_none(
    database: duckdb.DuckDBPyConnection, store: LabelStore, tmp_path: Path
) -> None:
    run_dir, run = make_run(tmp_path, posts(1))
    labels = published(run_dir, run, 0)
    label_tables.replace_shards(
        database, store, [labels], shards=[shard_row(run, 0)], present=NO_URIS
    )
    wider = output_schema((*COLUMNS, Column("toxic", "flag"), Column("stars", "integer")))
    store.ensure_columns(wider)
    store.ensure_columns(SCHEMA)
    assert rows(database, "SELECT compound, toxic, stars FROM labels_valence") == [
        (0.2023, None, None)
    ]


@pytest.mark.parametrize("name", ["compound", "Compound"])
def test_a_column_of_another_type_is_refused_by_name(
    database: duckdb.DuckDBPyConnection, store: LabelStore, name: str
) -> None:
    """Names differ by case for Arrow, and not for DuckDB."""
    with pytest.raises(RunError) as refused:
        store.ensure_columns(output_schema((Column(name, "text"),)))
    assert str(refused.value) == (
        f"table labels_valence: column {name} is DOUBLE, but VARCHAR in this run's outputs. "
        "Give the configuration another name"
    )


def test_a_column_that_differs_by_case_only_is_the_same(
    database: duckdb.DuckDBPyConnection, store: LabelStore
) -> None:
    store.ensure_columns(output_schema((Column("Compound", "number"),)))
    names = [row[0] for row in rows(database, "DESCRIBE labels_valence")]
    assert names == SCHEMA.names


def test_a_write_that_fails_shows_its_own_error(
    database: duckdb.DuckDBPyConnection, store: LabelStore
) -> None:
    """What is undone after it fails too, as the transaction has ended."""
    with (
        pytest.raises(duckdb.InvalidInputException, match="first"),
        store.transaction(),
        duckdb_file.register_tables(database, given=NO_URIS),
    ):
        store.insert("SELECT error('first') AS uri", "run")
    assert rows(database, "SELECT count(*) FROM labels_valence") == [(0,)]


def test_the_labeled_uris_are_those_of_an_attached_database(tmp_path: Path, layout: str) -> None:
    path = tmp_path / "it's.duckdb"
    run_dir, run = make_run(tmp_path, posts(2))
    with duckdb_file.open_database(path) as connection:
        store = open_store(connection, path, NAME, layout)
        store.ensure_columns(SCHEMA)
        labels = published(run_dir, run, 0)
        label_tables.replace_shards(
            connection,
            store,
            [labels],
            shards=[shard_row(run, 0)],
            present=NO_URIS,
        )
    with duckdb.connect() as planning:
        duckdb_file.attach(planning, path, "had")
        query = label_tables.labeled_uris(planning, NAME, "had")
        assert query is not None
        assert sorted(rows(planning, query)) == [(uri(0),), (uri(1),)]
        assert label_tables.labeled_uris(planning, "other", "had") is None
