"""With --only-labeled-by a run labels only what another name has labeled, and no post is lost."""

import json
from dataclasses import replace
from pathlib import Path

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hpc.planning.run_spec import Selection
from hpc.run.model.run import Run
from pipeline.backlog.select import BacklogCounts
from pipeline.database import duckdb_file, label_tables
from pipeline.errors import InputError
from pipeline.model import Answer
from pipeline.sampling.draw import DrawRequest
from tests.hpc.cli_bench import exit_code, uris
from tests.hpc.growing_backlog import HOUR, GrowingBacklog, post
from tests.hpc.snapshot import BacklogSnapshot
from tests.pipeline import run_builders
from tests.pipeline.run_builders import FIRST_TIME

OTHER = "perspective"


def configure(eight_posts: GrowingBacklog, name: str = "test", **backlog: object) -> None:
    folder = eight_posts.bench.folder
    eight_posts.bench.config(
        name=name,
        classifier={"type": "valence"},
        backlog=backlog,
        storage={"run_root": str(folder / "runs"), "database": str(folder / "labels.duckdb")},
    )


def all_but_post_2(at_uri: str) -> Answer:
    if at_uri == run_builders.uri(2):
        return Answer(at_uri, reason="refused: it would not")
    return Answer(at_uri, {"compound": 0.5, "valence_label": "positive"})


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory: pytest.TempPathFactory) -> BacklogSnapshot:
    eight_posts = GrowingBacklog(tmp_path_factory.mktemp("eight-posts"))
    configure(
        eight_posts, OTHER, where=f"uri BETWEEN '{run_builders.uri(2)}' AND '{run_builders.uri(6)}'"
    )
    eight_posts.arrive(*(post(number, number) for number in range(1, 9)))
    run, _ = eight_posts.submit()
    assert run
    for shard in run.manifest.shards:
        run_builders.publish_shard(run.folder, run.manifest, shard.index, answer=all_but_post_2)
    eight_posts.gather(run)
    configure(eight_posts)
    return BacklogSnapshot(eight_posts)


@pytest.fixture
def eight_posts(snapshot: BacklogSnapshot) -> GrowingBacklog:
    """Another name has labeled posts 3 to 6 of 8, one per hour, and could not label post 2."""
    return snapshot.restore()


def uris_of(run: Run | None) -> list[str]:
    """The uris of all posts of a run, oldest first."""
    assert run
    shards = (run_builders.read_shard(run.folder, shard.index) for shard in run.manifest.shards)
    return [uri for shard in shards for uri in shard["uri"].to_pylist()]


def test_a_run_takes_only_posts_that_the_other_name_labeled_successfully(
    eight_posts: GrowingBacklog,
) -> None:
    run, draft = eight_posts.submit(only_labeled_by=OTHER)
    assert uris_of(run) == uris(4, first=3)
    assert draft.counts == BacklogCounts(
        rows=8, duplicates=0, excluded=0, over_limit=0, posts=4, not_chosen=4
    )  # fmt: skip
    assert run and run.manifest.only_labelled_by == OTHER


def test_labeled_posts_and_posts_of_unfinished_runs_are_excluded(
    eight_posts: GrowingBacklog,
) -> None:
    first, _ = eight_posts.submit(only_labeled_by=OTHER, limit=1)
    assert uris_of(first) == uris(1, first=3)
    second, draft = eight_posts.submit(only_labeled_by=OTHER, limit=2)
    assert uris_of(second) == uris(2, first=4)
    assert draft.counts == BacklogCounts(
        rows=8, duplicates=0, excluded=1, over_limit=1, posts=2, not_chosen=4
    )  # fmt: skip


def test_a_later_plain_submit_takes_all_other_posts_including_older_ones(
    eight_posts: GrowingBacklog,
) -> None:
    chosen, _ = eight_posts.submit(only_labeled_by=OTHER)
    assert chosen
    eight_posts.finish(chosen)
    assert eight_posts.watermark() is None
    rest, draft = eight_posts.submit()
    assert draft.since is None
    assert uris_of(rest) == [*uris(2, first=1), *uris(2, first=7)]
    assert rest
    eight_posts.finish(rest)
    assert eight_posts.watermark() == FIRST_TIME + 8 * HOUR
    assert eight_posts.labeled() == dict.fromkeys(uris(8, first=1), 1)


def test_the_watermark_of_plain_runs_does_not_move(eight_posts: GrowingBacklog) -> None:
    plain, _ = eight_posts.submit(limit=2)
    assert plain
    eight_posts.finish(plain)
    assert eight_posts.watermark() == FIRST_TIME + 2 * HOUR
    chosen, _ = eight_posts.submit(only_labeled_by=OTHER)
    assert chosen
    eight_posts.finish(chosen)
    assert eight_posts.watermark() == FIRST_TIME + 2 * HOUR
    rest, draft = eight_posts.submit()
    assert draft.since == FIRST_TIME + 2 * HOUR
    assert uris_of(rest) == uris(2, first=7)


def test_the_run_holds_the_watermark_back_until_it_is_gathered(eight_posts: GrowingBacklog) -> None:
    chosen, _ = eight_posts.submit(only_labeled_by=OTHER)
    rest, _ = eight_posts.submit()
    assert chosen and rest
    eight_posts.finish(rest)
    assert eight_posts.watermark() == FIRST_TIME + 2 * HOUR
    eight_posts.finish(chosen)
    assert eight_posts.watermark() == FIRST_TIME + 8 * HOUR


def test_posts_from_before_the_watermark_need_no_backfill(eight_posts: GrowingBacklog) -> None:
    plain, _ = eight_posts.submit(backfill=True)
    assert plain
    eight_posts.finish(plain)
    eight_posts.arrive(post(20, 1))
    configure(eight_posts, OTHER, where=f"uri = '{run_builders.uri(20)}'")
    other, _ = eight_posts.submit(backfill=True)
    assert other
    eight_posts.finish(other)
    configure(eight_posts)
    assert eight_posts.submit()[0] is None
    chosen, _ = eight_posts.submit(only_labeled_by=OTHER)
    assert uris_of(chosen) == uris(1, first=20)


def test_supersede_labels_only_these_posts_again(eight_posts: GrowingBacklog) -> None:
    plain, _ = eight_posts.submit()
    assert plain
    eight_posts.finish(plain)
    configure(eight_posts, min_text_length=2)
    again, _ = eight_posts.submit(supersede=True, only_labeled_by=OTHER)
    assert uris_of(again) == uris(4, first=3)
    assert again
    eight_posts.finish(again)
    assert eight_posts.labeled() == dict.fromkeys(uris(8, first=1), 1)
    assert eight_posts.query("SELECT count(*) FROM superseded_test") == [(4,)]


def test_a_rebuilt_database_still_knows_which_runs_chose_their_posts(
    eight_posts: GrowingBacklog,
) -> None:
    chosen, _ = eight_posts.submit(only_labeled_by=OTHER)
    assert chosen
    eight_posts.finish(chosen)
    assert eight_posts.bench.hpc("gather", chosen.folder, "--rebuild").returncode == 0
    assert eight_posts.query("SELECT name, only_labelled_by FROM runs ORDER BY name") == [
        (OTHER, None),
        ("test", OTHER),
    ]
    assert eight_posts.watermark() is None


def test_an_older_database_without_such_runs_keeps_its_watermark(
    eight_posts: GrowingBacklog,
) -> None:
    plain, _ = eight_posts.submit(limit=2)
    assert plain
    eight_posts.finish(plain)
    with duckdb.connect(str(eight_posts.bench.folder / "labels.duckdb")) as database:
        database.execute("DROP VIEW watermarks; ALTER TABLE runs DROP COLUMN only_labelled_by")
    rest, draft = eight_posts.submit()
    assert draft.since == FIRST_TIME + 2 * HOUR
    assert rest
    eight_posts.finish(rest)
    assert eight_posts.watermark() == FIRST_TIME + 8 * HOUR


def test_the_audit_reports_the_other_posts_as_new_and_not_late(eight_posts: GrowingBacklog) -> None:
    chosen, _ = eight_posts.submit(only_labeled_by=OTHER)
    assert chosen
    eight_posts.finish(chosen)
    found = eight_posts.bench.document("audit", "--config", eight_posts.bench.path, code=3)
    assert {place: n for place, n in found["places"].items() if n} == {"labelled": 4, "new": 4}


STEPS = st.one_of(
    st.tuples(st.just("arrive"), st.integers(1, 3)),
    st.tuples(st.just("choose"), st.integers(0, 8)),
    st.tuples(st.just("sample"), st.integers(1, 4)),
    st.tuples(st.just("submit"), st.sampled_from([None, 1, 2])),
    st.tuples(st.just("finish"), st.integers(0, 5)),
)


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(steps=st.lists(STEPS, max_size=6))
def test_plain_submits_label_every_post_whatever_was_chosen_or_drawn_before(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int | None]]
) -> None:
    eight_posts = GrowingBacklog(tmp_path_factory.mktemp("eight_posts"))
    eight_posts.arrive(*(post(number, number) for number in range(4)))
    for step, value in steps:
        if step == "submit" or value is None:
            eight_posts.submit(limit=value)
        elif step == "arrive":
            first = len(eight_posts.posts)
            eight_posts.arrive(*(post(number, number) for number in range(first, first + value)))
        elif step == "choose":
            label_elsewhere(eight_posts, value)
            chosen, _ = eight_posts.submit(only_labeled_by=OTHER)
            if chosen and value % 2:
                eight_posts.finish(chosen)
        elif step == "sample":
            drawn, _ = eight_posts.submit(sample=DrawRequest(size=value, seed=value))
            if drawn and value % 2:
                eight_posts.finish(drawn)
        else:
            for run in eight_posts.runs()[value : value + 1]:
                eight_posts.finish(run)
    for _ in range(2):
        for run in eight_posts.runs():
            eight_posts.finish(run)
        eight_posts.submit()
    assert eight_posts.labeled() == dict.fromkeys(uris(len(eight_posts.posts)), 1)


def test_the_path_of_the_runs_does_not_decide_which_posts_are_chosen_by_their_labels(
    tmp_path: Path,
) -> None:
    growing = GrowingBacklog(tmp_path, runs="uri=u")
    growing.arrive(*(post(number, number) for number in range(1, 5)))
    label_elsewhere(growing, 3)
    chosen, _ = growing.submit(only_labeled_by=OTHER, where="was_successfully_labeled")
    assert uris_of(chosen) == uris(1, first=3)


def label_elsewhere(eight_posts: GrowingBacklog, number: int) -> None:
    """Insert a label of this post under the other name."""
    with duckdb_file.open_database(eight_posts.bench.folder / "labels.duckdb") as database:
        table = label_tables.labels_table(OTHER)
        database.execute(
            f"CREATE TABLE IF NOT EXISTS {table} (uri VARCHAR, was_successfully_labeled BOOLEAN)"
        )
        database.execute(f"INSERT INTO {table} VALUES (?, true)", [run_builders.uri(number)])


@pytest.mark.parametrize(
    "other", ["nobody", "test"], ids=["without labels", "the configuration's own"]
)
def test_a_name_that_cannot_be_meant_is_rejected(eight_posts: GrowingBacklog, other: str) -> None:
    with pytest.raises(InputError):
        eight_posts.submit(only_labeled_by=other)
    assert len(eight_posts.runs()) == 1


@pytest.mark.parametrize("option", ["--only-labeled-by", "--retry-unlabelable"])
def test_an_empty_name_is_rejected(eight_posts: GrowingBacklog, option: str) -> None:
    """With an unset shell variable the whole backlog would be paid for."""
    assert exit_code(eight_posts.bench.submit(option, "")) == 2
    assert len(eight_posts.runs()) == 1


def test_a_name_is_rejected_without_a_database(tmp_path: Path) -> None:
    eight_posts = GrowingBacklog(tmp_path)
    eight_posts.arrive(post(1, 1))
    with pytest.raises(InputError):
        eight_posts.submit(only_labeled_by=OTHER)
    assert eight_posts.runs() == []


def test_an_unreadable_row_is_rejected_only_if_it_is_chosen(eight_posts: GrowingBacklog) -> None:
    lines = (eight_posts.bench.folder / "posts.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    for number in (0, 3):  # post 1, which nobody labeled, and post 4
        rows[number]["preprocessing_timestamp"] = "yesterday"
    path = eight_posts.bench.folder / "posts.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(InputError, match=r"row 4: .* is 'yesterday'"):
        eight_posts.submit(only_labeled_by=OTHER)
    rows[3]["preprocessing_timestamp"] = "2024-05-31-17:00:00"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert uris_of(eight_posts.submit(only_labeled_by=OTHER)[0]) == uris(4, first=3)


def test_a_dry_run_counts_the_posts_that_the_other_name_labeled(
    eight_posts: GrowingBacklog,
) -> None:
    config = ("--config", eight_posts.bench.path)
    dry = eight_posts.bench.document("submit", *config, "--only-labeled-by", OTHER, "--dry-run")
    assert (dry["posts"], dry["shards"], len(eight_posts.runs())) == (4, 2, 1)


def test_a_selection_accepts_the_former_spelling() -> None:
    former = Selection(limit=3, only_labelled_by=OTHER)
    assert former == Selection(limit=3, only_labeled_by=OTHER)
    assert replace(former, limit=4) == Selection(limit=4, only_labeled_by=OTHER)
    with pytest.raises(InputError):
        Selection(only_labeled_by=OTHER, only_labelled_by=OTHER)
