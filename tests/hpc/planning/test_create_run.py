"""From a backlog to a frozen run: every post once."""

import random
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from hpc.database.gather_outputs import gather
from hpc.executors.slurm.client import Slurm
from hpc.planning import create_run
from hpc.planning.create_run import RunDraft
from hpc.planning.run_spec import RunSpec, Selection, validate
from hpc.reconcile import run_status
from hpc.run import run_config
from hpc.run.model import Run
from pipeline.backlog.select import BacklogCounts
from pipeline.run_files.manifest import output_path
from tests.hpc.cli_bench import Bench, uris
from tests.pipeline import run_builders
from tests.pipeline.run_builders import posts

VALENCE = {"type": "valence"}


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.chdir(tmp_path)
    return Bench(tmp_path)


def agreed(bench: Bench, **sections: Any) -> RunSpec:
    bench.config(**{"classifier": VALENCE, **sections})
    return validate(run_config.load(bench.path), Slurm())


def plan(
    bench: Bench, limit: int | None = None, *, backfill: bool = False, **sections: Any
) -> tuple[Run | None, RunDraft]:
    scope = Selection(backfill=backfill, limit=limit)
    return create_run.make_run(agreed(bench, **sections), (bench.folder,), scope, "name: test\n")


def made(bench: Bench, limit: int | None = None, **sections: Any) -> Run:
    run, draft = plan(bench, limit, **sections)
    assert run is not None, draft
    return run


def uris_of(run: Run) -> list[list[str]]:
    return [
        run_builders.read_shard(run.folder, shard.index)["uri"].to_pylist()
        for shard in run.manifest.shards
    ]


def bring_in(run: Run) -> None:
    now = run_status.look(run, None)
    gather(run, now.observation, now.judgements)


def test_every_row_of_the_backlog_is_accounted_for(bench: Bench) -> None:
    rows = posts(10)
    bench.backlog([*rows, rows[3]._replace(text="a later copy"), rows[9], rows[9]])
    run, draft = plan(bench, 4)
    assert run is not None
    assert draft.source == str(bench.folder / "posts.jsonl")
    assert draft.counts == BacklogCounts(rows=13, duplicates=3, excluded=0, over_limit=6, posts=4)
    assert (run.manifest.posts, len(run.manifest.shards)) == (4, 2)
    _, rest = plan(bench)
    assert rest.counts == BacklogCounts(rows=13, duplicates=2, excluded=5, over_limit=0, posts=6)


def test_a_runs_folder_holds_what_it_is_and_nothing_of_its_making(bench: Bench) -> None:
    bench.backlog(posts(4))
    run = made(bench)
    assert sorted(str(path.relative_to(run.folder)) for path in run.folder.rglob("*")) == [
        "README",
        "config.yaml",
        "logs",
        "manifest.json",
        "outputs",
        "shards",
        "shards/00000.parquet",
        "shards/00001.parquet",
        "submissions",
        "work",
    ]
    assert (run.folder / "config.yaml").read_text() == "name: test\n"
    assert run.run_id == run.folder.name
    assert run.manifest.database == str(bench.folder / "labels.duckdb")


def test_nothing_is_open_that_planning_removes(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """NFS leaves another file in its place, and a folder that holds one cannot be removed."""
    removed = []

    def rmtree(folder: Path, **how: bool) -> None:
        inside = [Path(entry) for entry in Path("/proc/self/fd").iterdir()]
        targets = [entry.readlink() for entry in inside if entry.is_symlink()]
        assert [target for target in targets if folder in target.parents] == []
        removed.append(folder.name)
        real(folder, **how)

    real = shutil.rmtree
    monkeypatch.setattr(shutil, "rmtree", rmtree)
    bench.backlog(posts(300))
    made(bench)
    assert removed[0] == "staging"


def test_a_limit_takes_the_oldest(bench: Bench) -> None:
    rows = posts(20)
    random.Random(3).shuffle(rows)
    bench.backlog(rows)
    assert uris_of(made(bench, 5)) == [uris(3), uris(2, first=3)]
    assert uris_of(made(bench, 5)) == [uris(3, first=5), uris(2, first=8)]


def test_a_backlog_in_another_order_makes_the_same_shards(bench: Bench) -> None:
    rows = [*posts(50), *(post._replace(text="copy") for post in posts(5))]
    bench.backlog(rows)
    first = made(bench).manifest.shards
    random.Random(1).shuffle(rows)
    bench.backlog(rows)
    second = made(bench, name="other").manifest.shards
    assert first == second


def test_posts_of_an_unfinished_run_are_taken_under_its_name_and_free_under_another(
    bench: Bench,
) -> None:
    bench.backlog(posts(6))
    made(bench)
    bench.backlog(posts(8))
    assert uris_of(made(bench)) == [uris(1, first=6), uris(1, first=7)]
    assert plan(bench) == (
        None,
        RunDraft(
            source=str(bench.folder / "posts.jsonl"),
            since=None,
            counts=BacklogCounts(rows=8, duplicates=0, excluded=8, over_limit=0, posts=0),
            sizes=create_run.shards.shard_sizes(0, run_config.load(bench.path).sharding),
        ),
    )
    assert uris_of(made(bench, name="other")) == [uris(4), uris(4, first=4)]


def test_a_run_is_left_in_peace_by_gathering_halfway_and_deleting_it_afterwards(
    bench: Bench,
) -> None:
    """A gathered shard is known by its labels, one that is not by its posts: neither twice."""
    bench.backlog(posts(6))
    run = made(bench)
    run_builders.publish_shard(run.folder, run.manifest, 0)
    bring_in(run)
    _, draft = plan(bench)
    assert draft.counts == BacklogCounts(rows=6, duplicates=0, excluded=6, over_limit=0, posts=0)
    run_builders.publish_shard(run.folder, run.manifest, 1)
    bring_in(run)
    subprocess.run(["rm", "-r", str(run.folder)], check=True)
    assert plan(bench)[1].counts == BacklogCounts(
        rows=6, duplicates=0, excluded=6, over_limit=0, posts=0
    )


def test_without_its_database_a_runs_posts_are_still_taken(bench: Bench) -> None:
    bench.backlog(posts(6))
    run = made(bench)
    for index in (0, 1):
        run_builders.publish_shard(run.folder, run.manifest, index)
    bring_in(run)
    (bench.folder / "labels.duckdb").unlink()
    assert plan(bench)[1].counts == BacklogCounts(
        rows=6, duplicates=0, excluded=6, over_limit=0, posts=0
    )


def test_posts_that_came_late_are_counted_and_a_backfill_takes_them(bench: Bench) -> None:
    rows = posts(4)
    bench.backlog(rows[2:])
    run = made(bench)
    for index in (0, 1):
        run_builders.publish_shard(run.folder, run.manifest, index)
    bring_in(run)
    bench.backlog(rows)
    none, draft = plan(bench)
    assert (none, draft.since) == (None, rows[3].preprocessing_timestamp)
    assert draft.counts == BacklogCounts(
        rows=4, duplicates=0, excluded=2, older=2, over_limit=0, posts=0
    )
    backfill, draft = plan(bench, backfill=True)
    assert backfill is not None
    assert (uris_of(backfill), draft.since) == ([uris(1), uris(1, first=1)], None)


def test_a_dry_run_and_the_run_say_the_same(bench: Bench) -> None:
    bench.backlog([*posts(11), posts(1)[0]])
    dry = create_run.dry_run(agreed(bench), (bench.folder,), Selection(limit=7))
    assert plan(bench, 7)[1] == dry


def test_a_run_is_planned_from_any_folder(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """The source lies beside the configuration, the outputs where the user stands."""
    elsewhere = bench.folder / "elsewhere"
    elsewhere.mkdir()
    bench.config(posts=4)
    monkeypatch.chdir(elsewhere)
    settings = validate(run_config.load(bench.path, ("classifier={type: valence}",)), Slurm())
    run, _ = create_run.make_run(settings, (bench.folder, elsewhere), Selection(), "")
    assert run is not None
    assert run.folder.parent == elsewhere / "runs"
    assert output_path(run.folder, 0).parent.is_dir()
