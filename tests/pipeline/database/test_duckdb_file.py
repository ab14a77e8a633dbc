"""Who may open the database, and what is said to whom may not."""

import errno
import os
import re
import threading
from pathlib import Path
from unittest.mock import Mock

import duckdb
import pytest

from pipeline.database import duckdb_file, label_tables
from pipeline.database.duckdb_file import HeldDatabaseError
from pipeline.errors import BusyError, RunError
from tests.pipeline.database.test_label_tables import held_by_another_process, rows


def refusal(path: Path) -> RunError:
    with pytest.raises(RunError) as refused, duckdb_file.open_database(path):
        pass
    return refused.value


def test_a_database_in_another_processs_hands_is_busy_and_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(duckdb_file, "LOCK_WAIT_S", 0.3)
    path = tmp_path / "labels.duckdb"
    with held_by_another_process(path) as pid:
        for error in (refusal(path), _refused_attachment(path)):
            assert isinstance(error, HeldDatabaseError)
            assert [holder.pid for holder in error.holders] == [pid]
            assert all(holder.is_here for holder in error.holders)
    with duckdb_file.open_database(path) as connection:
        assert rows(connection, "SELECT count(*) FROM runs") == [(0,)]


def _refused_attachment(path: Path) -> RunError:
    with duckdb.connect() as planning, pytest.raises(RunError) as refused:
        duckdb_file.attach(planning, path, "had")
    return refused.value


def test_a_database_is_opened_as_soon_as_its_holder_lets_go(tmp_path: Path) -> None:
    path = tmp_path / "labels.duckdb"
    opened: list[Path] = []

    def wait() -> None:
        with duckdb_file.open_database(path):
            opened.append(path)

    waiting = threading.Thread(target=wait)
    with held_by_another_process(path):
        waiting.start()
        assert opened == []
    waiting.join()
    assert opened == [path]


@pytest.mark.parametrize("name", ["labels.duckdb", "clock/blocks-lock.duckdb"])
def test_a_file_that_is_no_database_is_refused_at_once_by_name(tmp_path: Path, name: str) -> None:
    """Not as busy, which a supervisor waits out: DuckDB's messages hold the path."""
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_text("hello " * 10_000)
    for error in (refusal(path), _refused_attachment(path)):
        assert not isinstance(error, BusyError)
        assert str(error).startswith(f"the database {path} cannot be opened: ")


def test_a_damaged_database_is_refused_and_is_not_busy(tmp_path: Path) -> None:
    """DuckDB says which block is damaged."""
    path = tmp_path / "labels.duckdb"
    with duckdb_file.open_database(path) as connection:
        connection.execute("CREATE TABLE t AS SELECT range AS i FROM range(100000)")
    content = bytearray(path.read_bytes())
    content[3 * 4096 : 3 * 4096 + 64] = b"\xff" * 64
    path.write_bytes(content)
    error = refusal(path)
    assert not isinstance(error, BusyError)
    assert str(error).startswith(f"the database {path} cannot be opened: ")
    assert "block" in str(error)


def test_a_database_to_read_must_be_there(tmp_path: Path) -> None:
    path = tmp_path / "no.duckdb"
    with pytest.raises(RunError) as refused, duckdb_file.open_database(path, read_only=True):
        pass
    assert str(refused.value).startswith(f"the database {path} cannot be opened: ")


def test_another_programs_database_is_not_written_to(tmp_path: Path) -> None:
    path = tmp_path / "theirs.duckdb"
    with duckdb.connect(str(path)) as theirs:
        theirs.execute("CREATE TABLE runs (distance DOUBLE)")
        theirs.execute("CREATE TABLE shards (colour VARCHAR)")
    assert str(refusal(path)).startswith(f"{path} is not a database of this program: ")
    with duckdb.connect(str(path)) as theirs:
        names = rows(theirs, "SELECT table_name FROM duckdb_tables() ORDER BY table_name")
    assert names == [("runs",), ("shards",)]


@pytest.mark.parametrize(
    "message",
    [
        'IO Error: Could not read from file "{path}": {words}',
        'TransactionContext Error: Failed to commit: Could not write file "{path}.wal": {words}',
        'FATAL Error: the database has been invalidated\nOriginal error: "Cannot open: {words}"',
    ],
)
def test_whatever_call_fails_the_database_is_not_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, message: str
) -> None:
    path = tmp_path / "labels.duckdb"
    for words in {os.strerror(number) for number in errno.errorcode}:
        error = duckdb.IOException(message.format(path=path, words=words))
        monkeypatch.setattr(duckdb, "connect", Mock(side_effect=error))
        with (
            pytest.raises(OSError, match=re.escape(words)) as failed,
            duckdb_file.open_database(path),
        ):
            pass
        assert (os.strerror(failed.value.errno), failed.value.filename) == (words, str(path))


@pytest.mark.parametrize(
    "message",
    ["FATAL Error: fsync failed!", "IO Error: Could not write file: Unknown error 524"],
)
def test_a_call_that_fails_without_known_words_is_an_input_output_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, message: str
) -> None:
    path = tmp_path / "labels.duckdb"
    with monkeypatch.context() as patch:
        patch.setattr(duckdb, "connect", Mock(side_effect=duckdb.FatalException(message)))
        with (
            pytest.raises(OSError, match="Input/output") as opening,
            duckdb_file.open_database(path),
        ):
            pass
    monkeypatch.setattr(duckdb_file, "CREATE_TABLES", f"SELECT error('{message}');")
    with pytest.raises(OSError, match="Input/output") as creating, duckdb_file.open_database(path):
        pass
    for failed in (opening.value, creating.value):
        assert (failed.errno, failed.filename) == (errno.EIO, str(path))


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_told_as_one_and_not_as_a_strangers_database(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    path = tmp_path / "labels.duckdb"
    words = f'Could not write file "{path}.wal": {os.strerror(number)}'
    with (
        pytest.raises(OSError, match=os.strerror(number)) as gathering,
        duckdb_file.open_database(path),
    ):
        raise duckdb.IOException(words)
    monkeypatch.setattr(duckdb_file, "CREATE_TABLES", f"SELECT error('{words}');")
    with (
        pytest.raises(OSError, match=os.strerror(number)) as opening,
        duckdb_file.open_database(path),
    ):
        pass
    for told in (gathering.value, opening.value):
        assert (told.errno, told.filename) == (number, str(path))


@pytest.mark.parametrize("begun", [0, 4096])
def test_a_disk_that_is_full_when_the_database_is_created_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, begun: int
) -> None:
    """Who makes room can run the same command again, as the message says."""
    path = tmp_path / "labels.duckdb"

    def connect(*_: object, **__: object) -> None:
        path.write_bytes(bytes(begun))
        raise duckdb.IOException(f'Could not write file "{path}": {os.strerror(errno.ENOSPC)}')

    with monkeypatch.context() as full_disk:
        full_disk.setattr(duckdb, "connect", connect)
        with (
            pytest.raises(OSError, match=os.strerror(errno.ENOSPC)),
            duckdb_file.open_database(path),
        ):
            pass
    with duckdb_file.open_database(path) as connection:
        assert label_tables.count(connection, "t") == 0


def test_a_commit_that_fails_is_told_in_its_own_words(tmp_path: Path) -> None:
    """DuckDB has rolled back by then, and a ROLLBACK complains that there is nothing to end."""
    with duckdb_file.open_database(tmp_path / "labels.duckdb") as connection:
        connection.execute("CREATE TABLE once (key INTEGER PRIMARY KEY)")
        other = connection.cursor()
        with (
            pytest.raises(duckdb.Error, match="Failed to commit"),
            duckdb_file.transaction(connection),
        ):
            connection.execute("INSERT INTO once VALUES (1)")
            other.execute("INSERT INTO once VALUES (1)")
        assert rows(connection, "SELECT key FROM once") == [(1,)]
        with duckdb_file.transaction(connection):
            connection.execute("INSERT INTO once VALUES (2)")
        assert rows(connection, "SELECT count(*) FROM once") == [(2,)]
