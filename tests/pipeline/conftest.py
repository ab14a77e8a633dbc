"""Fixtures for what only a real machine can show."""

import contextlib
import itertools
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from pipeline.classifiers.valence import Valence
from pipeline.database import duckdb_file
from pipeline.database.stores.duckdb_table import DuckDBTable
from pipeline.model import output_schema

SMALL_DISK_BYTES = 1024 * 1024


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one MiB. Mounting needs root; in CI its absence is a failure, not a skip."""
    yield from _mounted(tmp_path / "small_disk", f"size={SMALL_DISK_BYTES}")


@pytest.fixture
def disk_of_a_database(tmp_path: Path) -> Iterator[Path]:
    """A file system with room for a small database and a part of another one."""
    yield from _mounted(tmp_path / "disk_of_a_database", "size=16m")


@pytest.fixture
def few_inodes(tmp_path: Path) -> Iterator[Path]:
    """A file system that holds 60 files."""
    yield from _mounted(tmp_path / "few_inodes", "size=16m,nr_inodes=60")


def _mounted(folder: Path, options: str) -> Iterator[Path]:
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    mounted = subprocess.run(mount, capture_output=True, text=True, check=False)
    if mounted.returncode:
        if os.environ.get("CI") == "true":
            pytest.fail(f"no small disk: {mounted.stderr}")
        pytest.skip(f"no small disk: {mounted.stderr}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """An open ledger with an empty table for valence."""
    with duckdb_file.open_database(tmp_path / "labels.duckdb") as connection:
        DuckDBTable(connection, "valence").ensure_columns(output_schema(Valence.columns))
        yield connection


def take_all_inodes(folder: Path) -> None:
    """Create files below `folder/filler` until there can be no more."""
    filler = folder / "filler"
    filler.mkdir()
    with contextlib.suppress(OSError):
        for number in itertools.count():
            (filler / str(number)).touch()


def fill(folder: Path, *, leaving: int) -> None:
    """Takes all space of `folder` but `leaving` bytes."""
    space = os.statvfs(folder)
    with (folder / "filler").open("wb") as stream:
        stream.write(b"x" * (space.f_bavail * space.f_frsize - leaving))
