"""The audit finds every post, by the files and rows themselves and not by records of them."""

import shutil
from pathlib import Path

import duckdb
import pytest

from hpc.audit import PLACE
from hpc.report.backlog_audit import NOTES, TONES
from hpc.run.model import State
from pipeline.database.backlog_audit import Place
from tests.hpc.cli_bench import outcome
from tests.hpc.growing_backlog import GrowingBacklog, post
from tests.pipeline import run_builders


@pytest.fixture
def unlabeled(tmp_path: Path) -> GrowingBacklog:
    made = GrowingBacklog(tmp_path)
    made.arrive(*(post(number, number) for number in range(1, 9)))
    return made


def places(unlabeled: GrowingBacklog, code: int) -> dict[str, int]:
    """The places that have posts; they always add up to the backlog."""
    report = unlabeled.bench.document("audit", "--config", unlabeled.bench.path, code=code)
    assert list(report["places"]) == list(Place)
    assert sum(report["places"].values()) == report["expected"]
    assert report["whole"] is (code == 0)
    for _, counts in report["days"]:
        assert list(counts) == list(Place)
    assert sum(sum(counts.values()) for _, counts in report["days"]) == report["expected"]
    return {place: count for place, count in report["places"].items() if count}


def change(unlabeled: GrowingBacklog, sql: str) -> None:
    with duckdb.connect(str(unlabeled.bench.folder / "labels.duckdb")) as database:
        database.execute(sql)


def test_a_post_is_followed_from_new_to_labeled(unlabeled: GrowingBacklog) -> None:
    assert places(unlabeled, 0) == {"new": 8}
    run, _ = unlabeled.submit(limit=6)
    assert run
    assert places(unlabeled, 0) == {"in_flight": 6, "new": 2}
    unlabeled.publish(run, 0)
    assert places(unlabeled, 0) == {"not_gathered": 3, "in_flight": 3, "new": 2}
    unlabeled.gather(run)
    assert places(unlabeled, 0) == {"labelled": 3, "in_flight": 3, "new": 2}
    unlabeled.finish(run)
    assert places(unlabeled, 0) == {"labelled": 6, "new": 2}


def test_a_row_that_is_gone_from_the_database_is_lost_and_named(unlabeled: GrowingBacklog) -> None:
    run, _ = unlabeled.submit()
    assert run
    unlabeled.finish(run)
    change(unlabeled, f"DELETE FROM labels_test WHERE uri = '{run_builders.uri(3)}'")
    assert places(unlabeled, 1) == {"labelled": 7, "lost": 1}
    code, _ = outcome(unlabeled.bench.hpc("audit", "--config", unlabeled.bench.path))
    assert code == 1


def test_a_late_post_in_no_run_is_missing_until_it_is_backfilled(
    unlabeled: GrowingBacklog,
) -> None:
    run, _ = unlabeled.submit()
    assert run
    unlabeled.finish(run)
    unlabeled.arrive(post(20, 2), post(21, 30))
    assert places(unlabeled, 1) == {"labelled": 8, "late": 1, "new": 1}
    backfill, _ = unlabeled.submit(backfill=True)
    assert backfill
    assert places(unlabeled, 0) == {"labelled": 8, "in_flight": 2}
    unlabeled.finish(backfill)
    assert places(unlabeled, 0) == {"labelled": 10}


def test_audit_counts_duplicate_foreign_and_unproven_rows(unlabeled: GrowingBacklog) -> None:
    run, _ = unlabeled.submit()
    assert run
    unlabeled.finish(run)
    change(
        unlabeled, f"INSERT INTO labels_test FROM labels_test WHERE uri = '{run_builders.uri(1)}'"
    )
    report = unlabeled.bench.document("audit", "--config", unlabeled.bench.path, code=1)
    assert (report["duplicates"], report["foreign"], report["unproven"]) == (1, 0, 0)
    change(unlabeled, "CREATE TABLE once AS SELECT DISTINCT ON (uri) * FROM labels_test")
    change(unlabeled, "DELETE FROM labels_test; INSERT INTO labels_test FROM once; DROP TABLE once")
    unlabeled.posts = unlabeled.posts[1:]
    unlabeled.arrive()
    shutil.rmtree(run.folder)
    report = unlabeled.bench.document("audit", "--config", unlabeled.bench.path)
    assert (report["duplicates"], report["foreign"], report["unproven"]) == (0, 1, 8)
    assert report["runs_gone"] == [run.run_id]


def test_the_next_run_labels_posts_of_a_run_whose_folder_was_deleted(
    unlabeled: GrowingBacklog,
) -> None:
    run, _ = unlabeled.submit()
    assert run
    unlabeled.publish(run, 0)
    unlabeled.gather(run)
    shutil.rmtree(run.folder)
    report = unlabeled.bench.document("audit", "--config", unlabeled.bench.path)
    assert (report["runs_gone"], report["places"]["new"]) == ([run.run_id], 4)
    again, _ = unlabeled.submit()
    assert again
    assert again.manifest.posts == 4


def test_a_row_or_an_output_that_was_edited_is_counted(unlabeled: GrowingBacklog) -> None:
    run, _ = unlabeled.submit()
    assert run
    unlabeled.finish(run)
    change(unlabeled, f"UPDATE labels_test SET compound = 0.9 WHERE uri = '{run_builders.uri(2)}'")
    report = unlabeled.bench.document("audit", "--config", unlabeled.bench.path, code=1)
    assert (report["differing"], report["duplicates"], report["unproven"]) == (1, 0, 0)
    assert report["edited"] == [f"run {run.run_id}, shard 0"]
    printed = unlabeled.bench.hpc("audit", "--config", unlabeled.bench.path).stdout
    assert f"    run {run.run_id}, shard 0: the rows or the output were edited; " in printed


def test_an_unreadable_row_of_the_backlog_is_counted(unlabeled: GrowingBacklog) -> None:
    path = unlabeled.bench.folder / "posts.jsonl"
    with path.open("a") as lines:
        lines.write('{"uri": null, "text": "x", "preprocessing_timestamp": "2024-05-31"}\n')
        lines.write('{"uri": "at://u", "text": "x", "preprocessing_timestamp": "soon"}\n')
    report = unlabeled.bench.document("audit", "--config", unlabeled.bench.path, code=1)
    assert (report["unreadable"], report["expected"]) == (2, 9)


def test_copies_in_the_backlog_are_one_post(unlabeled: GrowingBacklog) -> None:
    unlabeled.arrive(post(1, 1), post(1, 2))
    report = unlabeled.bench.document("audit", "--config", unlabeled.bench.path)
    assert (report["rows"], report["copies"], report["expected"]) == (10, 2, 8)


def test_the_report_names_the_day_and_the_next_command(unlabeled: GrowingBacklog) -> None:
    run, _ = unlabeled.submit()
    assert run
    unlabeled.finish(run)
    unlabeled.arrive(post(20, 2))
    done = unlabeled.bench.hpc("audit", "--config", unlabeled.bench.path)
    assert done.stdout.splitlines() == [
        f"{unlabeled.bench.folder}/posts.jsonl: 9 rows, 0 duplicates, "
        "9 posts expected under the name test",
        "",
        "  labelled  8",
        "  late      1  older than the watermark, and in no run: hpc submit --backfill",
        "  sum       9",
        "",
        "days with unlabeled posts:",
        "  2024-05-31  labelled 8, late 1",
        "",
        "needs attention: 1 late post in no run",
    ]


def test_the_description_of_a_post_names_run_shard_attempt_and_reason(
    unlabeled: GrowingBacklog,
) -> None:
    unlabeled.bench.config(posts=4, retry={"max_attempts": 1})
    unlabeled.bench.script(1, "fail")
    assert unlabeled.bench.submit().returncode == 1
    run = unlabeled.bench.runs()[0].name
    audit = ("audit", "--config", unlabeled.bench.path)
    labeled = unlabeled.bench.document(*audit, "--post", run_builders.uri(0))["story"]
    assert run in "".join(labeled)
    failed = unlabeled.bench.document(*audit, "--post", run_builders.uri(3), code=1)["story"]
    assert [part for part in (run, "shard 1", "attempt 1", "this was scripted")
            if part not in "".join(failed)] == []  # fmt: skip
    stranger = unlabeled.bench.document(*audit, "--post", "at://nobody", code=1)["story"]
    assert run not in "".join(stranger)


def test_keys_can_be_overridden_as_for_submit(unlabeled: GrowingBacklog) -> None:
    """Without --set, a run that was submitted with it could not be audited."""
    arguments = ("--config", unlabeled.bench.path, "--set", "name=other")
    unlabeled.bench.config(posts=4)
    assert unlabeled.bench.hpc("submit", *arguments).returncode == 0
    assert unlabeled.bench.document("audit", *arguments)["places"]["labelled"] == 4
    assert unlabeled.bench.document("audit", "--config", unlabeled.bench.path)["places"]["new"] == 4


def test_the_report_names_the_run_that_a_command_is_about(unlabeled: GrowingBacklog) -> None:
    """Without it, the command would be about the newest run, perhaps of another name."""
    unlabeled.bench.config(
        posts=4, cluster={"max_parallel": 1}
    )  # a rejection stops the other shard too
    unlabeled.bench.script(1, "refuse")
    assert unlabeled.bench.submit().returncode == 1
    (run,) = unlabeled.bench.runs()
    assert unlabeled.bench.submit("--set", "name=other").returncode == 0
    printed = unlabeled.bench.hpc("audit", "--config", unlabeled.bench.path).stdout.splitlines()
    assert f"  blocked   2  in a shard that needs your attention: hpc status {run}" in printed


def test_every_place_of_a_post_has_a_note_and_a_color() -> None:
    assert set(NOTES) == set(TONES) == set(Place)


def test_every_state_except_done_says_where_its_posts_are() -> None:
    assert set(PLACE) == set(State) - {State.DONE}
