"""A new run takes every unlabeled post of its backlog once."""

import random
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from hpc.config import run_config
from hpc.planning.new_run import create_run
from hpc.planning.new_run.draft_run import draft_run
from hpc.planning.new_run.run_draft import RunDraft
from hpc.planning.run_spec import Selection, validate
from pipeline.backlog import shards
from pipeline.backlog.select import BacklogCounts
from pipeline.classifiers.valence import Valence
from pipeline.model import Post
from pipeline.run_files.manifest import output_path
from tests.hpc.cli_bench import Bench, uris
from tests.hpc.planning.run_plans import created, gather_run, plan_run, spec_of, uris_of
from tests.pipeline import run_builders
from tests.pipeline.run_builders import posts

pytestmark = pytest.mark.usefixtures("in_working_folder")


def test_every_row_of_the_backlog_is_accounted_for(bench: Bench) -> None:
    rows = posts(10)
    bench.backlog([*rows, rows[3]._replace(text="a later copy"), rows[9], rows[9]])
    run, draft = plan_run(bench, 4)
    assert run is not None
    assert draft.source == str(bench.folder / "posts.jsonl")
    assert draft.counts == BacklogCounts(rows=13, duplicates=3, excluded=0, over_limit=6, posts=4)
    assert (run.manifest.posts, len(run.manifest.shards)) == (4, 2)
    _, rest = plan_run(bench)
    assert rest.counts == BacklogCounts(rows=13, duplicates=2, excluded=5, over_limit=0, posts=6)


def test_a_runs_folder_holds_nothing_of_how_it_was_created(bench: Bench) -> None:
    bench.backlog(posts(4))
    run = created(bench)
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


@pytest.mark.parametrize("needed", [True, False])
def test_a_run_records_whether_its_classifier_needs_numpy(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, needed: bool
) -> None:
    bench.backlog(posts(1))
    monkeypatch.setattr(Valence, "needs_numpy", needed)
    assert created(bench).manifest.needs_numpy is needed


def test_planning_deletes_no_file_that_is_open(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """NFS replaces an open file that is deleted, and a folder that holds one cannot be deleted."""
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
    created(bench)
    assert removed[0] == "staging"


def test_a_limit_selects_the_oldest_posts(bench: Bench) -> None:
    rows = posts(20)
    random.Random(3).shuffle(rows)
    bench.backlog(rows)
    assert uris_of(created(bench, 5)) == [uris(3), uris(2, first=3)]
    assert uris_of(created(bench, 5)) == [uris(3, first=5), uris(2, first=8)]


def test_a_backlog_in_another_order_gives_the_same_shards(bench: Bench) -> None:
    rows = [*posts(50), *(post._replace(text="copy") for post in posts(5))]
    bench.backlog(rows)
    first = created(bench).manifest.shards
    random.Random(1).shuffle(rows)
    bench.backlog(rows)
    second = created(bench, name="other").manifest.shards
    assert first == second


def test_posts_of_an_unfinished_run_are_excluded_under_its_name_only(
    bench: Bench,
) -> None:
    bench.backlog(posts(6))
    created(bench)
    bench.backlog(posts(8))
    assert uris_of(created(bench)) == [uris(1, first=6), uris(1, first=7)]
    assert plan_run(bench) == (
        None,
        RunDraft(
            source=str(bench.folder / "posts.jsonl"),
            since=None,
            counts=BacklogCounts(rows=8, duplicates=0, excluded=8, over_limit=0, posts=0),
            sizes=shards.shard_sizes(0, run_config.load(bench.path).sharding),
            files=1,
        ),
    )
    assert uris_of(created(bench, name="other")) == [uris(4), uris(4, first=4)]


def test_posts_stay_excluded_while_their_run_is_gathered_and_deleted(
    bench: Bench,
) -> None:
    """A gathered shard is known by its labels, another one by its posts; neither is taken twice."""
    bench.backlog(posts(6))
    run = created(bench)
    run_builders.publish_shard(run.folder, run.manifest, 0)
    gather_run(run)
    _, draft = plan_run(bench)
    assert draft.counts == BacklogCounts(rows=6, duplicates=0, excluded=6, over_limit=0, posts=0)
    run_builders.publish_shard(run.folder, run.manifest, 1)
    gather_run(run)
    subprocess.run(["rm", "-r", str(run.folder)], check=True)
    assert plan_run(bench)[1].counts == BacklogCounts(
        rows=6, duplicates=0, excluded=6, over_limit=0, posts=0
    )


def test_posts_of_a_run_stay_excluded_when_its_database_is_lost(bench: Bench) -> None:
    bench.backlog(posts(6))
    run = created(bench)
    for index in (0, 1):
        run_builders.publish_shard(run.folder, run.manifest, index)
    gather_run(run)
    (bench.folder / "labels.duckdb").unlink()
    assert plan_run(bench)[1].counts == BacklogCounts(
        rows=6, duplicates=0, excluded=6, over_limit=0, posts=0
    )


def test_posts_that_came_late_are_counted_and_a_backfill_takes_them(bench: Bench) -> None:
    rows = posts(4)
    bench.backlog(rows[2:])
    run = created(bench)
    for index in (0, 1):
        run_builders.publish_shard(run.folder, run.manifest, index)
    gather_run(run)
    bench.backlog(rows)
    none, draft = plan_run(bench)
    assert (none, draft.since) == (None, rows[3].preprocessing_timestamp)
    assert draft.counts == BacklogCounts(
        rows=4, duplicates=0, excluded=2, older=2, over_limit=0, posts=0
    )
    backfill, draft = plan_run(bench, backfill=True)
    assert backfill is not None
    assert (uris_of(backfill), draft.since) == ([uris(1), uris(1, first=1)], None)


def test_a_dry_run_and_the_run_say_the_same(bench: Bench) -> None:
    bench.backlog([*posts(11), posts(1)[0]])
    dry = draft_run(spec_of(bench), Selection(limit=7), (bench.folder,))
    assert dry.first == (Post(posts(1)[0].uri, posts(1)[0].text),)  # for the example of a request
    assert plan_run(bench, 7)[1] == replace(dry, first=())


def test_a_run_is_planned_from_any_folder(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """The source lies beside the configuration, the outputs where the user stands."""
    elsewhere = bench.folder / "elsewhere"
    elsewhere.mkdir()
    bench.config(posts=4)
    monkeypatch.chdir(elsewhere)
    spec = validate(run_config.load(bench.path, ("classifier={type: valence}",)))
    run, _ = create_run.create_run(spec, Selection(), (bench.folder, elsewhere), "")
    assert run is not None
    assert run.folder.parent == elsewhere / "runs"
    assert output_path(run.folder, 0).parent.is_dir()
