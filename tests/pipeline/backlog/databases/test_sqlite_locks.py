"""A database that others use, that lies on read-only storage, or that was left in the middle."""

import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from pipeline.backlog.databases import lock_wait
from pipeline.backlog.databases.sqlite_connection import SqliteConnection
from pipeline.errors import BusyError, InputError
from tests.pipeline.backlog.databases.database_files import (
    POSTS,
    another_process,
    make,
    rejected,
    source,
    texts,
)
from tests.pipeline.backlog.source_files import STAMP, stage

POST = ("u1", "fine day", STAMP)
READ = {"u1": ("fine day", None)}
EXCLUSIVE = {
    "a rollback journal": ("BEGIN EXCLUSIVE",),
    "a log": (
        "PRAGMA journal_mode = wal",
        "PRAGMA locking_mode = exclusive",
        "BEGIN IMMEDIATE",
        "INSERT INTO posts VALUES ('u2', 'not committed', 'x')",
    ),
}


@pytest.fixture
def no_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock_wait, "LOCK_WAIT_S", 0.0)


@pytest.mark.usefixtures("no_patience")
@pytest.mark.parametrize("name", EXCLUSIVE)
def test_a_lock_that_stays_is_busy_and_no_wrong_input(tmp_path: Path, name: str) -> None:
    path = make(tmp_path / "posts.db", POSTS, rows=[POST])
    with another_process(path, *EXCLUSIVE[name]), pytest.raises(BusyError):
        stage(source(path))


@pytest.mark.parametrize("name", EXCLUSIVE)
def test_a_lock_that_goes_is_waited_for(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lock goes when the wait is announced, so that nothing depends on the time."""
    path = make(tmp_path / "posts.db", POSTS, rows=[POST])
    with another_process(path, *EXCLUSIVE[name]) as process:
        monkeypatch.setattr(lock_wait, "ONE_TRY_S", 0.01)
        monkeypatch.setattr(lock_wait, "announce", lambda _path: process.kill())
        assert texts(path) == READ


def test_the_wait_is_announced_once_and_not_on_stdout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = make(tmp_path / "posts.db", POSTS, rows=[POST])
    monkeypatch.setattr(lock_wait, "ONE_TRY_S", 0.01)
    monkeypatch.setattr(lock_wait, "LOCK_WAIT_S", 0.1)
    with another_process(path, "BEGIN EXCLUSIVE"), pytest.raises(BusyError):
        SqliteConnection(path)
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.count(str(path)) == 1


def test_posts_are_read_beside_a_collector_that_commits_all_the_time(tmp_path: Path) -> None:
    path = make(tmp_path / "posts.db", POSTS, rows=[POST])
    program = (
        "import sqlite3, sys\n"
        "connection = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=60)\n"
        "connection.execute('PRAGMA synchronous = off')  # locks are held briefly\n"
        "print('ready', flush=True)\n"
        "while True:\n"
        "    connection.execute(\"INSERT INTO posts VALUES ('u1', 'fine day', '" + STAMP + "')\")\n"
    )
    command = [sys.executable, "-c", program, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as collector:
        assert collector.stdout and collector.stdout.readline()
        try:
            for _ in range(5):
                assert texts(path) == READ
        finally:
            collector.kill()


def test_a_writer_that_waits_does_not_end_the_reading(tmp_path: Path) -> None:
    """The whole reading is one transaction: nobody can change the file in the middle of it."""
    rows = [(f"u{i:05}", "fine day", STAMP) for i in range(20_000)]
    path = make(tmp_path / "posts.db", POSTS)
    with closing(sqlite3.connect(path)) as connection:
        connection.executemany("INSERT INTO posts VALUES (?, ?, ?)", rows)
        connection.commit()
    connection = SqliteConnection(path)
    try:
        batches = connection.batches("SELECT uri FROM posts")
        count = next(batches).num_rows
        program = (
            "import sqlite3, sys\n"
            "connection = sqlite3.connect(sys.argv[1], timeout=0)\n"
            "connection.execute('DELETE FROM posts')\n"
            "connection.commit()\n"
        )
        command = [sys.executable, "-c", program, str(path)]
        writer = subprocess.run(command, check=False, capture_output=True)
        assert b"database is locked" in writer.stderr
        assert count + sum(batch.num_rows for batch in batches) == 20_000
    finally:
        connection.close()


def kill_in_a_change(path: Path) -> None:
    """Leave a hot journal: a process is killed with a part of its change in the file."""
    with another_process(
        path, "PRAGMA cache_size = 2", "BEGIN", "UPDATE posts SET text = text || 'x'"
    ):
        pass


def test_a_hot_journal_is_explained_and_left_alone(tmp_path: Path) -> None:
    rows = [(f"u{i:04}", "fine day" * 20, STAMP) for i in range(1000)]
    path = make(tmp_path / "posts.db", POSTS, rows=rows)
    kill_in_a_change(path)
    journal = path.with_name("posts.db-journal")
    before = (path.read_bytes(), journal.read_bytes())
    assert journal.name in rejected(path)
    assert (path.read_bytes(), journal.read_bytes()) == before
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("SELECT count(*) FROM sqlite_schema").fetchall()
    assert set(texts(path).values()) == {("fine day" * 20, None)}


@contextmanager
def read_only(folder: Path) -> Iterator[Path]:
    """Yield a path to a folder through which nothing can be written, also by root."""
    if os.geteuid():
        folder.chmod(0o555)
        yield folder
        folder.chmod(0o755)
        return
    view = folder.with_name(f"{folder.name}-view")
    view.mkdir(exist_ok=True)
    mount = subprocess.run(["mount", "--bind", folder, view], check=False, capture_output=True)
    if mount.returncode:
        pytest.skip("root can write everywhere here, and may not mount")
    try:
        subprocess.run(["mount", "-o", "remount,ro,bind", view], check=True)
        yield view
    finally:
        subprocess.run(["umount", "--lazy", view], check=True)


def wal_file(folder: Path) -> Path:
    folder.mkdir()
    return make(folder / "posts.db", "PRAGMA journal_mode = wal", POSTS, rows=[POST])


def test_a_log_that_was_closed_cleanly_is_read_on_read_only_storage(tmp_path: Path) -> None:
    path = wal_file(tmp_path / "data")
    with read_only(path.parent) as folder:
        assert texts(folder / path.name) == READ
        link = tmp_path / "link.db"
        link.symlink_to(folder / path.name)
        assert texts(link) == READ


def test_an_empty_log_is_no_obstacle_on_read_only_storage(tmp_path: Path) -> None:
    path = wal_file(tmp_path / "data")
    path.with_name("posts.db-wal").touch()
    with read_only(path.parent) as folder:
        assert texts(folder / path.name) == READ


def test_a_log_with_content_is_never_ignored_on_read_only_storage(tmp_path: Path) -> None:
    path = wal_file(tmp_path / "data")
    with another_process(path, f"INSERT INTO posts VALUES ('u2', 'newer', '{STAMP}')"):
        pass
    path.with_name("posts.db-shm").unlink()
    with read_only(path.parent) as folder:
        assert "posts.db-wal" in rejected(folder / path.name)
    assert texts(path) == {**READ, "u2": ("newer", None)}


def test_a_log_in_use_is_read_on_read_only_storage(tmp_path: Path) -> None:
    path = wal_file(tmp_path / "data")
    newer = f"INSERT INTO posts VALUES ('u2', 'newer', '{STAMP}')"
    with another_process(path, newer), read_only(path.parent) as folder:
        assert texts(folder / path.name) == {**READ, "u2": ("newer", None)}


def test_a_file_that_changes_while_it_is_read_without_locks_is_busy(tmp_path: Path) -> None:
    path = wal_file(tmp_path / "data")
    with read_only(path.parent) as folder, closing(SqliteConnection(folder / path.name)) as reader:
        batches = reader.batches("SELECT uri FROM posts")
        next(batches)
        os.utime(path, ns=(1, 1))
        with pytest.raises(BusyError):
            list(batches)


def test_a_plain_file_is_read_on_read_only_storage(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    path = make(folder / "posts.db", POSTS, rows=[POST])
    with read_only(folder) as view:
        assert texts(view / path.name) == READ


def damaged(path: Path, name: str) -> Path:
    """A database with many pages, with one fault."""
    rows = [(f"u{i:04}", "fine day" * 20, STAMP) for i in range(500)]
    make(path, POSTS, rows=rows)
    content = bytearray(path.read_bytes())
    match name:
        case "cut off":
            del content[len(content) // 2 :]
        case "cut off in its header":
            del content[60:]
        case "pages of other bytes":
            content[20_000:40_000] = b"\xff" * 20_000
        case "encrypted after its first bytes":
            content[24:] = bytes((7 * i) % 256 for i in range(len(content) - 24))
        case "a newer schema format":
            content[47] = 5
        case "a newer file format":
            content[19] = 3
    path.write_bytes(content)
    return path


FAULTS = [
    "cut off",
    "pages of other bytes",
    "encrypted after its first bytes",
    "a newer schema format",
    "a newer file format",
]


@pytest.mark.parametrize("name", FAULTS)
def test_a_file_that_sqlite_cannot_read_is_wrong_input_with_its_path(
    tmp_path: Path, name: str
) -> None:
    path = damaged(tmp_path / "posts.db", name)
    assert str(path) in rejected(path)


def test_a_file_that_is_cut_off_in_its_header_is_wrong_input(tmp_path: Path) -> None:
    path = damaged(tmp_path / "posts.db", "cut off in its header")
    with pytest.raises(InputError, match=str(path)):
        SqliteConnection(path)
