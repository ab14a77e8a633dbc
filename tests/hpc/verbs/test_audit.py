"""The audit finds every post, by the files and rows themselves and not by records of them."""

import shutil
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from hpc.display.backlog_audit import NOTES, TONES
from hpc.reconcile.audit_files import PLACE
from hpc.run.model.shards import State
from pipeline.database.places.place import Place
from pipeline.model import Answer
from pipeline.run_files.manifest import output_path, shard_path
from tests.hpc.cli_bench import outcome
from tests.hpc.growing_backlog import GrowingBacklog, post
from tests.hpc.snapshot import BacklogSnapshot
from tests.pipeline import run_builders
from tests.pipeline.run_builders import SourcePost


def eight_posts(folder: Path) -> GrowingBacklog:
    made = GrowingBacklog(folder)
    made.arrive(*(post(number, number) for number in range(1, 9)))
    return made


@pytest.fixture
def unlabeled(tmp_path: Path) -> GrowingBacklog:
    return eight_posts(tmp_path)


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
    assert places(unlabeled, 3) == {"new": 8}
    run, _ = unlabeled.submit(limit=6)
    assert run
    assert places(unlabeled, 1) == {"planned": 6, "new": 2}
    unlabeled.publish(run, 0)
    assert places(unlabeled, 1) == {"not_gathered": 3, "planned": 3, "new": 2}
    unlabeled.gather(run)
    assert places(unlabeled, 1) == {"labelled": 3, "planned": 3, "new": 2}
    unlabeled.publish(run)
    assert places(unlabeled, 3) == {"labelled": 3, "not_gathered": 3, "new": 2}
    unlabeled.finish(run)
    assert places(unlabeled, 3) == {"labelled": 6, "new": 2}
    rest, _ = unlabeled.submit()
    assert rest
    unlabeled.finish(rest)
    assert places(unlabeled, 0) == {"labelled": 8}


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
    assert places(unlabeled, 1) == {"labelled": 8, "planned": 2}
    unlabeled.finish(backfill)
    assert places(unlabeled, 0) == {"labelled": 10}


def test_late_posts_lost_labels_and_reasons_are_told_apart(unlabeled: GrowingBacklog) -> None:
    run, _ = unlabeled.submit()
    assert run
    run_builders.publish_shard(
        run.folder, run.manifest, 0, answer=lambda uri: Answer(uri, reason="no_text: of one day")
    )
    unlabeled.finish(run)
    for number in (3, 6):  # one with a reason, one with labels
        change(unlabeled, f"DELETE FROM labels_test WHERE uri = '{run_builders.uri(number)}'")
    unlabeled.arrive(post(20, 3), post(21, 6), post(22, 30))
    report = report_of(unlabeled, 1)
    assert {place: count for place, count in report["places"].items() if count} == {
        "labelled": 3, "unlabelable": 3, "lost": 2, "late": 2, "new": 1,
    }  # fmt: skip
    assert report["reasons"] == {"no_text": 3}
    # Restored from the output, a lost label is not paid for again.
    assert unlabeled.bench.hpc("gather", "--rebuild", run.folder).returncode == 0
    assert places(unlabeled, 1) == {"labelled": 4, "unlabelable": 4, "late": 2, "new": 1}
    backfill, _ = unlabeled.submit(backfill=True)
    assert backfill
    assert backfill.manifest.posts == 3


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
    report = unlabeled.bench.document("audit", "--config", unlabeled.bench.path, code=3)
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
    report = unlabeled.bench.document("audit", "--config", unlabeled.bench.path, code=3)
    assert (report["rows"], report["copies"], report["expected"]) == (10, 2, 8)


def test_the_report_names_the_day_and_the_next_command(unlabeled: GrowingBacklog) -> None:
    run, _ = unlabeled.submit()
    assert run
    unlabeled.finish(run)
    unlabeled.arrive(post(20, 2))
    path = unlabeled.bench.path
    done = unlabeled.bench.hpc("audit", "--config", path, "--set", "sharding.shards=3")
    command = f"hpc submit --config {path} --set sharding.shards=3 --backfill"
    assert done.stdout.splitlines() == [
        f"{unlabeled.bench.folder}/posts.jsonl: 9 rows, 0 duplicates, "
        "9 posts expected under the name test",
        "",
        "  labeled  8",
        f"  late     1  older than the watermark, and in no run: {command}",
        "  sum      9",
        "",
        "days with unlabeled posts:",
        "  2024-05-31  labeled 8, late 1",
        "",
        "needs attention: 1 post is late and in no run",
    ]


def test_of_many_days_with_unlabeled_posts_the_first_and_the_last_are_shown(
    unlabeled: GrowingBacklog,
) -> None:
    start = datetime(2024, 6, 1)
    rows = [
        SourcePost(f"at://late/{day}", "text", start + timedelta(days=day)) for day in range(40)
    ]
    unlabeled.bench.backlog(rows)
    done = unlabeled.bench.hpc("audit", "--config", unlabeled.bench.path)
    listed = done.stdout.partition("days with unlabeled posts:\n")[2].splitlines()
    days = [line.split()[0] for line in listed if line.startswith("  ")]
    assert days[:2] == ["2024-06-01", "2024-06-02"]
    assert days[6] == "…"
    assert days[-1] == "2024-07-10"
    assert len(days) == 13
    report = unlabeled.bench.document(
        "audit", "--config", unlabeled.bench.path, code=done.returncode
    )
    assert len([day for day, _ in report["days"]]) == 40


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


def test_the_description_of_a_post_that_was_never_sent_names_nobody_who_answered(
    unlabeled: GrowingBacklog,
) -> None:
    unlabeled.bench.config(posts=1, backlog={"min_text_length": 1_000})
    assert unlabeled.bench.submit().returncode == 1
    audit = ("audit", "--config", unlabeled.bench.path)
    _, row, *_ = unlabeled.bench.document(*audit, "--post", run_builders.uri(0))["story"]
    assert "text_too_short: it was never sent" in row, row


def test_keys_can_be_overridden_as_for_submit(unlabeled: GrowingBacklog) -> None:
    """Without --set, a run that was submitted with it could not be audited."""
    arguments = ("--config", unlabeled.bench.path, "--set", "name=other")
    unlabeled.bench.config(posts=4)
    assert unlabeled.bench.hpc("submit", *arguments).returncode == 0
    assert unlabeled.bench.document("audit", *arguments)["places"]["labelled"] == 4
    report = unlabeled.bench.document("audit", "--config", unlabeled.bench.path, code=3)
    assert report["places"]["new"] == 4


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
    assert f"  blocked  2  in a shard that needs your attention: hpc status {run}" in printed


def test_every_place_of_a_post_has_a_note_and_a_color() -> None:
    assert set(NOTES) == set(TONES) == set(Place)


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory: pytest.TempPathFactory) -> BacklogSnapshot:
    made = eight_posts(tmp_path_factory.mktemp("finished"))
    run, _ = made.submit()
    assert run
    made.finish(run)
    return BacklogSnapshot(made)


@pytest.fixture
def finished(snapshot: BacklogSnapshot) -> GrowingBacklog:
    """All posts are labeled and gathered, by one run of two shards."""
    return snapshot.restore()


def report_of(backlog: GrowingBacklog, code: int) -> dict[str, Any]:
    report = backlog.bench.document("audit", "--config", backlog.bench.path, code=code)
    assert sum(report["places"].values()) == report["expected"]
    return report


@pytest.mark.parametrize(
    "claim",
    [
        "run_id = 'nobody'",
        "shard_index = 7",
        "shard_index = 1 - shard_index",
        "run_id = upper(run_id)",
    ],
)
def test_a_row_that_claims_an_output_which_does_not_hold_it_differs(
    finished: GrowingBacklog, claim: str
) -> None:
    change(finished, f"UPDATE labels_test SET {claim} WHERE uri = '{run_builders.uri(2)}'")
    report = report_of(finished, 1)
    assert (report["differing"], report["places"]["labelled"]) == (1, 8)


def test_a_row_that_was_invented_differs(finished: GrowingBacklog) -> None:
    change(
        finished,
        "INSERT INTO labels_test SELECT * REPLACE ('at://invented' AS uri) FROM labels_test "
        f"WHERE uri = '{run_builders.uri(2)}'",
    )
    report = report_of(finished, 1)
    assert (report["differing"], report["foreign"]) == (1, 1)


def test_an_altered_row_number_or_column_of_an_output_differs(finished: GrowingBacklog) -> None:
    """Its receipt is right, and nothing but the rows show it."""
    run = finished.runs()[0]
    path = output_path(run.folder, 0)
    table = pq.read_table(path, partitioning=None)
    index = table.column_names.index("compound")
    altered = table.set_column(index, "compound", pc.negate(table["compound"]))
    pq.write_table(altered, path, write_page_checksum=True)
    report = report_of(finished, 1)
    assert (report["not_compared"], len(report["unreadable_files"])) == (4, 1)
    assert str(path) in report["unreadable_files"][0]


def test_columns_that_only_other_runs_have_do_not_make_rows_differ(
    finished: GrowingBacklog,
) -> None:
    change(finished, "ALTER TABLE labels_test ADD COLUMN another DOUBLE")
    assert report_of(finished, 0)["differing"] == 0
    change(finished, f"UPDATE labels_test SET another = 1 WHERE uri = '{run_builders.uri(2)}'")
    assert report_of(finished, 1)["differing"] == 1


def test_rows_whose_output_is_gone_from_the_folder_of_their_run_are_counted(
    finished: GrowingBacklog,
) -> None:
    output_path(finished.runs()[0].folder, 1).unlink()
    report = report_of(finished, 1)
    assert (report["outputs_gone"], report["unproven"], report["differing"]) == (4, 0, 0)


def overwrite_a_page(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[4:400] = b"\xff" * 396
    path.write_bytes(content)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


def replace_by_a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("damage", [overwrite_a_page, cut, replace_by_a_folder])
def test_an_output_that_is_damaged_after_it_was_gathered_is_named_and_the_rest_is_audited(
    finished: GrowingBacklog, damage: Callable[[Path], None]
) -> None:
    path = output_path(finished.runs()[0].folder, 0)
    damage(path)
    report = report_of(finished, 1)
    assert report["places"]["labelled"] == 8
    assert [str(path) in problem for problem in report["unreadable_files"]] == [True]
    assert report["not_compared"] + report["outputs_gone"] == 4
    assert report["differing"] == 0


@pytest.mark.parametrize("damage", [Path.unlink, overwrite_a_page, cut, replace_by_a_folder])
def test_the_input_of_an_unfinished_shard_that_cannot_be_read_is_named_and_the_rest_is_audited(
    unlabeled: GrowingBacklog, damage: Callable[[Path], None]
) -> None:
    run, _ = unlabeled.submit(limit=6)
    assert run
    unlabeled.publish(run, 0)
    path = shard_path(run.folder, 1)
    damage(path)
    report = report_of(unlabeled, 1)
    assert [str(path) in problem for problem in report["unreadable_files"]] == [True]
    places = {place: count for place, count in report["places"].items() if count}
    assert places == {"not_gathered": 3, "unreadable": 3, "new": 2}


@pytest.mark.parametrize("damage", [Path.unlink, overwrite_a_page, cut])
def test_the_description_of_a_post_goes_on_past_files_that_cannot_be_read(
    finished: GrowingBacklog, damage: Callable[[Path], None]
) -> None:
    run = finished.runs()[0]
    path = shard_path(run.folder, 1)
    damage(path)
    audit = ("audit", "--config", finished.bench.path, "--post")
    first = finished.bench.document(*audit, run_builders.uri(1))["story"]
    assert f"run {run.run_id} has it in shard 0" in "".join(first)
    change(finished, f"DELETE FROM labels_test WHERE uri = '{run_builders.uri(8)}'")
    last = finished.bench.document(*audit, run_builders.uri(8), code=1)["story"]
    assert str(path) in "".join(last)
    assert "it is in no run" not in "".join(last)


def test_posts_of_a_run_without_a_manifest_are_in_no_other_place(
    unlabeled: GrowingBacklog,
) -> None:
    run, _ = unlabeled.submit(limit=6)
    assert run
    (run.folder / "manifest.json").unlink()
    report = report_of(unlabeled, 1)
    assert (report["places"]["unreadable"], report["places"]["new"]) == (6, 2)
    assert str(run.folder) in report["unreadable_files"][0]


def test_a_run_whose_records_are_damaged_does_not_stop_the_audit_of_others(
    finished: GrowingBacklog,
) -> None:
    finished.arrive(post(20, 20), post(21, 21))
    run, _ = finished.submit()
    assert run
    (run.folder / "submissions" / "0001.json").write_text("{")
    report = report_of(finished, 1)
    assert (report["places"]["labelled"], report["places"]["unreadable"]) == (8, 2)
    assert run.run_id in report["unreadable_files"][0]


def test_failed_and_blocked_posts_are_told_apart_and_need_a_person(
    unlabeled: GrowingBacklog,
) -> None:
    unlabeled.bench.config(posts=4, retry={"max_attempts": 1})
    unlabeled.bench.script(1, "fail")
    assert unlabeled.bench.submit().returncode == 1
    report = report_of(unlabeled, 1)
    stuck = report["places"]["blocked"] + report["places"]["failed"]
    assert (report["places"]["labelled"], stuck, report["whole"]) == (2, 2, False)
    printed = unlabeled.bench.hpc("audit", "--config", unlabeled.bench.path).stdout
    assert "nothing is missing" not in printed


def test_posts_from_the_future_are_counted_and_are_not_late(unlabeled: GrowingBacklog) -> None:
    unlabeled.arrive(post(30, 10**6))
    run, _ = unlabeled.submit()
    assert run
    unlabeled.finish(run)
    unlabeled.arrive(post(31, 40))
    report = report_of(unlabeled, 3)
    assert (report["future"], report["places"]["new"], report["places"]["late"]) == (1, 1, 0)


def test_many_outputs_are_compared_in_several_queries(
    finished: GrowingBacklog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.database.compare_outputs.FILES_PER_QUERY", 1)
    monkeypatch.setattr("pipeline.database.compare_outputs.ROWS_IN_MEMORY", 1)
    change(finished, "UPDATE labels_test SET compound = 0.9 WHERE shard_index = 1")
    assert report_of(finished, 1)["differing"] == 4


def test_every_state_except_done_says_where_its_posts_are() -> None:
    assert set(PLACE) == set(State) - {State.DONE}
