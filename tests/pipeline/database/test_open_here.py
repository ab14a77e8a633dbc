"""A database that this process has open is not opened twice, which would drop its lock."""

import subprocess
import sys
import threading
from pathlib import Path

import duckdb
import pytest

from pipeline.database import duckdb_file, storage_format
from pipeline.database.duckdb_file import HeldDatabaseError, Patience

NOW = Patience(seconds=0.0)
WRITE = "import duckdb, sys; duckdb.connect(sys.argv[1]).execute('CREATE TABLE t (x INT)')"


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "labels.duckdb"
    with duckdb_file.open_database(path):
        pass
    return path


def others_can_write(path: Path) -> bool:
    done = subprocess.run(
        [sys.executable, "-c", WRITE, str(path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0 or "Could not set lock" in done.stderr, done.stderr
    return done.returncode == 0


@pytest.mark.parametrize("read_only", [True, False])
def test_whoever_is_refused_leaves_the_lock_of_a_notebook_as_it_was(
    database: Path, read_only: bool
) -> None:
    with duckdb.connect(str(database), read_only=read_only), duckdb.connect() as other:
        for asks_to_read in (True, False):
            with (
                pytest.raises(HeldDatabaseError, match="another connection of this process"),
                duckdb_file.open_database(database, read_only=asks_to_read, patience=NOW),
            ):
                pass
        assert not storage_format.is_newer(database)
        assert not others_can_write(database)
        with pytest.raises(HeldDatabaseError):
            duckdb_file.attach(other, database, "labels", patience=NOW)
        assert not others_can_write(database)
    assert others_can_write(database)


def test_the_program_may_open_a_database_within_itself(database: Path) -> None:
    with duckdb_file.open_database(database), duckdb_file.open_database(database) as inner:
        assert inner.execute("SELECT count(*) FROM runs").fetchall() == [(0,)]
    assert others_can_write(database)


def test_a_reader_waits_for_another_thread_that_writes(database: Path) -> None:
    is_open, may_close = threading.Event(), threading.Event()

    def write() -> None:
        with duckdb_file.open_database(database):
            is_open.set()
            may_close.wait()

    writer = threading.Thread(target=write)
    writer.start()
    is_open.wait()
    threading.Timer(0.3, may_close.set).start()
    with duckdb.connect() as reader:
        duckdb_file.attach(reader, database, "labels")
        assert reader.execute("SELECT count(*) FROM labels.runs").fetchall() == [(0,)]
    writer.join()
