"""Whole runs on one machine: what is labeled, recorded and paid for."""

import json

import pytest

from hpc.run import run_folder, submissions
from pipeline.run_files.manifest import output_path
from tests.hpc.cli_bench import ROOT, Bench, ended, exit_code, once, outcome, uris, valence_run
from tests.hpc.processes import started
from tests.hpc.scripted_tasks import most_at_once
from tests.pipeline import run_builders

# What a classifier without quota and price will take.
NOT_KNOWN: dict[str, None] = dict.fromkeys((
    "requests", "quota_minutes", "cost_estimate", "currency",
    "service_ends_at", "requests_until_end", "posts_until_end", "requests_saved",
    "canary", "shard_size",
))  # fmt: skip
NOTHING_LEFT_OUT = {
    "late_posts": 0, "unread_rows": 0, "future_posts": 0, "ancient_posts": 0, "files": 1,
    "left_out": [], "unlabelable_by_reason": {}, "sample": None,
}  # fmt: skip
QUICKSTART = ROOT / "configs" / "quickstart.yaml"


def test_the_quickstart_labels_every_post_once_and_then_has_nothing_to_do(bench: Bench) -> None:
    first = bench.document("submit", "--config", QUICKSTART)
    (run,) = bench.runs()
    assert (first["run_id"], first["posts"], first["shards"]) == (run.name, 2980, 6)
    assert bench.states() == [("done", None, 1)] * 6
    assert bench.query(
        "SELECT count(*), count(DISTINCT uri), count(*) FILTER (reason = 'text_too_short'), "
        "count(*) FILTER (reason = 'no_text'), "
        "count(*) FILTER (was_successfully_labeled AND valence_label IS NOT NULL) "
        "FROM labels_valence"
    ) == [(2980, 2980, 48, 2, 2930)]
    assert bench.document("submit", "--config", QUICKSTART)["run_id"] is None
    assert bench.runs() == [run]


def test_submit_prints_one_json_document(bench: Bench) -> None:
    bench.config(posts=5)
    done = bench.submit("--json", "--limit", 4)
    (run,) = bench.runs()
    assert done.returncode == 0
    assert json.loads(done.stdout) == {
        "run_id": run.name,
        "run_dir": str(run),
        "posts": 4,
        "shards": 2,
        "array_jobs": [],
        "dry_run": False,
        **NOT_KNOWN,
        **NOTHING_LEFT_OUT,
        "distinct_texts": 4,
        "copies": 0,
        "labeled": 4,
        "unlabelable": {},
        "measured": None,
        "minutes_estimate": None,
    }
    planned = bench.submit("--json", "--dry-run", "--set", "sharding.shards=1")
    document = json.loads(planned.stdout)
    assert document.pop("columns")
    assert document.pop("measured")["run_ids"] == [run.name]
    for key in ("script", "checks", "minutes_estimate"):  # have tests of their own
        del document[key]
    assert document == {
        "run_id": None, "run_dir": None, "posts": 1, "shards": 1, "array_jobs": [],
        "dry_run": True, "waves": 1, "first_request": None, "first_request_url": None,
        "labeled": None, "unlabelable": None, "distinct_texts": 1, "copies": 0,
        **NOT_KNOWN, **NOTHING_LEFT_OUT,
    }  # fmt: skip
    assert bench.document("gather") == {
        "rows_before": 4,
        "rows_added": 0,
        "rows_after": 4,
        "unlabelable": 0,
        "already_present": 0,
        "rejected_outputs": [],
        "unreadable_files": [],
    }


def test_no_more_tasks_run_at_once_than_max_parallel_allows(bench: Bench) -> None:
    gate = bench.folder / "gate"
    bench.config(
        posts=12,
        sharding={"shards": 6},
        cluster={"max_parallel": 2},
        classifier={"gate": str(gate)},
    )
    driver = started(bench, 2)
    gate.touch()
    assert outcome(ended(driver)) == (0, "")
    assert most_at_once(bench.shard_scripts) == 2
    assert bench.asked() == once(12)


def test_only_the_task_that_failed_is_retried(bench: Bench) -> None:
    bench.config(posts=6, sharding={"shards": 3})
    bench.script(1, "fail")
    assert outcome(bench.submit()) == (0, "")
    assert bench.states() == [("done", None, 1), ("done", None, 2), ("done", None, 1)]
    attempts = submissions.read_submissions(run_folder.load(bench.runs()[0]))
    assert [submission.plan.shards for submission in attempts] == [(0, 1, 2), (1,)]
    assert bench.asked() == once(6)
    assert bench.query("SELECT count(*) FROM labels_test") == [(6,)]


def test_a_shard_without_attempts_left_is_blocked_and_can_be_forced(bench: Bench) -> None:
    bench.config(posts=6, sharding={"shards": 3}, retry={"max_attempts": 2})
    bench.script(1, "fail fail")
    assert outcome(bench.submit()) == (1, "")
    (run,) = bench.runs()
    blocked = bench.document("status", code=1)
    assert (blocked["state"], blocked["posts_done"]) == ("blocked", 4)
    assert "RuntimeError: this was scripted" in (run / "logs/0002/00001.log").read_text()
    assert bench.document("resubmit", code=1)["shards"] == []
    assert bench.document("resubmit", "--force", "--dry-run") == {
        "run_id": run.name, "shards": [1], "array_jobs": [], "changes": [],
    }  # fmt: skip
    assert bench.states()[1] == ("blocked", "crashed", 2)
    assert bench.document("resubmit", "--force")["shards"] == [1]
    assert bench.states() == [("done", None, 1), ("done", None, 3), ("done", None, 1)]
    assert outcome(bench.hpc("gather", run)) == (0, "")
    assert bench.asked() == once(6)


def test_a_forced_shard_that_fails_again_is_blocked_again(bench: Bench) -> None:
    bench.config(posts=4, retry={"max_attempts": 1})
    bench.script(0, "refuse-shard fail")
    assert outcome(bench.submit()) == (1, "")
    assert bench.states() == [("blocked", "refused", 1), ("done", None, 1)]
    assert outcome(bench.hpc("resubmit", "--indices", "0", "--force")) == (1, "")
    assert bench.states() == [("blocked", "crashed", 2), ("done", None, 1)]


@pytest.mark.parametrize(
    ("indices", "code"),
    [
        pytest.param("0", 1, id="done"),
        pytest.param("5", 1, id="no such shard"),
        pytest.param("1", 1, id="not submitted yet"),
        pytest.param("x", 2, id="no number"),
        pytest.param("3-1", 2, id="no range"),
        pytest.param("", 2, id="empty"),
    ],
)
def test_resubmit_rejects_shards_that_have_not_failed_and_leaves_no_trace(
    bench: Bench, indices: str, code: int
) -> None:
    run = valence_run(bench.folder, 4)
    run_builders.publish_shard(run.folder, run.manifest, 0)
    before = bench.listing()
    assert exit_code(bench.hpc("resubmit", "--indices", indices)) == code
    assert [path for path in bench.listing() if path not in before] == [
        f"runs/{run.run_id}/{name}" for name in (".lock", ".seen-outputs.json") if code == 1
    ]


def test_a_shard_whose_output_was_deleted_runs_again_at_the_same_index(bench: Bench) -> None:
    bench.config(posts=4)
    bench.submit()
    (run,) = bench.runs()
    output_path(run, 1).unlink()
    assert bench.states() == [("done", None, 1), ("failed", "no_output", 1)]
    assert outcome(bench.hpc("resubmit", "--indices", "1", run)) == (0, "")
    recorded = submissions.read_submissions(run_folder.load(run))
    assert [(submission.number, submission.plan.shards) for submission in recorded] == [
        (1, (0, 1)),
        (2, (1,)),
    ]
    assert bench.document("gather")["rows_added"] == 0
    assert bench.query("SELECT attempt, count(*) FROM labels_test GROUP BY 1 ORDER BY 1") == [
        (1, 2),
        (2, 2),
    ]


def test_status_of_a_run_that_nobody_has_submitted(bench: Bench) -> None:
    run = valence_run(bench.folder, 4)
    run_builders.publish_shard(run.folder, run.manifest, 0)
    document = bench.document("status", run.run_id, code=1)
    assert (document["state"], document["posts"], document["posts_done"]) == ("planned", 4, 2)
    run_builders.publish_shard(run.folder, run.manifest, 1)
    assert bench.document("status", code=0)["state"] == "complete"


def test_posts_that_arrive_later_form_another_run(bench: Bench) -> None:
    bench.config(posts=3)
    bench.submit()
    bench.backlog(run_builders.posts(5))
    assert bench.document("submit", "--config", bench.path)["posts"] == 2
    assert len(bench.runs()) == 2
    assert bench.query("SELECT uri FROM labels_test ORDER BY uri") == [(at,) for at in uris(5)]
    assert bench.asked() == once(5)
