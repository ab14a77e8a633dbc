"""Whatever reads or writes many posts keeps to the limits that the configuration gives DuckDB.

A folder for temporary files that is not there shows which verbs use it: each of them names it.
"""

import errno
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from pipeline.backlog import select
from pipeline.config.session_limits import LOGIN_NODE, SessionLimits
from pipeline.database import duckdb_file
from pipeline.sql import raise_lack_of_space
from tests.hpc.cli_bench import Bench
from tests.hpc.growing_backlog import GrowingBacklog, post


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """A folder with a run that is whole and gathered, and then a folder that is not there."""
    made = GrowingBacklog(tmp_path_factory.mktemp("limited"))
    made.arrive(*(post(number, number) for number in range(1, 5)))
    run, _ = made.submit()
    assert run
    made.finish(run)
    correction = "storage.temporary_folder=gone"
    (made.bench.folder / "gone").mkdir()
    assert made.bench.hpc("resubmit", "--set", correction).returncode == 0
    made.bench.config(
        classifier={"type": "valence"},
        storage={"temporary_folder": "gone"},
    )
    (made.bench.folder / "gone").rmdir()
    return made.bench


@pytest.mark.parametrize(
    "arguments",
    [
        ("submit", "--config", "run.yaml", "--dry-run"),
        ("gather",),
        ("try", "run.yaml"),
        ("audit", "--config", "run.yaml"),
        ("compare", "test", "other", "--config", "run.yaml"),
        ("export", "test", "--to", "labels.csv", "--config", "run.yaml"),
        ("export", "test", "--to", "labels.csv"),
    ],
    ids=" ".join,
)
def test_the_temporary_folder_is_used(bench: Bench, arguments: tuple[str, ...]) -> None:
    done = bench.hpc(*arguments)
    assert (done.returncode, str(bench.folder / "gone") in done.stderr) == (1, True), done


def opened(folder: Path, limits: SessionLimits) -> Iterator[duckdb.DuckDBPyConnection]:
    with select.staging(folder, limits) as staged:
        yield staged
    with select.session(folder, limits) as session:
        yield session
    with duckdb_file.open_database(folder / "labels.duckdb", limits=limits) as labels:
        yield labels


def test_every_session_has_the_limits_and_a_temporary_folder_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "scratch").mkdir()
    limits = SessionLimits(memory_gb=2.5, threads=1, temporary_folder=str(tmp_path / "scratch"))
    query = "SELECT current_setting('memory_limit'), current_setting('threads')"
    places = set()
    for connection in opened(tmp_path, limits):
        assert connection.execute(query).fetchall() == [("2.3 GiB", 1)]
        (place,) = connection.execute("SELECT current_setting('temp_directory')").fetchall()
        places.add(Path(place[0]))
    assert len(places) == 3
    assert all(place.is_relative_to(tmp_path / "scratch") for place in places)
    assert list((tmp_path / "scratch").iterdir()) == []


def test_by_default_a_session_takes_the_share_of_a_login_node(tmp_path: Path) -> None:
    query = "SELECT current_setting('memory_limit'), current_setting('threads')"
    for connection in opened(tmp_path, LOGIN_NODE):
        assert connection.execute(query).fetchall() == [("953.6 MiB", 2)]


@pytest.mark.parametrize(
    ("setting", "error"),
    [("temp_directory = ''", errno.ENOMEM), ("max_temp_directory_size = '1MB'", errno.ENOSPC)],
)
def test_a_limit_of_memory_is_told_from_a_full_disk(
    tmp_path: Path, setting: str, error: int
) -> None:
    many = "CREATE TABLE rows AS SELECT repeat('x', 900) || i FROM range(100_000) t(i) ORDER BY 1"
    with select.staging(tmp_path, SessionLimits(memory_gb=0.04)) as connection:
        connection.execute(f"SET {setting}")
        with pytest.raises(duckdb.Error) as raised:
            connection.execute(many)
        with pytest.raises(OSError, match=r".") as lack:
            raise_lack_of_space(raised.value, "planning")
    assert lack.value.errno == error
