"""With --only-labelled-by a run labels only what another name has labelled, and no post is lost."""

import json
from pathlib import Path

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hpc.run.model import Run
from pipeline.backlog.select import BacklogCounts
from pipeline.database import duckdb_file, label_tables
from pipeline.errors import InputError
from pipeline.model import Answer
from tests.hpc.cli_bench import exit_code, uris
from tests.hpc.growing_backlog import HOUR, Lab, post
from tests.pipeline import run_builders
from tests.pipeline.run_builders import FIRST_TIME

OTHER = "perspective"


def configure(lab: Lab, name: str = "test", **backlog: object) -> None:
    folder = lab.bench.folder
    lab.bench.config(
        name=name,
        classifier={"type": "valence"},
        backlog=backlog,
        storage={"run_root": str(folder / "runs"), "database": str(folder / "labels.duckdb")},
    )


def all_but_post_2(at_uri: str) -> Answer:
    if at_uri == run_builders.uri(2):
        return Answer(at_uri, reason="refused: it would not")
    return Answer(at_uri, {"compound": 0.5, "valence_label": "positive"})


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    """Another name has labelled posts 3 to 6 of 8, one per hour, and could not label post 2."""
    lab = Lab(tmp_path)
    configure(lab, OTHER, where=f"uri BETWEEN '{run_builders.uri(2)}' AND '{run_builders.uri(6)}'")
    lab.arrive(*(post(number, number) for number in range(1, 9)))
    run, _ = lab.submit()
    assert run
    for shard in run.manifest.shards:
        run_builders.publish_shard(run.folder, run.manifest, shard.index, answer=all_but_post_2)
    lab.gather(run)
    configure(lab)
    return lab


def uris_of(run: Run | None) -> list[str]:
    """The uris of all posts of a run, oldest first."""
    assert run
    shards = (run_builders.read_shard(run.folder, shard.index) for shard in run.manifest.shards)
    return [uri for shard in shards for uri in shard["uri"].to_pylist()]


def test_a_run_takes_only_posts_that_the_other_name_labelled_successfully(lab: Lab) -> None:
    run, draft = lab.submit(only_labelled_by=OTHER)
    assert uris_of(run) == uris(4, first=3)
    assert draft.counts == BacklogCounts(
        rows=8, duplicates=0, excluded=0, over_limit=0, posts=4, not_chosen=4
    )  # fmt: skip
    assert run and run.manifest.only_labelled_by == OTHER


def test_labelled_posts_and_posts_of_unfinished_runs_are_excluded(lab: Lab) -> None:
    first, _ = lab.submit(only_labelled_by=OTHER, limit=1)
    assert uris_of(first) == uris(1, first=3)
    second, draft = lab.submit(only_labelled_by=OTHER, limit=2)
    assert uris_of(second) == uris(2, first=4)
    assert draft.counts == BacklogCounts(
        rows=8, duplicates=0, excluded=1, over_limit=1, posts=2, not_chosen=4
    )  # fmt: skip


def test_a_later_plain_submit_takes_all_other_posts_including_older_ones(lab: Lab) -> None:
    chosen, _ = lab.submit(only_labelled_by=OTHER)
    assert chosen
    lab.finish(chosen)
    assert lab.watermark() is None
    rest, draft = lab.submit()
    assert draft.since is None
    assert uris_of(rest) == [*uris(2, first=1), *uris(2, first=7)]
    assert rest
    lab.finish(rest)
    assert lab.watermark() == FIRST_TIME + 8 * HOUR
    assert lab.labelled() == dict.fromkeys(uris(8, first=1), 1)


def test_the_watermark_of_plain_runs_does_not_move(lab: Lab) -> None:
    plain, _ = lab.submit(limit=2)
    assert plain
    lab.finish(plain)
    assert lab.watermark() == FIRST_TIME + 2 * HOUR
    chosen, _ = lab.submit(only_labelled_by=OTHER)
    assert chosen
    lab.finish(chosen)
    assert lab.watermark() == FIRST_TIME + 2 * HOUR
    rest, draft = lab.submit()
    assert draft.since == FIRST_TIME + 2 * HOUR
    assert uris_of(rest) == uris(2, first=7)


def test_the_run_holds_the_watermark_back_until_it_is_gathered(lab: Lab) -> None:
    chosen, _ = lab.submit(only_labelled_by=OTHER)
    rest, _ = lab.submit()
    assert chosen and rest
    lab.finish(rest)
    assert lab.watermark() == FIRST_TIME + 2 * HOUR
    lab.finish(chosen)
    assert lab.watermark() == FIRST_TIME + 8 * HOUR


def test_posts_from_before_the_watermark_need_no_backfill(lab: Lab) -> None:
    plain, _ = lab.submit(backfill=True)
    assert plain
    lab.finish(plain)
    lab.arrive(post(20, 1))
    configure(lab, OTHER, where=f"uri = '{run_builders.uri(20)}'")
    other, _ = lab.submit(backfill=True)
    assert other
    lab.finish(other)
    configure(lab)
    assert lab.submit()[0] is None
    chosen, _ = lab.submit(only_labelled_by=OTHER)
    assert uris_of(chosen) == uris(1, first=20)


def test_supersede_labels_only_these_posts_again(lab: Lab) -> None:
    plain, _ = lab.submit()
    assert plain
    lab.finish(plain)
    configure(lab, min_text_length=2)
    again, _ = lab.submit(supersede=True, only_labelled_by=OTHER)
    assert uris_of(again) == uris(4, first=3)
    assert again
    lab.finish(again)
    assert lab.labelled() == dict.fromkeys(uris(8, first=1), 1)
    assert lab.query("SELECT count(*) FROM superseded_test") == [(4,)]


def test_a_rebuilt_database_still_knows_which_runs_chose_their_posts(lab: Lab) -> None:
    chosen, _ = lab.submit(only_labelled_by=OTHER)
    assert chosen
    lab.finish(chosen)
    assert lab.bench.hpc("gather", chosen.folder, "--rebuild").returncode == 0
    assert lab.query("SELECT name, only_labelled_by FROM runs ORDER BY name") == [
        (OTHER, None),
        ("test", OTHER),
    ]
    assert lab.watermark() is None


def test_an_older_database_without_such_runs_keeps_its_watermark(lab: Lab) -> None:
    plain, _ = lab.submit(limit=2)
    assert plain
    lab.finish(plain)
    with duckdb.connect(str(lab.bench.folder / "labels.duckdb")) as database:
        database.execute("DROP VIEW watermarks; ALTER TABLE runs DROP COLUMN only_labelled_by")
    rest, draft = lab.submit()
    assert draft.since == FIRST_TIME + 2 * HOUR
    assert rest
    lab.finish(rest)
    assert lab.watermark() == FIRST_TIME + 8 * HOUR


def test_the_audit_reports_the_other_posts_as_new_and_not_late(lab: Lab) -> None:
    chosen, _ = lab.submit(only_labelled_by=OTHER)
    assert chosen
    lab.finish(chosen)
    found = lab.bench.document("audit", "--config", lab.bench.path)
    assert {place: n for place, n in found["places"].items() if n} == {"labelled": 4, "new": 4}


STEPS = st.one_of(
    st.tuples(st.just("arrive"), st.integers(1, 3)),
    st.tuples(st.just("choose"), st.integers(0, 8)),
    st.tuples(st.just("submit"), st.sampled_from([None, 1, 2])),
    st.tuples(st.just("finish"), st.integers(0, 5)),
)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(steps=st.lists(STEPS, max_size=6))
def test_plain_submits_label_every_post_whatever_was_chosen_before(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int | None]]
) -> None:
    lab = Lab(tmp_path_factory.mktemp("lab"))
    lab.arrive(*(post(number, number) for number in range(4)))
    for step, value in steps:
        if step == "submit" or value is None:
            lab.submit(limit=value)
        elif step == "arrive":
            first = len(lab.posts)
            lab.arrive(*(post(number, number) for number in range(first, first + value)))
        elif step == "choose":
            label_elsewhere(lab, value)
            chosen, _ = lab.submit(only_labelled_by=OTHER)
            if chosen and value % 2:
                lab.finish(chosen)
        else:
            for run in lab.runs()[value : value + 1]:
                lab.finish(run)
    for _ in range(2):
        for run in lab.runs():
            lab.finish(run)
        lab.submit()
    assert lab.labelled() == dict.fromkeys(uris(len(lab.posts)), 1)


def label_elsewhere(lab: Lab, number: int) -> None:
    """Insert a label of this post under the other name."""
    with duckdb_file.opened(lab.bench.folder / "labels.duckdb") as database:
        table = label_tables.labels_table(OTHER)
        database.execute(
            f"CREATE TABLE IF NOT EXISTS {table} (uri VARCHAR, was_successfully_labeled BOOLEAN)"
        )
        database.execute(f"INSERT INTO {table} VALUES (?, true)", [run_builders.uri(number)])


@pytest.mark.parametrize(
    "other", ["nobody", "test"], ids=["without labels", "the configuration's own"]
)
def test_a_name_that_cannot_be_meant_is_rejected(lab: Lab, other: str) -> None:
    with pytest.raises(InputError):
        lab.submit(only_labelled_by=other)
    assert len(lab.runs()) == 1


@pytest.mark.parametrize("option", ["--only-labelled-by", "--retry-unlabelable"])
def test_an_empty_name_is_rejected(lab: Lab, option: str) -> None:
    """With an unset shell variable the whole backlog would be paid for."""
    assert exit_code(lab.bench.submit(option, "")) == 2
    assert len(lab.runs()) == 1


def test_a_name_is_rejected_without_a_database(tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    lab.arrive(post(1, 1))
    with pytest.raises(InputError):
        lab.submit(only_labelled_by=OTHER)
    assert lab.runs() == []


def test_an_unreadable_row_is_rejected_only_if_it_is_chosen(lab: Lab) -> None:
    lines = (lab.bench.folder / "posts.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    for number in (0, 3):  # post 1, which nobody labelled, and post 4
        rows[number]["preprocessing_timestamp"] = "yesterday"
    path = lab.bench.folder / "posts.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(InputError, match=r"row 4: .* is 'yesterday'"):
        lab.submit(only_labelled_by=OTHER)
    rows[3]["preprocessing_timestamp"] = "2024-05-31-17:00:00"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert uris_of(lab.submit(only_labelled_by=OTHER)[0]) == uris(4, first=3)


def test_a_dry_run_counts_the_posts_that_the_other_name_labelled(lab: Lab) -> None:
    config = ("--config", lab.bench.path)
    dry = lab.bench.document("submit", *config, "--only-labelled-by", OTHER, "--dry-run")
    assert (dry["posts"], dry["shards"], len(lab.runs())) == (4, 2, 1)
