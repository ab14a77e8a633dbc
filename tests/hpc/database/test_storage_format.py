"""The database opens in DuckDB 1.x, whichever command wrote it, and stays so."""

import os
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from pipeline.database import duckdb_file, mapped_labels, storage_format
from pipeline.database.stores.duckdb_table import DuckDBTable
from pipeline.model import Column, ColumnKind, output_schema
from pipeline.run_files.score_map import ColumnMap, ScoreMap
from tests.hpc.growing_backlog import GrowingBacklog, post, with_retried_post
from tests.pipeline.database.old_duckdb import OldDuckDB

READ_ALL = (
    "FROM labels_test ORDER BY uri",
    "SELECT * EXCLUDE (superseded_at) FROM superseded_test ORDER BY uri",
    "FROM runs ORDER BY run_id",
    "SELECT * EXCLUDE (gathered_at) FROM shards ORDER BY ALL",
    "FROM attempts ORDER BY ALL",
    "FROM watermarks",
)


@pytest.fixture
def gathered(tmp_path: Path) -> GrowingBacklog:
    """A database with labels, superseded rows, and a planned run."""
    made = with_retried_post(tmp_path)
    made.arrive(post(20, 20))
    made.submit()
    return made


def as_text(rows: list[tuple[object, ...]]) -> list[list[object]]:
    """Return rows as they arrive from another process."""
    return [
        [value if isinstance(value, int | float | None) else str(value) for value in row]
        for row in rows
    ]


@pytest.mark.old_duckdb
def test_an_older_duckdb_reads_every_table(gathered: GrowingBacklog, older: OldDuckDB) -> None:
    path = gathered.bench.folder / "labels.duckdb"
    expected = [as_text(gathered.query(query)) for query in READ_ALL]
    assert all(expected[:-1])
    assert older.query(path, *READ_ALL) == expected


@pytest.mark.old_duckdb
def test_an_older_duckdb_reads_a_rebuilt_database(
    gathered: GrowingBacklog, older: OldDuckDB
) -> None:
    assert gathered.bench.hpc("gather", "--rebuild").returncode == 0
    path = gathered.bench.folder / "labels.duckdb"
    expected = [as_text(gathered.query(query)) for query in READ_ALL]
    assert older.query(path, *READ_ALL) == expected


@pytest.mark.old_duckdb
def test_an_older_duckdb_reads_mapped_labels(gathered: GrowingBacklog, older: OldDuckDB) -> None:
    path = gathered.bench.folder / "labels.duckdb"
    ((config_hash,),) = gathered.query("SELECT any_value(config_hash) FROM labels_test")
    column = ColumnMap(a="score", b="compound", posts=100, knots=((-1.0, 0.0), (0.5, 0.4)))
    made = ScoreMap(
        name="test_as_a", a="a", b="test", method="isotonic", sample=None, fitted_at="",
        program_version="1", config_hashes_of_a=(), config_hashes_of_b=(str(config_hash),),
        columns=(column,),
    )  # fmt: skip
    with duckdb_file.open_database(path) as connection:
        assert mapped_labels.create_view(connection, made, Path("map.json"))
    query = "SELECT uri, score, compound FROM labels_test_as_a ORDER BY uri"
    expected = as_text(gathered.query(query))
    assert any(row[1] is not None for row in expected)
    assert older.query(path, query) == [expected]


WRITE_AND_DIE = """
import os, sys
from pathlib import Path
from pipeline.database import duckdb_file
with duckdb_file.open_database(Path(sys.argv[1])) as connection:
    connection.execute("CREATE TABLE labels_killed AS SELECT range::UINTEGER AS n FROM range(9)")
    os._exit(0)
"""


@pytest.mark.old_duckdb
def test_an_older_duckdb_reads_what_a_killed_gather_left(tmp_path: Path, older: OldDuckDB) -> None:
    path = tmp_path / "labels.duckdb"
    subprocess.run([sys.executable, "-c", WRITE_AND_DIE, str(path)], check=True, env=os.environ)
    assert duckdb_file.log_of(path).exists()
    assert older.query(path, "SELECT sum(n) FROM labels_killed") == [[[36]]]


@pytest.mark.old_duckdb
def test_an_older_duckdb_reads_each_kind_of_column(tmp_path: Path, older: OldDuckDB) -> None:
    path = tmp_path / "labels.duckdb"
    columns = tuple(Column(f"a_{kind}", kind) for kind in ColumnKind)
    with duckdb_file.open_database(path) as connection:
        DuckDBTable(connection, "kinds").ensure_columns(output_schema(columns))
        connection.execute(
            "INSERT INTO labels_kinds BY NAME SELECT 'at://'||range AS uri, "
            "repeat('é\n', 9)||range AS text, "
            "TIMESTAMP '2024-01-01 00:00:00.123456' AS preprocessing_timestamp, "
            "true AS was_successfully_labeled, TIMESTAMP '2024-01-02' AS label_timestamp, "
            "'x' AS a_text, 0.1 AS a_number, -3 AS a_integer, true AS a_flag, "
            "4294967295 AS a_count, 'r' AS run_id, 0 AS shard_index, 1 AS attempt, 'm' AS model, "
            "'h' AS config_hash "
            "FROM range(200_000)"
        )
    query = "SELECT * FROM labels_kinds ORDER BY uri LIMIT 3"
    with duckdb.connect(str(path), read_only=True) as ours:
        expected = as_text(ours.execute(query).fetchall())
    count = "SELECT count(DISTINCT text) FROM labels_kinds"
    assert older.query(path, query, count) == [expected, [[200_000]]]


def test_later_writes_keep_the_format(tmp_path: Path) -> None:
    path = tmp_path / "labels.duckdb"
    with duckdb_file.open_database(path):
        pass
    with duckdb.connect(str(path)) as notebook:
        notebook.execute("CREATE TABLE mine AS SELECT range AS n FROM range(1000)")
    with duckdb_file.open_database(path) as connection:
        connection.execute("INSERT INTO mine FROM range(1000)")
    assert not storage_format.is_newer(path)


@pytest.mark.parametrize("content", [b"", b"DUCK", b"x" * 100, b"12345678DUCK\x40" + bytes(7)])
def test_what_is_no_newer_database_is_not_taken_for_one(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "labels.duckdb"
    assert not storage_format.is_newer(path)
    path.write_bytes(content)
    assert not storage_format.is_newer(path)


def test_a_named_pipe_is_no_database_and_is_not_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "labels.duckdb"
    os.mkfifo(path)
    assert not storage_format.is_newer(path)


def test_a_database_of_the_newest_format_is_recognized(tmp_path: Path) -> None:
    path = tmp_path / "labels.duckdb"
    with duckdb.connect(str(path)) as newest:
        newest.execute("CREATE TABLE t (n INTEGER)")
    assert storage_format.is_newer(path)
