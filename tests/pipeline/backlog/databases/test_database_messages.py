"""What a person reads about a database that cannot be read, with the next thing to do."""

from pathlib import Path

import pytest

from pipeline.backlog.databases import lock_wait, sqlite_problems
from pipeline.backlog.databases.duckdb_problems import explain as explain_duckdb
from pipeline.backlog.databases.sqlite_connection import SqliteConnection
from pipeline.errors import BusyError, InputError
from tests.pipeline.backlog.databases.database_files import (
    POSTS,
    another_process,
    make,
    records_file,
    rejected,
    source,
)
from tests.pipeline.backlog.databases.test_sqlite_locks import damaged, kill_in_a_change
from tests.pipeline.backlog.source_files import STAMP, stage

DRIVERS_WORDS = ("INVALID_ARGUMENT", "Failed to", "query:", "[SQLite]", "segment statistics")


def test_a_lock_is_reported_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(lock_wait, "LOCK_WAIT_S", 0.2)
    monkeypatch.setattr(lock_wait, "ONE_TRY_S", 0.01)
    path = make(tmp_path / "posts.db")
    with another_process(path, "BEGIN EXCLUSIVE"), pytest.raises(BusyError) as busy:
        SqliteConnection(path)
    assert str(busy.value) == (
        f"backlog.source: {path} is in use by another process, which has locked it: wait until "
        "that process is done, or stop it, and run the command again. Or copy the database "
        f'(sqlite3 {path} ".backup copy.db") and set backlog.source to the copy'
    )
    assert capsys.readouterr().err == (
        f"{path} is locked by another process: waiting for it, up to 0 s\n"
    )


def test_a_hot_journal_is_reported_with_what_to_do(tmp_path: Path) -> None:
    rows = [(f"u{i:04}", "fine day" * 20, STAMP) for i in range(1000)]
    path = make(tmp_path / "posts.db", POSTS, rows=rows)
    kill_in_a_change(path)
    assert rejected(path) == (
        f"backlog.source: {path}: the program that wrote it was stopped in the middle of a change, "
        "and posts.db-journal beside it says how to undo that. Let SQLite undo it once, with no "
        f'other program running: sqlite3 {path} "SELECT count(*) FROM sqlite_schema". If the '
        "folder cannot be written to, copy both files to one that can, do so there, and set "
        "backlog.source to the copy"
    )


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("cut off", "is cut off: it has "),
        ("pages of other bytes", "is damaged: SQLite cannot make sense of some of its pages"),
        ("encrypted after its first bytes", "it is encrypted or damaged"),
        ("a newer schema format", "has a newer file format than this version of SQLite reads"),
        ("a newer file format", "has a newer file format than this version of SQLite reads"),
    ],
)
def test_a_file_that_sqlite_cannot_read_is_named(tmp_path: Path, name: str, words: str) -> None:
    message = rejected(damaged(tmp_path / "posts.db", name))
    assert words in message
    assert not any(driver in message for driver in DRIVERS_WORDS)


def test_a_condition_that_sqlite_rejects_is_shown_without_the_query(tmp_path: Path) -> None:
    path = make(tmp_path / "posts.db")
    assert rejected(path, where="uri = ") == (
        f'backlog.source: {path}: SQLite rejects the condition of backlog.where: near ")": syntax '
        "error"
    )


@pytest.mark.parametrize(
    ("where", "problem"),
    [
        ("nope = 1", "'nope'"),
        ("txet = 'en'", "'txet' (did you mean 'text'?)"),
        ("\"txet\" = 'en'", "'txet' (did you mean 'text'?); a text needs single quotes: 'txet'"),
        ('text = "it\'s"', "\"it's\"; a text needs single quotes: 'it''s'"),
    ],
)
def test_a_column_that_a_condition_misnames_is_named(
    tmp_path: Path, where: str, problem: str
) -> None:
    path = make(tmp_path / "posts.db")
    assert rejected(path, where=where) == (
        f"backlog.where: {path}, table posts has no column {problem}; it has uri, text, "
        "preprocessing_timestamp"
    )


@pytest.mark.parametrize(
    ("name", "near"), [("Rekord.text", "record.text"), ("recordd", "record"), ("zzz", "")]
)
def test_a_path_is_never_shortened_to_its_column(tmp_path: Path, name: str, near: str) -> None:
    path = records_file(tmp_path / "posts.db", '{"text": "a"}')
    hint = f" (did you mean {near!r}?)" if near else ""
    assert rejected(path, columns={"text": name}) == (
        f"backlog.columns: {path}, table posts has no column {name!r}{hint}; it has uri, record, "
        "preprocessing_timestamp"
    )


def test_a_column_of_records_is_reported_with_the_path_to_set(tmp_path: Path) -> None:
    path = records_file(tmp_path / "posts.db", str({"text": "It's fine", "reply": None}))
    assert rejected(path, columns={"text": "record"}) == (
        f"backlog.columns: {path}: column 'record' holds serialized records, such as "
        "{'text': \"It's fine\", 'reply': None}: set backlog.columns.text to the path of the value "
        "inside them, such as record.text, and backlog.record_format to python"
    )


def test_a_table_without_the_key_is_reported(tmp_path: Path) -> None:
    path = records_file(tmp_path / "posts.db", '{"body": "a"}')
    assert rejected(path, columns={"text": "record.text"}) == (
        f"backlog.columns: {path}, table posts: no row has 'record.text': column 'record' is null, "
        "or its records do not have this key"
    )


def test_a_bad_uri_is_reported_with_its_row_and_what_to_do(tmp_path: Path) -> None:
    path = make(
        tmp_path / "posts.db",
        POSTS,
        f"INSERT INTO posts VALUES (CAST(x'75ff' AS TEXT), 'a', '{STAMP}')",
    )
    assert rejected(path) == (
        f"{path}, table posts, row 1 (rowid 1): column 'uri' holds bytes that are not text, shown "
        "as \ufffd: u\ufffd. Correct it in the database, or leave the row out with backlog.where"
    )


def test_what_a_duckdb_file_suffers_from_is_named() -> None:
    path = Path("posts.duckdb")
    lock = 'IO Error: Could not set lock on file "x": Conflicting lock is held in python (PID 7).'
    assert isinstance(explain_duckdb(path, lock), BusyError)
    assert "process 7 (python)" in str(explain_duckdb(path, lock))
    for message, words in (
        ("Corrupt database file: computed checksum 5 does not match", "is damaged"),
        ("IO Error: Could not read enough bytes from file", "is cut off"),
        ("Trying to read a database file with version number 99, but", "by a version of DuckDB"),
        ("Cannot open encrypted database without a key", "is encrypted"),
    ):
        problem = explain_duckdb(path, message)
        assert isinstance(problem, InputError)
        assert words in str(problem)


def test_every_code_of_sqlite_that_leads_to_a_message_has_one(tmp_path: Path) -> None:
    path = make(tmp_path / "posts.db")
    for words in ("disk I/O error", "database or disk is full", "out of memory"):
        assert sqlite_problems.explain(path, words) is not None
    assert sqlite_problems.explain(path, "no such column: nope") is None


def test_a_source_in_use_ends_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock_wait, "LOCK_WAIT_S", 0.0)
    path = make(tmp_path / "posts.db")
    with another_process(path, "BEGIN EXCLUSIVE"), pytest.raises(BusyError, match="in use by"):
        stage(source(path))


def test_a_database_that_is_encrypted_from_its_first_byte_is_named(tmp_path: Path) -> None:
    path = tmp_path / "posts.db"
    path.write_bytes(bytes((7 * i + i * i) % 256 for i in range(8192)))
    assert "its name says SQLite, and it is encrypted or holds something else" in rejected(path)
