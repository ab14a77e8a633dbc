"""The posts of unfinished shards are left out, or submit says which posts are unknown."""

from collections.abc import Callable
from pathlib import Path

import pytest

from hpc.run.model.run import Run
from pipeline.errors import RunError
from pipeline.run_files.manifest import output_path, shard_path
from tests.hpc.growing_backlog import GrowingBacklog, post
from tests.hpc.planning.run_plans import uris_of
from tests.pipeline import run_builders


@pytest.fixture
def growing(tmp_path: Path) -> GrowingBacklog:
    """Four posts in two shards of a run, and two new ones.

    DuckDB would read the path of the run as columns, as of a partitioned table.
    """
    growing = GrowingBacklog(tmp_path, runs="uri=u/text=t/reason=r")
    growing.arrive(*(post(number, number) for number in range(1, 5)))
    growing.submit()
    growing.arrive(post(5, 5), post(6, 6))
    return growing


def run_of(growing: GrowingBacklog) -> Run:
    return growing.runs()[0]


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


def overwrite_a_page(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[4:200] = b"\xff" * 196
    path.write_bytes(content)


def replace_by_another(path: Path) -> None:
    """By a shard with fewer posts."""
    elsewhere = path.parents[3] / f"instead of {path.parent.name}"
    run_dir, _ = run_builders.make_run(elsewhere, run_builders.posts(1))
    path.write_bytes(shard_path(run_dir, 0).read_bytes())


def replace_by_a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


DAMAGES = [Path.unlink, cut, overwrite_a_page, replace_by_another, replace_by_a_folder]


@pytest.mark.parametrize("damage", DAMAGES)
def test_posts_that_nobody_can_tell_are_named_and_nothing_is_submitted(
    growing: GrowingBacklog, damage: Callable[[Path], None]
) -> None:
    run = run_of(growing)
    path = shard_path(run.folder, 1)
    damage(path)
    with pytest.raises(RunError) as refused:
        growing.submit()
    message = str(refused.value)
    assert message.startswith(str(path))
    assert [part for part in (run.run_id, "2 posts", "hpc supervise") if part not in message] == []
    assert "backlog.source" not in message
    assert growing.runs() == [run]


@pytest.mark.parametrize("damage", DAMAGES)
def test_the_posts_of_a_published_shard_are_known_by_its_output(
    growing: GrowingBacklog, damage: Callable[[Path], None]
) -> None:
    run = run_of(growing)
    growing.publish(run, 1)
    damage(shard_path(run.folder, 1))
    new, _ = growing.submit()
    assert new
    assert uris_of(new) == [[run_builders.uri(5)], [run_builders.uri(6)]]


@pytest.mark.parametrize("damage", DAMAGES)
def test_the_posts_of_a_gathered_shard_are_known_by_the_database(
    growing: GrowingBacklog, damage: Callable[[Path], None]
) -> None:
    run = run_of(growing)
    growing.finish(run)
    damage(shard_path(run.folder, 1))
    damage(output_path(run.folder, 1))
    new, _ = growing.submit()
    assert new
    assert uris_of(new) == [[run_builders.uri(5)], [run_builders.uri(6)]]


def test_the_path_of_a_run_is_no_value_of_its_posts(growing: GrowingBacklog) -> None:
    new, _ = growing.submit()
    assert new
    assert uris_of(new) == [[run_builders.uri(5)], [run_builders.uri(6)]]


def test_a_damaged_database_is_not_taken_for_the_source(growing: GrowingBacklog) -> None:
    growing.finish(run_of(growing))
    database = growing.bench.folder / "labels.duckdb"
    content = bytearray(database.read_bytes())
    first_block = 3 * 4096  # after the headers
    content[first_block + 100 : first_block + 300] = b"\xff" * 200
    database.write_bytes(content)
    with pytest.raises(RunError) as refused:
        growing.submit()
    assert str(database) in str(refused.value)
    assert "backlog.source" not in str(refused.value)
