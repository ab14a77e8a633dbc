"""A run whose manifest is lost is named by every verb, and its posts are not paid for again."""

from collections.abc import Callable
from pathlib import Path

import pytest

from hpc.run import run_folder
from hpc.runs import find_runs
from pipeline.errors import InputError, RunError, UnreadableError
from tests.hpc.cli_bench import Bench
from tests.hpc.planning.run_plans import created, gather_run, plan_run
from tests.pipeline import run_builders
from tests.pipeline.run_builders import posts

pytestmark = pytest.mark.usefixtures("in_working_folder")


def lose(folder: Path) -> None:
    (folder / "manifest.json").unlink()


def lose_but_outputs(folder: Path) -> None:
    lose(folder)
    for name in ("shards", "submissions", "work"):
        (folder / name).rename(folder.parent / f"lost-{name}")


def dangle(folder: Path) -> None:
    lose(folder)
    (folder / "manifest.json").symlink_to("nowhere.json")


def dangle_folder(folder: Path) -> None:
    folder.rename(folder.parent / "unmounted")
    folder.symlink_to("elsewhere")


def empty(folder: Path) -> None:
    (folder / "manifest.json").write_text("")


LOSSES = [lose, lose_but_outputs, dangle, dangle_folder]


@pytest.fixture
def published(bench: Bench) -> Path:
    """The folder of a run whose labels are published and not gathered; there are two new posts."""
    bench.backlog(posts(4))
    run = created(bench)
    for shard in run.manifest.shards:
        run_builders.publish_shard(run.folder, run.manifest, shard.index)
    bench.backlog(posts(6))
    return run.folder


@pytest.mark.parametrize("loss", [*LOSSES, empty])
def test_a_new_run_of_that_name_is_refused(
    bench: Bench, published: Path, loss: Callable[[Path], None]
) -> None:
    loss(published)
    with pytest.raises((RunError, InputError), match=str(published)):
        plan_run(bench)
    assert bench.runs() in ([], [published])


@pytest.mark.parametrize("loss", [*LOSSES, empty])
def test_a_new_run_of_another_name_is_not(
    bench: Bench, published: Path, loss: Callable[[Path], None]
) -> None:
    loss(published)
    assert created(bench, name="other").manifest.posts == 6


@pytest.mark.parametrize("loss", LOSSES)
def test_every_verb_names_the_run(
    bench: Bench, published: Path, loss: Callable[[Path], None]
) -> None:
    same, other = created(bench), created(bench, name="other")
    for run in (same, other):
        for shard in run.manifest.shards:
            run_builders.publish_shard(run.folder, run.manifest, shard.index)
        gather_run(run)
    bench.config(classifier={"type": "valence"})
    loss(published)
    commands: dict[tuple[object, ...], int] = {
        ("submit", "--config", bench.path): 1,
        ("submit", "--config", bench.path, "--dry-run"): 1,
        ("audit", "--config", bench.path): 1,
        ("gather", same.folder): 1,
        ("gather", other.folder): 0,
        ("status", other.folder): 0,
        ("supervise", other.folder): 0,
        ("compare", "other", "other", "--database", bench.folder / "labels.duckdb"): 0,
        ("status", published.name): 1,
    }
    done = {command: bench.hpc(*command) for command in commands}
    assert {command: each.returncode for command, each in done.items()} == commands
    silent = [
        command
        for command, each in done.items()
        if str(published) not in each.stdout + each.stderr and command[0] != "compare"
    ]
    assert silent == []
    compared = bench.document(
        "compare", "other", "test", "--database", bench.folder / "labels.duckdb"
    )
    assert compared["unusable_runs"] == [str(published)]


@pytest.mark.parametrize("loss", LOSSES)
def test_the_newest_run_is_not_taken_for_another(
    bench: Bench, published: Path, loss: Callable[[Path], None]
) -> None:
    newer = created(bench, name="other")
    loss(newer.folder)
    with pytest.raises(RunError, match=str(newer.folder)):
        find_runs.find(published.parent, None)


def test_an_older_run_without_a_manifest_does_not_hide_the_newest(
    bench: Bench, published: Path
) -> None:
    newer = created(bench, name="other")
    lose(published)
    assert find_runs.find(published.parent, None).run_id == newer.run_id


def test_a_folder_without_a_run_is_none(bench: Bench, published: Path) -> None:
    (published.parent / "2024-notes").mkdir()
    (published.parent / "2024.txt").write_text("not a folder")
    aside = run_folder.move_to_set_aside(created(bench, name="other").folder)
    aside.rename(published.parent / aside.name)  # as if the move had been interrupted
    assert find_runs.find_named(published.parent, "test")[1] == []
    assert created(bench).manifest.posts == 2


@pytest.mark.parametrize("target", ["runs", "not-mounted"])
def test_a_run_root_that_cannot_be_read_is_not_taken_for_an_empty_one(
    tmp_path: Path, target: str
) -> None:
    root = tmp_path / "runs"
    root.symlink_to(tmp_path / target)
    with pytest.raises(UnreadableError, match=str(root)):
        find_runs.load_named(root, "test")
