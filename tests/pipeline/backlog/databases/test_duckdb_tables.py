"""A table of a DuckDB file is found as a SELECT finds it, and a file in use is waited for."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import duckdb
import pytest

from pipeline.backlog.databases import lock_wait
from pipeline.errors import BusyError, InputError
from tests.pipeline.backlog.databases.database_files import rejected, running, source, texts
from tests.pipeline.backlog.source_files import STAMP, stage

READ = {"u1": ("fine day", None)}
POST = f"SELECT 'u1' AS uri, 'fine day' AS text, '{STAMP}' AS preprocessing_timestamp"


def make(path: Path, *statements: str) -> Path:
    with closing(duckdb.connect(str(path))) as connection:
        for statement in statements:
            connection.execute(statement)
    return path


@contextmanager
def another_process(path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Keep a DuckDB file open for writing in another process."""
    program = (
        "import duckdb, sys\n"
        "connection = duckdb.connect(sys.argv[1])\n"
        "print('ready', flush=True)\n"
        "sys.stdin.read()\n"
    )
    with running(program, str(path)) as process:
        yield process


def test_the_only_table_may_be_in_any_schema(tmp_path: Path) -> None:
    path = make(tmp_path / "posts.duckdb", "CREATE SCHEMA bsky", f"CREATE TABLE bsky.p AS {POST}")
    assert texts(path) == READ


@pytest.mark.parametrize(
    "table",
    [
        "bsky.p",
        "BSKY.P",
        '"bsky"."p"',
        'bsky."P"',
        "posts.bsky.p",
        "main.q",
        "q",
        "posts.q",
        "My Schema.My Posts",
        '"my schema"."my posts"',
        "seen",
        "main.seen",
        "bsky.through",
    ],
)
def test_a_table_or_view_may_be_named_with_its_schema(tmp_path: Path, table: str) -> None:
    path = make(
        tmp_path / "posts.duckdb",
        "CREATE SCHEMA bsky",
        f"CREATE TABLE bsky.p AS {POST}",
        f"CREATE TABLE q AS {POST}",
        'CREATE SCHEMA "My Schema"',
        f'CREATE TABLE "My Schema"."My Posts" AS {POST}',
        "CREATE VIEW seen AS SELECT * FROM bsky.p",
        "CREATE VIEW bsky.through AS SELECT * FROM posts.main.q",
        "CREATE MACRO m() AS TABLE SELECT 1",
        "CREATE SEQUENCE s",
    )
    assert texts(path, table=table) == READ


def test_a_name_alone_means_the_default_schema(tmp_path: Path) -> None:
    path = make(
        tmp_path / "posts.duckdb",
        "CREATE SCHEMA old",
        f"CREATE TABLE old.p AS {POST.replace('fine', 'old')}",
        f"CREATE TABLE p AS {POST}",
    )
    assert texts(path, table="p") == READ
    assert texts(path, table="old.p") == {"u1": ("old day", None)}
    assert rejected(path, table="q").endswith("it has old.p, p")


def test_a_table_with_a_dot_in_its_name_is_told_from_one_in_a_schema(tmp_path: Path) -> None:
    path = make(tmp_path / "a.duckdb", f'CREATE TABLE "bsky.p" AS {POST}')
    assert texts(path) == texts(path, table="bsky.p") == READ
    both = make(
        tmp_path / "b.duckdb",
        f'CREATE TABLE "bsky.p" AS {POST}',
        "CREATE SCHEMA bsky",
        f"CREATE TABLE bsky.p AS {POST.replace('fine', 'other')}",
    )
    assert '"main"."bsky.p"' in rejected(both, table="bsky.p")
    assert texts(both, table='"main"."bsky.p"') == READ
    assert texts(both, table='"bsky"."p"') == {"u1": ("other day", None)}


@pytest.mark.parametrize("name", ["URI", "Uri"])
def test_a_column_may_be_named_in_any_case(tmp_path: Path, name: str) -> None:
    path = make(
        tmp_path / "posts.duckdb",
        f"CREATE TABLE posts AS SELECT uri AS uRi, {{'text': text}} AS Record, "
        f"preprocessing_timestamp FROM ({POST})",
    )
    assert texts(path, columns={"uri": name, "text": "record.text"}) == READ


def test_a_file_that_stays_open_for_writing_is_busy_and_its_process_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock_wait, "LOCK_WAIT_S", 0.0)
    path = make(tmp_path / "posts.duckdb", f"CREATE TABLE posts AS {POST}")
    with another_process(path) as process, pytest.raises(BusyError, match=str(process.pid)):
        stage(source(path))


def test_a_file_that_is_closed_in_time_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make(tmp_path / "posts.duckdb", f"CREATE TABLE posts AS {POST}")
    with another_process(path) as process:
        monkeypatch.setattr(lock_wait, "announce", lambda _path: process.kill())
        assert texts(path) == READ


def test_what_a_killed_writer_left_in_its_log_is_read(tmp_path: Path) -> None:
    path = make(tmp_path / "posts.duckdb", f"CREATE TABLE posts AS {POST}")
    program = (
        "import duckdb, os, sys\n"
        "connection = duckdb.connect(sys.argv[1])\n"
        "connection.execute(\"INSERT INTO posts SELECT 'u2', * EXCLUDE uri FROM posts\")\n"
        "os._exit(9)\n"
    )
    subprocess.run([sys.executable, "-c", program, str(path)], check=False)
    assert path.with_name("posts.duckdb.wal").exists()
    assert texts(path) == {**READ, "u2": ("fine day", None)}


@pytest.mark.parametrize("name", ["cut off", "damaged", "a damaged header"])
def test_a_file_that_duckdb_cannot_read_is_wrong_input_with_its_path(
    tmp_path: Path, name: str
) -> None:
    path = make(
        tmp_path / "posts.duckdb", f"CREATE TABLE posts AS SELECT t.* FROM ({POST}) t, range(5000)"
    )
    content = bytearray(path.read_bytes())
    match name:
        case "cut off":
            del content[13_000:]
        case "damaged":
            content[12_400:] = b"\xff" * len(content[12_400:])
        case "a damaged header":
            content[4200:4300] = b"\xff" * 100
    path.write_bytes(content)
    with pytest.raises(InputError, match=str(path)):
        stage(source(path))
