"""A gather converts a database of the newest format, and loses nothing whatever happens."""

from pathlib import Path

import duckdb
import pytest

from hpc.database import convert_database, replace_database
from pipeline.database import duckdb_file, storage_format
from pipeline.database.duckdb_file import HeldDatabaseError, Patience
from pipeline.errors import RunError
from pipeline.sql import literal
from tests.hpc.database.held_database import held
from tests.hpc.growing_backlog import GrowingBacklog, post
from tests.hpc.snapshot import BacklogSnapshot
from tests.pipeline.conftest import disk_of_a_database, fill
from tests.pipeline.database.old_duckdb import OldDuckDB

__all__ = ["disk_of_a_database"]

AT_ONCE = Patience(seconds=0.0)
# The table as the version before had it.
KEYED_RUNS = """
ALTER TABLE runs RENAME TO unkeyed;
CREATE TABLE runs (
    run_id VARCHAR PRIMARY KEY, name VARCHAR NOT NULL, created_at TIMESTAMP NOT NULL,
    run_dir VARCHAR NOT NULL, posts BIGINT NOT NULL, shards INTEGER NOT NULL,
    state VARCHAR NOT NULL, config_hash VARCHAR NOT NULL, version VARCHAR NOT NULL,
    only_labelled_by VARCHAR, replaces VARCHAR, sample VARCHAR);
INSERT INTO runs BY NAME FROM unkeyed;
DROP TABLE unkeyed;
"""
USERS_OWN = """
CREATE SCHEMA mine;
CREATE TYPE mine.mood AS ENUM ('good', 'bad');
CREATE TABLE mine.codes (uri VARCHAR, mood mine.mood);
INSERT INTO mine.codes SELECT uri, 'bad' FROM labels_test;
CREATE INDEX "my index" ON mine.codes (uri);
CREATE MACRO twice(x) AS x * 2;
CREATE VIEW bad AS SELECT uri FROM labels_test JOIN mine.codes USING (uri) WHERE mood = 'bad';
"""


def make_newest(path: Path, *more: str) -> None:
    """Turn a database into one of the newest format, as the version before wrote it."""
    newest = path.with_name("newest")
    with duckdb.connect() as connection:
        connection.execute(f"ATTACH {literal(str(path))} AS a (READ_ONLY)")
        connection.execute(f"ATTACH {literal(str(newest))} AS b; COPY FROM DATABASE a TO b")
    with duckdb.connect(str(newest)) as connection:
        connection.execute(KEYED_RUNS)
        for sql in more:
            connection.execute(sql)
    newest.replace(path)
    assert storage_format.is_newer(path)


def contents(path: Path) -> dict[str, list[tuple[object, ...]]]:
    with duckdb.connect(str(path), read_only=True) as connection:
        tables = connection.execute(
            "SELECT table_schema, table_name FROM information_schema.tables ORDER BY ALL"
        ).fetchall()
        return {
            f"{schema}.{table}": connection.execute(
                f'FROM "{schema}"."{table}" ORDER BY ALL'
            ).fetchall()
            for schema, table in tables
        }


def kept(path: Path) -> list[Path]:
    return sorted(path.parent.glob(f"{path.name}.*"))


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory: pytest.TempPathFactory) -> BacklogSnapshot:
    made = GrowingBacklog(tmp_path_factory.mktemp("newest"))
    made.arrive(*(post(n, n) for n in range(1, 5)))
    first, _ = made.submit()
    assert first
    made.finish(first)
    make_newest(made.bench.folder / "labels.duckdb")
    made.arrive(post(20, 20))
    second, _ = made.submit()
    assert second
    made.publish(second, 0)
    return BacklogSnapshot(made)


@pytest.fixture
def newest(snapshot: BacklogSnapshot) -> GrowingBacklog:
    """Labels in a database of the newest format, and a published shard that is not gathered."""
    return snapshot.restore()


def test_the_next_gather_converts_and_gathers(newest: GrowingBacklog) -> None:
    path = newest.bench.folder / "labels.duckdb"
    before = contents(path)
    document = newest.bench.document("gather")
    assert (document["rows_before"], document["rows_added"]) == (4, 1)
    assert not storage_format.is_newer(path)
    (old,) = kept(path)
    assert contents(old) == before
    assert newest.bench.document("gather")["rows_added"] == 0
    assert kept(path) == [old]


@pytest.mark.parametrize("more", ["", USERS_OWN])
def test_a_converted_database_holds_the_same(newest: GrowingBacklog, more: str) -> None:
    path = newest.bench.folder / "labels.duckdb"
    make_newest(path, more)
    before = contents(path)
    said: list[str] = []
    convert_database.convert_if_newer(path, said.append, AT_ONCE)
    assert not storage_format.is_newer(path)
    assert contents(path) == before
    convert_database.convert_if_newer(path, said.append, AT_ONCE)
    assert len(kept(path)) == 1
    with duckdb_file.open_database(path) as connection:
        assert connection.execute("SELECT count(*) FROM runs").fetchall() == [(2,)]


def test_a_database_that_lacks_later_columns_and_tables_is_converted(
    newest: GrowingBacklog,
) -> None:
    path = newest.bench.folder / "labels.duckdb"
    make_newest(
        path,
        "DROP VIEW watermarks; DROP TABLE samples; DROP TABLE sample_files",
        "ALTER TABLE runs DROP COLUMN sample",
    )
    before = contents(path)
    convert_database.convert_if_newer(path, print, AT_ONCE)
    assert not storage_format.is_newer(path)
    after = contents(path)
    assert after["main.samples"] == []
    assert after["main.runs"] == [(*row, None) for row in before["main.runs"]]
    assert after["main.labels_test"] == before["main.labels_test"]


@pytest.mark.old_duckdb
def test_an_older_duckdb_reads_a_converted_database(
    newest: GrowingBacklog, older: OldDuckDB
) -> None:
    path = newest.bench.folder / "labels.duckdb"
    # DuckDB 1.0 cannot read any index that DuckDB 2 writes, so not that of a user either.
    make_newest(path, *([USERS_OWN] if older.version != "1.0.0" else []))
    convert_database.convert_if_newer(path, print, AT_ONCE)
    assert older.query(path, "SELECT count(*) FROM labels_test", "SELECT count(*) FROM runs") == [
        [[4]],
        [[2]],
    ]


def test_a_reader_does_not_delay_the_conversion_and_keeps_its_file(newest: GrowingBacklog) -> None:
    path = newest.bench.folder / "labels.duckdb"
    with held(path) as reader:
        convert_database.convert_if_newer(path, print, AT_ONCE)
        assert reader.let_go() == "[(4,)]"
    assert not storage_format.is_newer(path)


def test_a_writer_delays_the_conversion(newest: GrowingBacklog) -> None:
    path = newest.bench.folder / "labels.duckdb"
    before = path.read_bytes()
    with held(path, read_only=False) as writer, pytest.raises(HeldDatabaseError) as busy:
        convert_database.convert_if_newer(path, print, AT_ONCE)
    assert [holder.pid for holder in busy.value.holders] == [writer.pid]
    assert path.read_bytes() == before
    assert kept(path) == []


def test_rows_that_only_the_log_has_are_converted_too(newest: GrowingBacklog) -> None:
    path = newest.bench.folder / "labels.duckdb"
    newest.bench.python(
        "import duckdb, os; c = duckdb.connect('labels.duckdb'); "
        "c.execute('CREATE TABLE logged AS SELECT 7 AS n'); os._exit(0)"
    )
    assert duckdb_file.log_of(path).exists()
    convert_database.convert_if_newer(path, print, AT_ONCE)
    assert contents(path)["main.logged"] == [(7,)]
    assert not duckdb_file.log_of(path).exists()


def test_what_the_oldest_format_cannot_hold_stays_and_is_gathered_into(
    newest: GrowingBacklog,
) -> None:
    path = newest.bench.folder / "labels.duckdb"
    make_newest(path, "CREATE TABLE mine (v VARIANT); INSERT INTO mine VALUES (1)")
    assert newest.bench.document("gather")["rows_added"] == 1
    assert storage_format.is_newer(path)
    assert kept(path) == []


@pytest.mark.parametrize("is_checked", [True, False])
def test_a_full_disk_leaves_the_old_file(
    newest: GrowingBacklog,
    disk_of_a_database: Path,
    monkeypatch: pytest.MonkeyPatch,
    is_checked: bool,
) -> None:
    """Also where a quota is full, so that only a write shows it."""
    path = disk_of_a_database / "labels.duckdb"
    make_newest(newest.bench.folder / "labels.duckdb")
    path.write_bytes((newest.bench.folder / "labels.duckdb").read_bytes())
    fill(disk_of_a_database, leaving=16 * 1024)
    before = path.read_bytes()
    if not is_checked:
        monkeypatch.setattr(convert_database, "_check_room", lambda path: None)
    said: list[str] = []
    convert_database.convert_if_newer(path, said.append, AT_ONCE)
    assert path.read_bytes() == before
    assert kept(path) == []
    assert len(said) == (1 if is_checked else 2)


def test_a_copy_that_differs_is_not_used(
    newest: GrowingBacklog, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = newest.bench.folder / "labels.duckdb"
    before = path.read_bytes()
    write_indexes = storage_format.Copying._write_indexes_again

    def lose_a_row(copying: storage_format.Copying) -> None:
        write_indexes(copying)
        with duckdb.connect(str(copying._copy)) as copy:
            copy.execute("UPDATE labels_test SET compound = compound + 1 WHERE rowid = 0")

    monkeypatch.setattr(storage_format.Copying, "_write_indexes_again", lose_a_row)
    convert_database.convert_if_newer(path, print, AT_ONCE)
    assert path.read_bytes() == before
    assert kept(path) == []


def test_a_database_of_another_program_is_not_converted(tmp_path: Path) -> None:
    path = tmp_path / "theirs.duckdb"
    with duckdb.connect(str(path)) as theirs:
        theirs.execute("CREATE TABLE runs (distance DOUBLE)")
    before = path.read_bytes()
    with pytest.raises(RunError):
        convert_database.convert_if_newer(path, print, AT_ONCE)
    assert path.read_bytes() == before


def test_what_a_link_leads_to_is_converted_and_keeps_its_permissions(
    newest: GrowingBacklog,
) -> None:
    path = newest.bench.folder / "labels.duckdb"
    path.chmod(0o664)
    link = newest.bench.folder / "link.duckdb"
    link.symlink_to(path)
    convert_database.convert_if_newer(link, print, AT_ONCE)
    assert link.is_symlink()
    assert not storage_format.is_newer(path)
    assert path.stat().st_mode & 0o777 == 0o664


def test_there_is_a_database_under_its_name_at_any_moment(
    newest: GrowingBacklog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A crash between two steps of a replacement leaves no empty place."""
    path = newest.bench.folder / "labels.duckdb"
    fresh = replace_database.name_fresh(path)
    fresh.write_bytes(path.read_bytes())

    def crash(paths: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("pipeline.files.sync_all", crash)
    before = path.read_bytes()
    with pytest.raises(KeyboardInterrupt):
        replace_database.replace(path, fresh)
    assert path.read_bytes() == before
