"""Another engine labels a run that `submit --plan-only` made, and `adopt` takes its answers."""

import errno
import hashlib
import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.hpc.adoption.engine import (
    EXTERNAL,
    answer,
    hand_over,
    label,
    rows_of,
    tasks,
    write_lines,
    write_parquet,
)
from tests.hpc.cli_bench import Bench, outcome
from tests.pipeline import run_builders


@pytest.fixture
def run(bench: Bench) -> Path:
    """The folder of a run of 30 posts in two shards, which another engine labels."""
    bench.config(30, classifier=EXTERNAL)
    return hand_over(bench)


def test_a_planned_run_has_all_that_another_engine_needs(bench: Bench, run: Path) -> None:
    columns = {
        "uri": "string", "toxic": "bool", "score": "double", "side": "string", "stance": "int64",
        "note": "string",
    }  # fmt: skip
    assert [(task["shard"], task["posts"], task["columns"]) for task in tasks(run)] == [
        (0, 15, columns),
        (1, 15, columns),
    ]
    for task in tasks(run):
        content = (run / task["input"]).read_bytes()
        assert hashlib.sha256(content).hexdigest() == task["sha256"]
        assert (run / task["output"]).parent.is_dir()
    assert bench.document("status", code=1)["state"] == "planned"
    assert not list((run / "submissions").iterdir())


def test_adopted_answers_are_labels_like_any_other(bench: Bench, run: Path) -> None:
    rows = label(run)
    write_parquet(run / "answers" / "all.parquet", rows)
    document = bench.document("adopt", run / "answers", "--engine", "made-up 3")
    assert (document["new_answers"], document["shards_published"]) == (30, [0, 1])
    assert rows_of(bench) == {row["uri"]: {**row, "reason": None} for row in rows}
    assert bench.document("status")["state"] == "complete"
    assert bench.hpc("audit", "--config", bench.path).returncode == 0
    provenance = bench.query("SELECT DISTINCT run_id, attempt, model FROM labels_test")
    assert provenance == [(run.name, 1, "test-model 1")]
    record = json.loads((run / "adoptions" / "0001.json").read_text())
    (file,) = record["files"]
    content = (run / "answers" / "all.parquet").read_bytes()
    assert (record["engine"], file["sha256"], file["rows"]) == (
        "made-up 3",
        hashlib.sha256(content).hexdigest(),
        30,
    )
    before = bench.query("SELECT * FROM labels_test ORDER BY uri")
    assert bench.hpc("gather", "--rebuild").returncode == 0
    assert bench.query("SELECT * FROM labels_test ORDER BY uri") == before


def test_adopting_again_adds_nothing(bench: Bench, run: Path) -> None:
    write_lines(run / "answers" / "a.jsonl.gz", list(label(run)))
    bench.document("adopt", run / "answers")
    outputs = [path.read_bytes() for path in sorted((run / "outputs").iterdir())]
    document = bench.document("adopt", run / "answers")
    assert (document["adoption"], document["new_answers"], document["rows_added"]) == (None, 0, 0)
    assert document["adopted_before"] == 30
    assert [path.read_bytes() for path in sorted((run / "outputs").iterdir())] == outputs
    assert len(list((run / "adoptions").iterdir())) == 1


def test_answers_that_come_later_complete_a_shard(bench: Bench, run: Path) -> None:
    rows = label(run)
    first, second = bench.folder / "first.parquet", bench.folder / "second.jsonl"
    write_parquet(first, rows[:20])
    write_lines(second, list(rows[20:]))
    document = bench.document("adopt", first, code=3)
    assert (document["shards_published"], document["posts_waiting"]) == ([0], 10)
    now = bench.document("status", code=1)
    assert [(shard["state"], shard["posts_done"]) for shard in now["shards"]] == [
        ("done", 15),
        ("planned", 5),
    ]
    assert bench.document("adopt", second)["shards_published"] == [1]
    assert rows_of(bench) == {row["uri"]: {**row, "reason": None} for row in rows}
    assert bench.query("SELECT DISTINCT attempt FROM labels_test ORDER BY 1") == [(1,), (2,)]
    assert not list((run / "work").glob("*/*.parquet"))


def test_a_dry_run_checks_everything_and_writes_nothing(bench: Bench, run: Path) -> None:
    write_parquet(run / "answers" / "a.parquet", label(run)[:20])
    before = bench.listing()
    document = bench.document("adopt", run / "answers", "--dry-run", code=3)
    assert (document["shards_published"], document["posts_waiting"]) == ([0], 10)
    assert document["adoption"] is None
    assert bench.listing() == before


def test_posts_without_an_answer_get_a_reason_if_a_person_says_so(bench: Bench, run: Path) -> None:
    rows = label(run)
    given_up = {row["uri"] for row in rows[25:]}
    refused = {"uri": rows[0]["uri"], "reason": "refusal: not for me"}
    write_lines(run / "answers" / "a.jsonl", [refused, *rows[1:25]])
    document = bench.document("adopt", run / "answers", "--missing", "not_labeled")
    assert (document["posts_given_up"], document["posts_waiting"]) == (5, 0)
    reasons = bench.query("SELECT uri, reason FROM labels_test WHERE reason IS NOT NULL")
    assert dict(reasons) == {
        refused["uri"]: refused["reason"],
        **dict.fromkeys(given_up, "not_labeled"),
    }
    again = hand_over(bench, "--retry-unlabelable", "not_labeled")
    assert {row["uri"] for row in label(again)} == given_up


def test_the_engine_that_an_earlier_adoption_named_counts_for_later_ones(
    bench: Bench, run: Path
) -> None:
    rows = label(run)
    write_lines(run / "answers" / "a.jsonl", rows[:20])
    plan = bench.hpc("adopt", run / "answers", "--dry-run")
    assert "add --engine" in plan.stdout
    assert bench.document("adopt", run / "answers", "--engine", "made-up 3", code=3)
    plan = bench.hpc("adopt", run / "answers", "--missing", "not_labeled", "--dry-run")
    assert "10 posts without an answer would get the reason not_labeled" in plan.stdout
    assert "\nthe engine is made-up 3, as adoption 1 said" in plan.stdout
    assert "add --engine" not in plan.stdout
    document = bench.document("adopt", run / "answers", "--missing", "not_labeled")
    assert document["engine"] == "made-up 3"
    record = json.loads((run / "adoptions" / "0002.json").read_text())
    assert record["engine"] == "made-up 3"


def test_answers_that_come_late_replace_only_the_reason_for_missing_ones(
    bench: Bench, run: Path
) -> None:
    rows = label(run)
    refused = {"uri": rows[0]["uri"], "reason": "refusal"}
    write_lines(run / "answers" / "a.jsonl", [refused, *rows[1:25]])
    bench.document("adopt", run / "answers", "--missing", "not_labeled")
    stamps = dict(bench.query("SELECT uri, label_timestamp FROM labels_test"))
    late = write_lines(bench.folder / "late.jsonl", rows[20:28])
    code, said = outcome(bench.hpc("adopt", late, run))
    assert (code, "--missing not_labeled" in said) == (2, True), said
    lost = write_lines(bench.folder / "lost.jsonl", rows[:1])
    assert bench.hpc("adopt", lost, run, "--missing", "not_labeled").returncode == 2
    assert bench.hpc("adopt", lost, run, "--missing", "refusal").returncode == 2
    before = bench.listing()
    plan = bench.document("adopt", late, run, "--missing", "not_labeled", "--dry-run")
    assert (plan["reasons_replaced"], plan["posts_given_up"]) == (3, 2)
    assert bench.listing() == before
    done = bench.document("adopt", late, run, "--missing", "not_labeled")
    assert (done["reasons_replaced"], done["new_answers"]) == (3, 3)
    assert done["shards_published"] == plan["shards_published"]
    found = rows_of(bench)
    assert found[refused["uri"]]["reason"] == "refusal"
    assert {at: row["reason"] for at, row in found.items() if row["reason"]} == {
        refused["uri"]: "refusal",
        **{row["uri"]: "not_labeled" for row in rows[28:]},
    }
    assert {row["uri"]: {**row, "reason": None} for row in rows[1:28]}.items() <= found.items()
    now = dict(bench.query("SELECT uri, label_timestamp FROM labels_test"))
    own = {row["uri"] for row in rows[:25]}
    assert {at: now[at] for at in own} == {at: stamps[at] for at in own}
    kept = [path.name for path in (run / "outputs").glob("*.replaced-*")]
    assert len(kept) == len(done["shards_published"])
    again = bench.document("adopt", late, run, "--missing", "not_labeled")
    assert (again["reasons_replaced"], again["shards_published"]) == (0, [])


def test_a_reason_of_the_engine_that_is_the_word_for_missing_answers_is_replaced_too(
    bench: Bench, run: Path
) -> None:
    """The page on other engines says so, and what to do about it."""
    rows = label(run)
    same_word = {"uri": rows[0]["uri"], "reason": "not_labeled"}
    write_lines(run / "answers" / "a.jsonl", [same_word, *rows[1:25]])
    bench.document("adopt", run / "answers", "--missing", "not_labeled")
    late = write_lines(bench.folder / "late.jsonl", rows[:1])
    assert bench.document("adopt", late, run, "--missing", "not_labeled")["reasons_replaced"] == 1
    assert rows_of(bench)[rows[0]["uri"]]["reason"] is None


def test_a_late_adoption_that_dies_is_continued_by_the_same_command(
    bench: Bench, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    rows = label(run)
    write_lines(run / "answers" / "a.jsonl", rows[:25])
    bench.document("adopt", run / "answers", "--missing", "not_labeled")
    late = write_lines(bench.folder / "late.jsonl", rows[25:])
    with monkeypatch.context() as patch:
        patch.setattr("hpc.adoption.shard_answers.output.publish", die)
        assert bench.hpc("adopt", late, run, "--missing", "not_labeled").returncode == 1
    assert bench.hpc("adopt", late, run, "--missing", "not_labeled").returncode == 0
    assert rows_of(bench) == {row["uri"]: {**row, "reason": None} for row in rows}


def test_posts_that_are_not_sent_keep_their_reason(bench: Bench) -> None:
    posts = run_builders.posts(6)
    bench.backlog([posts[0]._replace(text="hm"), *posts[1:]])
    bench.config(classifier=EXTERNAL)
    run = hand_over(bench)
    asked = label(run)
    assert posts[0].uri not in {row["uri"] for row in asked}
    rows = [*asked, answer(posts[0].uri, "hm")]
    write_parquet(run / "answers" / "a.parquet", rows)
    assert bench.document("adopt", run / "answers")["not_asked"] == 1
    assert rows_of(bench)[posts[0].uri]["reason"] == "text_too_short"
    assert rows_of(bench)[posts[0].uri]["toxic"] is None


def test_an_answer_counts_for_all_posts_with_its_text(bench: Bench) -> None:
    posts = [
        post._replace(text=f"the text {n % 4}") for n, post in enumerate(run_builders.posts(12))
    ]
    bench.backlog(posts)
    bench.config(classifier=EXTERNAL)
    run = hand_over(bench)
    texts: dict[str, str] = {}
    rows = [
        answer(uri, text)
        for task in tasks(run)
        for uri, text in pq.read_table(run / task["input"])
        .select(["uri", "text"])
        .to_pandas()
        .values
        if texts.setdefault(text, uri) == uri
    ]
    write_parquet(run / "answers" / "a.parquet", rows)
    assert bench.document("adopt", run / "answers")["posts_waiting"] == 0
    found = rows_of(bench)
    assert {found[post.uri]["note"] for post in posts} == {row["note"] for row in rows}
    assert bench.query("SELECT count(copied_from) FROM labels_test") == [(8,)]


def test_no_command_submits_a_run_that_another_engine_labels(bench: Bench, run: Path) -> None:
    def submissions() -> list[Path]:
        return list((run / "submissions").iterdir())

    assert bench.hpc("resubmit").returncode == 2
    assert bench.hpc("resubmit", "--force").returncode == 2
    assert bench.hpc("supervise").returncode == 1
    assert bench.submit().returncode == 2
    assert bench.submit("--plan-only", "--wait").returncode == 2
    assert bench.document("submit", "--config", bench.path, "--plan-only")["run_id"] is None
    assert submissions() == []


def test_cancel_frees_the_posts_unless_answers_were_adopted(bench: Bench, run: Path) -> None:
    assert bench.hpc("cancel").returncode == 0
    assert not run.exists()
    assert (run.parent / "set-aside" / run.name / "tasks.jsonl").is_file()
    again = hand_over(bench)
    write_parquet(again / "answers" / "a.parquet", label(again)[:3])
    bench.document("adopt", again / "answers", code=3)
    assert bench.hpc("cancel").returncode == 1
    assert again.is_dir()


def test_tasks_and_another_engine_never_share_a_run(bench: Bench) -> None:
    bench.config(4)
    assert bench.submit("--plan-only").returncode == 2
    assert bench.submit().returncode == 0
    done = bench.hpc("adopt", bench.folder, bench.runs()[-1])
    assert done.returncode == 2
