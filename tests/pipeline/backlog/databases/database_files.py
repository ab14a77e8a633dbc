"""Make databases by their own SQL, lock them from another process, and read their posts."""

import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from pipeline.backlog import sources
from pipeline.backlog.sources import Source
from pipeline.config.sections import Backlog, SourceColumns
from pipeline.errors import InputError
from tests.pipeline.backlog.source_files import STAMP, stage, stage_reasons

POSTS = "CREATE TABLE posts (uri TEXT, text TEXT, preprocessing_timestamp TEXT)"
RECORDS = "CREATE TABLE posts (uri TEXT, record TEXT, preprocessing_timestamp TEXT)"

_HOLDER = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
for statement in sys.argv[2:]:
    connection.execute(statement)
print("ready", flush=True)
sys.stdin.read()
"""


def make(path: Path, *statements: str, rows: list[tuple[Any, ...]] | None = None) -> Path:
    """Create a SQLite file by statements, and insert rows into its table `posts`."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for statement in statements or (POSTS,):
            connection.execute(statement)
        for row in rows or []:
            connection.execute(f"INSERT INTO posts VALUES ({', '.join('?' * len(row))})", row)
    return path


def records_file(path: Path, *records: str | bytes | None, encoding: str = "UTF-8") -> Path:
    """Create a SQLite file with a post u1, u2, … for each serialized record."""
    rows = [(f"u{i}", record, STAMP) for i, record in enumerate(records, 1)]
    return make(path, f"PRAGMA encoding = '{encoding}'", RECORDS, rows=rows)


def source(path: Path, *, columns: dict[str, str] | None = None, **settings: Any) -> Source:
    """The source that a configuration with these keys of `backlog` means."""
    settings.setdefault("min_text_length", 5)
    backlog = Backlog(source=str(path), columns=SourceColumns(**(columns or {})), **settings)
    return sources.find_source(backlog, (path.parent,))


def texts(path: Path, **settings: Any) -> dict[str, tuple[str, str | None]]:
    """The text and the reason of each post."""
    return stage_reasons(source(path, **settings))


def uris(path: Path, **settings: Any) -> list[str]:
    return [uri for uri, _, _ in stage(source(path, **settings))[1]]


def rejected(path: Path, **settings: Any) -> str:
    """The message with which the source is rejected as wrong input."""
    with pytest.raises(InputError) as error:
        stage(source(path, **settings))
    return str(error.value)


@contextmanager
def another_process(path: Path, *statements: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run statements on a SQLite file in another process, which keeps it open for the block."""
    with running(_HOLDER, str(path), *statements) as process:
        yield process


@contextmanager
def running(program: str, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a Python program that prints `ready` and waits for its input, and end it afterwards."""
    command = [sys.executable, "-c", program, *arguments]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
            yield process
        finally:
            process.kill()
